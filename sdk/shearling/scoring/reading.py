"""Read an object in parts that are fetched ahead, all of the same version of the object."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from shearling.storage.conditional import ConditionalObjects, ObjectState

#: Bytes of a part, and number of parts that are fetched at a time.
PART_BYTES = 8 * 2**20
_AHEAD = 3


def read_parts(objects: ConditionalObjects, key: str, state: ObjectState) -> Generator[bytes]:
    """Yield the parts of an object in order; close it to end its threads.

    Args:
        objects: where the object is.
        key: its key.
        state: its state.

    Raises:
        ConditionFailedError: the object was replaced or deleted meanwhile.
        StoreError: it cannot be read.
    """
    starts = iter(range(0, state.size, PART_BYTES))
    with ThreadPoolExecutor(_AHEAD, "read") as pool:
        waiting: deque[Future[bytes]] = deque()

        def fetch() -> None:
            start = next(starts, None)
            if start is not None:
                stop = min(start + PART_BYTES, state.size)
                waiting.append(pool.submit(objects.read, key, start, stop, etag=state.etag))

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
