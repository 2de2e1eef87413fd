"""Objects in memory, to be read only: a source without a disk, for property tests."""

from __future__ import annotations

from datetime import UTC, datetime

from shearling.storage.conditional import ConditionFailedError, ObjectState


class MemoryObjects:
    """One object under any key; see `ReadableObjects`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._state = ObjectState(etag="e", size=len(data), modified=datetime.now(UTC))

    def state(self, key: str) -> ObjectState:
        del key
        return self._state

    def read(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        if etag != self._state.etag:
            raise ConditionFailedError(f"{key} has changed")
        return self._data[start:stop]
