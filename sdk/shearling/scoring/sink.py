"""Write an object of any length that appears whole or not at all."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shearling.scoring.reading import PART_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from shearling.storage.conditional import ConditionalObjects, Upload

#: Number of parts that are uploaded at a time.
_PARALLEL = 2


class Sink:
    """An object that is being written.

    The first part stays in memory, because what precedes the rows may depend on their number, and
    because an object of one part needs no upload in parts.

    Attributes:
        size: bytes of the object; known after `finish`.
    """

    def __init__(self, objects: ConditionalObjects, key: str) -> None:
        self._objects = objects
        self._key = key
        self._first = b""
        self._buffer = bytearray()
        self._upload: Upload | None = None
        self._number = 1
        self._pool = ThreadPoolExecutor(_PARALLEL, "write")
        self._waiting: set[Future[None]] = set()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            StoreError: a part cannot be uploaded.
        """
        self.size += len(data)
        self._buffer += data
        while len(self._buffer) > PART_BYTES:
            part = bytes(self._buffer[:PART_BYTES])
            del self._buffer[:PART_BYTES]
            if not self._first:
                self._first = part
            else:
                self._send(part)

    def finish(self, replaces: str | None, head: bytes = b"") -> str:
        """Write the rest, make the object appear, and return its ETag.

        Args:
            replaces: ETag of the object to replace; None: there must be none.
            head: bytes that precede all others.

        Raises:
            ConditionFailedError: there is another object; nothing appears.
            StoreError: the object cannot be written; nothing appears.
        """
        self.size += len(head)
        rest = bytes(self._buffer)
        if not self._first:
            self._pool.shutdown()
            return self._objects.put(self._key, head + rest, replaces=replaces)
        if rest:
            self._send(rest)
        upload = self._begun()
        upload.send(1, head + self._first)
        for each in self._waiting:
            each.result()
        self._pool.shutdown()
        etag = upload.complete(replaces)
        self._upload = None  # nothing is left to abort
        return etag

    def abort(self) -> None:
        """Delete what was uploaded; does nothing after `finish`."""
        self._pool.shutdown(cancel_futures=True)
        if self._upload is not None:
            self._upload.abort()

    def _begun(self) -> Upload:
        if self._upload is None:
            self._upload = self._objects.upload(self._key)
        return self._upload

    def _send(self, part: bytes) -> None:
        if len(self._waiting) == _PARALLEL:  # limits the memory
            done, self._waiting = wait(self._waiting, return_when=FIRST_COMPLETED)
            for each in done:
                each.result()
        self._number += 1
        self._waiting.add(self._pool.submit(self._begun().send, self._number, part))


@contextmanager
def aborted_sink(objects: ConditionalObjects, key: str) -> Iterator[Sink]:
    """Yield an object to be written, which is aborted at the end unless it is finished."""
    sink = Sink(objects, key)
    try:
        yield sink
    finally:
        sink.abort()
