"""An object as a file that can be read anywhere, for libraries that read files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from shearling.scoring.reading import PART_BYTES

if TYPE_CHECKING:
    from shearling.storage.conditional import ObjectState, ReadableObjects

#: Parts of a file that are kept: row groups of Parquet are read column by column.
_KEPT_PARTS = 6


class ObjectFile(io.RawIOBase):
    """An object as a file, of which recently read parts are kept.

    Attributes:
        size: number of its bytes.
        fetched: number of bytes that were fetched.
        error: what a read raised.
    """

    def __init__(self, objects: ReadableObjects, key: str, state: ObjectState) -> None:
        self._objects = objects
        self._key = key
        self._state = state
        self._at = 0
        self._parts: dict[int, bytes] = {}
        self._end_at, self._end = state.size, b""
        self.size = state.size
        self.fetched = 0
        self.error: Exception | None = None

    def read_range(self, start: int, stop: int) -> bytes:
        """Return the bytes from a place up to, but excluding, another."""
        self.seek(start)
        data = bytearray()
        while len(data) < stop - start and (more := self.read(stop - start - len(data))):
            data += more
        return bytes(data)

    def end_with(self, place: int, end: bytes) -> None:
        """Replace what follows a place."""
        self._end_at, self._end = place, end
        self.size = place + len(end)

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that it can be read anywhere."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to where the next read begins."""
        begins = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}
        self._at = begins[whence] + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Read some bytes into a buffer, and return their number."""
        if self._at >= self._end_at:
            start = self._at - self._end_at
            data = self._end[start : start + len(buffer)]
        else:
            number, start = divmod(self._at, PART_BYTES)
            stop = start + min(len(buffer), self._end_at - self._at)
            data = self._part(number)[start:stop]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _part(self, number: int) -> bytes:
        if number not in self._parts:
            while len(self._parts) >= _KEPT_PARTS:
                del self._parts[next(iter(self._parts))]
            self._parts[number] = self._fetched(number)
        self._parts[number] = part = self._parts.pop(number)  # now the newest
        return part

    def _fetched(self, number: int) -> bytes:
        start = number * PART_BYTES
        stop = min(start + PART_BYTES, self._state.size)
        try:
            data = self._objects.read(self._key, start, stop, etag=self._state.etag)
        except Exception as error:
            self.error = error
            raise
        self.fetched += stop - start
        return data
