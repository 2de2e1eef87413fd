"""Stores that are interrupted at any operation: by a kill, or by somebody else's operation."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.storage.conditional import ConditionalObjects, ObjectState, Upload

#: Seconds after which a turn that nobody takes is an error of the test.
_STUCK = 20.0

_T = TypeVar("_T")


class Killed(BaseException):
    """The end of a process, which nothing catches."""


class Interrupted:
    """Objects that call `interrupt` before and after each operation that changes something."""

    def __init__(
        self,
        objects: ConditionalObjects,
        interrupt: Callable[[Literal["before", "after"]], None],
    ) -> None:
        self._objects = objects
        self._interrupt = interrupt

    def state(self, key: str) -> ObjectState | None:
        return self._do(lambda: self._objects.state(key))

    def read(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        return self._do(lambda: self._objects.read(key, start, stop, etag=etag))

    def put(self, key: str, data: bytes, *, replaces: str | None) -> str:
        return self._do(lambda: self._objects.put(key, data, replaces=replaces))

    def delete(self, key: str, *, etag: str) -> None:
        self._do(lambda: self._objects.delete(key, etag=etag))

    def upload(self, key: str) -> Upload:
        return _InterruptedUpload(self._objects.upload(key), self._do)

    def _do(self, operation: Callable[[], _T]) -> _T:
        self._interrupt("before")
        result = operation()
        self._interrupt("after")
        return result


class _InterruptedUpload:
    def __init__(self, upload: Upload, do: Callable[[Callable[[], Any]], Any]) -> None:
        self._upload = upload
        self._do = do

    def send(self, number: int, part: bytes) -> None:
        self._do(lambda: self._upload.send(number, part))

    def complete(self, replaces: str | None) -> str:
        etag: str = self._do(lambda: self._upload.complete(replaces))
        return etag

    def abort(self) -> None:
        self._upload.abort()


class KillAfter:
    """Kills at the n-th moment, of which each operation has two, and at all that follow."""

    def __init__(self, moments: int) -> None:
        self._left = moments
        self._lock = threading.Lock()

    def __call__(self, moment: Literal["before", "after"]) -> None:
        del moment
        with self._lock:
            self._left -= 1
            if self._left < 0:
                raise Killed


class Turns:
    """Lets the operations of several actors happen in a given order.

    Args:
        order: the actor of each operation; when it is over, they take turns.
        actors: number of actors.
        watch: called after each operation.
    """

    def __init__(self, order: list[int], actors: int, watch: Callable[[], None]) -> None:
        self._order = list(order)
        self._active = set(range(actors))
        self._watch = watch
        self._changed = threading.Condition()
        self._next = self._choose(0)

    def of(self, actor: int) -> Callable[[Literal["before", "after"]], None]:
        def interrupt(moment: Literal["before", "after"]) -> None:
            with self._changed:
                if moment == "before":
                    if not self._changed.wait_for(lambda: self._next == actor, _STUCK):
                        raise TimeoutError(f"actor {actor} had no turn")
                    return
                self._watch()
                self._next = self._choose(actor)
                self._changed.notify_all()

        return interrupt

    def leave(self, actor: int) -> None:
        with self._changed:
            self._active.discard(actor)
            if self._next == actor:
                self._next = self._choose(actor)
            self._changed.notify_all()

    def _choose(self, last: int) -> int:
        while self._order:
            actor = self._order.pop(0)
            if actor in self._active:
                return actor
        others = sorted(self._active)
        return next((actor for actor in others if actor > last), others[0] if others else -1)
