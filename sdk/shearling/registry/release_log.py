"""The deployed functions, and the outcome of each alias entry on them."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from shearling.refs import check_alias
from shearling.registry.append_log import Log
from shearling.registry.record_reader import (
    InvalidRecordError,
    read_deployment,
    read_record,
    read_release,
)
from shearling.registry.records import RELEASED, Deployment, Release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shearling.storage.store import Store

_DEPLOYMENT = re.compile(r"[^/]+\.json")


class ReleaseLog:
    """The deployments and releases in a registry.

    Args:
        store: store of the registry.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def deployments(self, model: str | None = None) -> list[Deployment]:
        """Return the functions that serve a model, or the functions of all models."""
        names = [name for name in self._store.names("deployments") if _DEPLOYMENT.fullmatch(name)]
        deployments = [self._deployment(name) for name in names]
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
        found = [log.find(number) for number in log.numbers(after=after)]
        return [release for release in found if release]

    def last(self, deployment: Deployment, alias: str) -> Release | None:
        """Return the newest release of an alias on a function."""
        return self.end(deployment, alias)[1]

    def end(self, deployment: Deployment, alias: str) -> tuple[int, Release | None]:
        """Return the last number of a log, and the newest release that can be read in it."""
        log = self._log(deployment, alias)
        number = log.last()
        return number, next(log.down_from(number), None)

    def newest(
        self, deployment: Deployment, alias: str, *, known: Release | None = None
    ) -> Release | None:
        """Return the newest release, by few requests even if the log has thousands.

        Args:
            deployment: the function.
            alias: name of the alias.
            known: a release of this log that was read before.
        """
        log = self._log(deployment, alias)
        number = log.last_from(known.number if known else 0)
        return known if known and known.number == number else next(log.down_from(number), None)

    def down_from(self, deployment: Deployment, alias: str, number: int) -> Iterator[Release]:
        """Yield the releases of an alias on a function from a number down to 1."""
        return self._log(deployment, alias).down_from(number)

    def successes(self, deployment: Deployment, alias: str) -> Iterator[Release]:
        """Yield the successful releases of an alias on a function, newest first."""
        log = self._log(deployment, alias)
        number = log.last()
        while number:
            release = log.find(number)
            number -= 1
            if release and release.outcome == RELEASED:
                yield release
            if release and release.success is not None:
                # The records in between are not successes, so they need not be read.
                number = release.success

    def success_up_to(self, deployment: Deployment, alias: str, last: Release | None) -> int:
        """Return the number of the newest successful release up to one; 0 if there is none."""
        if last is None:
            return 0
        if last.outcome == RELEASED:
            return last.number
        if last.success is not None:
            return last.success
        earlier = self._log(deployment, alias).down_from(last.number)
        return next((it.number for it in earlier if it.outcome == RELEASED), 0)

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
        return self._log(deployment, alias).create(number, fields)

    def _log(self, deployment: Deployment, alias: str) -> Log[Release]:
        prefix = f"releases/{deployment.key}/{check_alias(alias)}"
        return Log(self._store, prefix, read_release)

    def _deployment(self, name: str) -> Deployment | None:
        key = name.removesuffix(".json")
        try:
            # None if Terraform deleted it after the listing.
            return read_record(self._store, f"deployments/{name}", partial(read_deployment, key))
        except InvalidRecordError as error:
            import logging

            logging.getLogger(__name__).warning("ignored: %s", error)
            return None
