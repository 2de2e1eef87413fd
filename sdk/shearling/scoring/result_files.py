"""The files of a result: an output and its manifest that belong together, or an error.

Whoever makes the output appear, on the condition that it is still the one seen before, owns the
result until the manifest is written; everybody else waits for the manifest, or until the owner's
time is over. So a finished pair is never replaced by a duplicate, and never half of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from shearling.errors import StoreError
from shearling.scoring.file_names import ERROR, MANIFEST, REJECTED
from shearling.scoring.outcome import MANIFEST_LIMIT
from shearling.storage.conditional import (
    ConditionFailedError,
    discard_object,
    replace_object,
)

if TYPE_CHECKING:
    from shearling.scoring.parts import Part
    from shearling.storage.conditional import ConditionalObjects, ObjectState

#: Seconds for which a result that somebody else is finishing is waited for, and between two looks.
_WAIT_SECONDS, _LOOK_SECONDS = 5.0, 0.25

#: Seconds after the end of an owner's time at which nothing of its can arrive any more.
_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The output and the manifest as they were seen.

    Attributes:
        output: state of the output; None without one.
        manifest: state of the manifest; None without one.
        document: what the manifest says; empty if it cannot be read.
    """

    output: ObjectState | None
    manifest: ObjectState | None
    document: dict[str, Any]

    @property
    def is_pair(self) -> bool:
        """Whether the manifest is the output's."""
        output = self.document.get("output")
        return (
            self.output is not None
            and isinstance(output, dict)
            and output.get("etag") == self.output.etag
        )

    def is_of(self, source_etag: str, part: Part | None = None) -> bool:
        """Return whether this is the finished result of a source, or of a part of one."""
        source = self.document.get("source")
        return (
            self.is_pair
            and isinstance(source, dict)
            and source.get("etag") == source_etag
            and source.get("part") == (part.document() if part else None)
        )


class ResultFiles:
    """The files of one result.

    Args:
        objects: where they are.
        key: key of the output.
        owner_seconds: how long an invocation can take that owns the result.
    """

    def __init__(self, objects: ConditionalObjects, key: str, owner_seconds: float) -> None:
        self._objects = objects
        self._key = key
        self._owner_seconds = owner_seconds

    def look(self) -> Seen:
        """Return the output and the manifest, once nobody else is about to finish them.

        Raises:
            StoreError: another invocation is still about to.
        """
        ends = time.monotonic() + _WAIT_SECONDS
        while True:
            seen = self._look()
            if seen.output is None or seen.is_pair or self._is_abandoned(seen.output):
                return seen
            if time.monotonic() > ends:
                raise StoreError(
                    f"{self._key} was written moments ago and has no manifest yet: another "
                    "invocation is about to finish it"
                )
            time.sleep(_LOOK_SECONDS)

    def finish(self, seen: Seen, document: dict[str, Any]) -> None:
        """Write the manifest, and delete an error of before.

        Raises:
            ConditionFailedError: somebody else has written a manifest since.
        """
        replaces = seen.manifest.etag if seen.manifest else None
        self._objects.put(self._key + MANIFEST, _json(document), replaces=replaces)
        self.discard(ERROR)

    def fail(self, document: dict[str, Any], source_etag: str, part: Part | None = None) -> bool:
        """Write the error's file, unless the result is finished; return whether it was written."""
        if self._look().is_of(source_etag, part):
            return False
        replace_object(self._objects, self._key + ERROR, _json(document))
        # A duplicate may have finished meanwhile; one of both sees what the other has written.
        if self._look().is_of(source_etag, part):
            self.discard(ERROR)
            return False
        return True

    def discard(self, ending: str) -> None:
        """Delete a file beside the output, if there is one."""
        discard_object(self._objects, self._key + ending)

    def etag_of_rejected(self) -> str | None:
        """Return the ETag of the file of rejected rows; None without one."""
        state = self._objects.state(self._key + REJECTED)
        return state.etag if state else None

    def _is_abandoned(self, output: ObjectState) -> bool:
        age = (datetime.now(UTC) - output.modified).total_seconds()
        return age > self._owner_seconds + _GRACE_SECONDS

    def _look(self) -> Seen:
        output = self._objects.state(self._key)
        manifest = self._objects.state(self._key + MANIFEST)
        document: object = {}
        if manifest is not None and 0 < manifest.size <= MANIFEST_LIMIT:
            try:
                document = orjson.loads(
                    self._objects.read(self._key + MANIFEST, 0, manifest.size, etag=manifest.etag)
                )
            except (orjson.JSONDecodeError, ConditionFailedError):
                document = {}
        return Seen(output, manifest, document if isinstance(document, dict) else {})


def _json(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
