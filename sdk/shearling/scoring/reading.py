"""Read an object in parts that are fetched ahead, all of the same version of the object."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from shearling.storage.conditional import ObjectState, ReadableObjects

#: Bytes of a part, and number of parts that are fetched at a time.
PART_BYTES = 8 * 2**20
_AHEAD = 3


def read_parts(
    objects: ReadableObjects,
    key: str,
    state: ObjectState,
    *,
    start: int = 0,
    stop: int | None = None,
) -> Generator[bytes]:
    """Yield an object, or a range of it, in parts in order; close it to end its threads.

    Args:
        objects: where the object is.
        key: its key.
        state: its state.
        start: first byte to read.
        stop: the byte after the last; None: the end of the object.

    Raises:
        ConditionFailedError: the object was replaced or deleted meanwhile.
        StoreError: it cannot be read.
    """
    end = state.size if stop is None else min(stop, state.size)
    starts = iter(range(start, end, PART_BYTES))
    with ThreadPoolExecutor(_AHEAD, "read") as pool:
        waiting: deque[Future[bytes]] = deque()

        def fetch() -> None:
            begin = next(starts, None)
            if begin is not None:
                until = min(begin + PART_BYTES, end)
                waiting.append(pool.submit(objects.read, key, begin, until, etag=state.etag))

        try:
            for _ in range(_AHEAD):
                fetch()
            while waiting:
                part = waiting.popleft().result()
                fetch()
                yield part
        finally:
            for each in waiting:
                each.cancel()
