"""A part of a source: consecutive rows that are scored into an output of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shearling.errors import InvalidRequestError
from shearling.scoring.fields import Fields

_PART = ("start", "stop", "head", "row_group_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Consecutive rows of a source.

    Attributes:
        start: where they begin: a byte of the source, or in Parquet a row group, from 0.
        stop: where they end, exclusively.
        head: bytes at the beginning of the source that tell how to read a part which begins after
            them: the first row of a CSV or of JSON lines, or the header of a `.npy` file.
        row_group_bytes: bytes that row groups take in the source; None: `start` and `stop` are
            bytes.
    """

    start: int
    stop: int
    head: int = 0
    row_group_bytes: int | None = None

    @property
    def size(self) -> int:
        """Bytes that the rows take in the source."""
        return self.stop - self.start if self.row_group_bytes is None else self.row_group_bytes

    @classmethod
    def from_document(cls, document: object, path: str) -> Part | None:
        """Read a part's JSON document; None for an empty one.

        Raises:
            InvalidRequestError: a field is missing, unknown or invalid; the message names it.
        """
        if document == {}:
            return None
        fields = Fields(document, path, _PART)
        start, stop = fields.count("start"), fields.count("stop")
        if start is None or stop is None:
            missing = "start" if start is None else "stop"
            raise InvalidRequestError(f"{path}.{missing}: missing, but required")
        part = cls(
            start=start,
            stop=stop,
            head=fields.count("head") or 0,
            row_group_bytes=fields.count("row_group_bytes"),
        )
        if not part.start < part.stop:
            raise InvalidRequestError(f"{path}.stop: {stop} is not above `start`, {start}")
        if part.head > part.start:
            raise InvalidRequestError(f"{path}.head: {part.head} is above `start`, {start}")
        return part

    def document(self) -> dict[str, Any]:
        """Return the part's JSON document."""
        fields = {name: getattr(self, name) for name in _PART}
        return {
            name: value
            for name, value in fields.items()
            if value is not None and (value or name != "head")
        }
