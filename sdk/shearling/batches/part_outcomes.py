"""What became of the parts of a run, as the files beside their outputs say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from shearling.scoring.file_names import ERROR, MANIFEST
from shearling.scoring.outcome import MANIFEST_LIMIT
from shearling.storage.conditional import ConditionFailedError

if TYPE_CHECKING:
    from shearling.batches.run_files import RunFiles
    from shearling.scoring.request import ScoreRequest

#: Files that are read at a time.
_THREADS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOutcome:
    """What became of a part.

    Attributes:
        source: the part's source: bucket, key, ETag, size and part.
        rows: number of its rows, with the rejected ones.
        rejected: number of rows that the model refused.
        seconds: seconds that it took.
        error: why it cannot be scored: message, row, column and value; None if it was.
    """

    source: dict[str, Any]
    rows: int
    rejected: int
    seconds: float
    error: dict[str, Any] | None

    @property
    def size(self) -> int:
        """Bytes of the source, or of its part; 0 if nobody knows."""
        part = self.source.get("part")
        if not isinstance(part, dict):
            return _number(self.source, "size")
        return _number(part, "row_group_bytes") or _number(part, "stop") - _number(part, "start")

    def is_of(self, request: ScoreRequest) -> bool:
        """Return whether this is the outcome of a request."""
        asked = request.source
        part = asked.part.document() if asked.part else None
        return (self.source.get("etag"), self.source.get("part")) == (asked.etag, part)


class PartOutcomes:
    """Reads what became of parts, each file once.

    Args:
        files: files of the run.
    """

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._known: dict[tuple[str, str], PartOutcome] = {}

    def read(self) -> dict[str, PartOutcome]:
        """Return the outcomes so far, by the keys of the outputs.

        Raises:
            StoreError: the output cannot be listed or read.
        """
        place = self._files.place.key
        found = {
            (key, state.etag): state.size
            for key, state in self._files.objects.list(place)
            if key.endswith((MANIFEST, ERROR))
        }
        self._known = {name: self._known[name] for name in self._known.keys() & found.keys()}
        new = [name for name, size in found.items() if name not in self._known and size]
        with ThreadPoolExecutor(_THREADS, "outcomes") as pool:
            read = pool.map(lambda name: self._read(name, found[name]), new)
            self._known |= {
                name: outcome for name, outcome in zip(new, read, strict=True) if outcome
            }
        # A manifest stands over an error: whoever wrote it had no time to delete the error.
        return {
            key.removesuffix(ending): outcome
            for ending in (ERROR, MANIFEST)
            for (key, _), outcome in self._known.items()
            if key.endswith(ending)
        }

    def _read(self, name: tuple[str, str], size: int) -> PartOutcome | None:
        """Return what a file says; None if it is no outcome, or was replaced."""
        key, etag = name
        try:
            data = self._files.objects.read(key, 0, min(size, MANIFEST_LIMIT), etag=etag)
            document = orjson.loads(data)
        except (ConditionFailedError, orjson.JSONDecodeError):
            return None
        if not isinstance(document, dict) or not isinstance(document.get("source"), dict):
            return None
        error = document.get("error")
        if key.endswith(ERROR) != isinstance(error, dict):
            return None
        seconds = document.get("seconds")
        return PartOutcome(
            source=document["source"],
            rows=_number(document, "rows"),
            rejected=_number(document, "rejected"),
            seconds=seconds if isinstance(seconds, int | float) else 0,
            error=error,
        )


def _number(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    return value if isinstance(value, int) else 0
