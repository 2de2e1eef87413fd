"""The batch runs of a function: which of its Lambda versions runs that are not over still need."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from shearling.bundle.canonical_json import canonical_json
from shearling.errors import RegistryError
from shearling.refs import Pin
from shearling.registry.append_log import create
from shearling.registry.record_reader import InvalidRecordError, lambda_version, read_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.bundle.json_reader import Field
    from shearling.registry.records import Deployment
    from shearling.storage.store import Store

#: Age at which a run without an end is over: Step Functions keeps no part waiting for that long.
RUN_DAYS = 14

#: Time of a run in the name of its records, which are in order.
_TIME = "%Y%m%dT%H%M%SZ"
_RECORD = re.compile(
    r"(?P<name>[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9_-]{1,80}-v[0-9]{1,10})\.(?P<kind>started|ended)\.json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedRun:
    """The record of a batch run that began.

    Attributes:
        name: name of its records: the time, the execution of the state machine, and the version.
        pin: the model that answers all parts.
        lambda_version: number of the Lambda version that does.
    """

    name: str
    pin: Pin
    lambda_version: str


class RunLog:
    """The runs of one function; the planner writes it, and the releaser reads it.

    Beside the releases, because what protects these in the bucket then protects the runs, too.

    Args:
        store: store of the registry.
        deployment: the function.
    """

    def __init__(self, store: Store, deployment: Deployment) -> None:
        self._store = store
        self._prefix = f"releases/{deployment.key}/_runs"

    def start(self, execution: str, began: datetime, pin: Pin, version: str) -> str:
        """Record that a run uses a Lambda version, and return the name of its records.

        An attempt again finds its own record, or makes another if it uses another version.

        Args:
            execution: name of the execution of the state machine.
            began: time at which the execution began.
            pin: the model that answers all parts.
            version: number of the Lambda version that does.

        Raises:
            RegistryError: the execution's name cannot be that of a record.
        """
        name = f"{began.astimezone(UTC).strftime(_TIME)}-{execution}-v{version}"
        record = {"lambda_version": version, "pin": str(pin)}
        create(self._store, self._key(name, "started"), canonical_json(record))
        return name

    def end(self, name: str, outcome: str) -> None:
        """Record that a run is over: its Lambda version is no longer needed."""
        create(self._store, self._key(name, "ended"), canonical_json({"outcome": outcome}))

    def unfinished(self, now: datetime) -> Iterator[StartedRun]:
        """Yield the valid records of the runs without an end that are not too old."""
        oldest = (now - timedelta(days=RUN_DAYS)).strftime(_TIME)
        keys = self._store.keys(self._prefix, after=f"{self._prefix}/{oldest}")
        found = [_RECORD.fullmatch(key.removeprefix(f"{self._prefix}/")) for key in keys]
        ended = {it["name"] for it in found if it and it["kind"] == "ended"}
        for it in found:
            if it and it["kind"] == "started" and it["name"] not in ended:
                yield from self._find(it["name"])

    def _find(self, name: str) -> Iterator[StartedRun]:
        """Yield the record of a run, unless it is invalid."""
        with suppress(InvalidRecordError):
            if run := read_record(self._store, self._key(name, "started"), partial(_read, name)):
                yield run

    def _key(self, name: str, kind: str) -> str:
        if not _RECORD.fullmatch(f"{name}.{kind}.json"):
            raise RegistryError(
                f"{name!r:.120} is not a run: an execution's name has 1 to 80 letters, digits, '-' "
                "and '_'"
            )
        return f"{self._prefix}/{name}.{kind}.json"


def _read(name: str, root: Field) -> StartedRun:
    return StartedRun(
        name=name,
        pin=Pin.parse(root["pin"].text()),
        lambda_version=lambda_version(root["lambda_version"]),
    )
