"""The deployed functions, and the outcome of each alias entry on them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from shearling.refs import check_alias
from shearling.registry.append_log import Log, read_json
from shearling.registry.records import RELEASED, Deployment, Release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shearling.storage.store import Store

_DEPLOYMENT = re.compile(r"deployments/[^/]+\.json")


class ReleaseLog:
    """The deployments and releases in a registry.

    Args:
        store: store of the registry.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def deployments(self, model: str | None = None) -> list[Deployment]:
        """Return the functions that serve a model, or the functions of all models."""
        keys = [key for key in self._store.keys("deployments") if _DEPLOYMENT.fullmatch(key)]
        deployments = [self._deployment(key) for key in keys]
        return [
            deployment
            for deployment in deployments
            if deployment and model in (None, deployment.model)
        ]

    def entries(self, deployment: Deployment, alias: str, *, after: int = 0) -> list[Release]:
        """Return the releases of an alias on a function, oldest first.

        Args:
            deployment: the function.
            alias: name of the alias.
            after: only releases with a greater number are returned.
        """
        log = self._log(deployment, alias)
        return [self._release(log, number) for number in log.numbers(after=after)]

    def last(self, deployment: Deployment, alias: str) -> Release | None:
        """Return the newest release of an alias on a function."""
        log = self._log(deployment, alias)
        number = log.last()
        return self._release(log, number) if number else None

    def successes(self, deployment: Deployment, alias: str) -> Iterator[Release]:
        """Yield the successful releases of an alias on a function, newest first."""
        log = self._log(deployment, alias)
        for number in reversed(list(log.numbers())):
            release = self._release(log, number)
            if release.outcome == RELEASED:
                yield release

    def record(
        self, deployment: Deployment, alias: str, number: int, fields: Mapping[str, Any]
    ) -> bool:
        """Create the record of a release; only the releaser calls this.

        Args:
            deployment: the function.
            alias: name of the alias.
            number: number of the newest known release, plus one.
            fields: fields of Release, except `number` and `created`.

        Returns:
            False if another writer has created a record with this number.
        """
        return self._log(deployment, alias).create(number, fields) is None

    def _log(self, deployment: Deployment, alias: str) -> Log:
        return Log(self._store, f"releases/{deployment.key}/{check_alias(alias)}")

    def _deployment(self, key: str) -> Deployment | None:
        record = read_json(self._store, key)
        if record is None:  # Terraform deleted it after the listing
            return None
        known = {name: record[name] for name in Deployment.__slots__ if name in record}
        known["aliases"] = tuple(record["aliases"])
        return Deployment(key=PurePosixPath(key).stem, **known)

    def _release(self, log: Log, number: int) -> Release:
        record = log.read(number) or {}
        known = {name: record[name] for name in Release.__slots__ if name in record}
        if "wrong" in known:
            known["wrong"] = tuple(known["wrong"])
        return Release(number=number, **known)
