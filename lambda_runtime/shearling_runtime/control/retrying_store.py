"""A store for functions whose role may be fresh: what it grants holds everywhere only later."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from shearling.errors import StoreError
from shearling.release.clock import Clock, FreshRoleGrace
from shearling.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = TypeVar("Answer")


class RetryingStore(Store):
    """A store that asks again, for half a minute in all, while access is denied.

    One of these is for one invocation: a right that lacks for good costs it that time once.

    Args:
        store: which is asked.
        end: when to ask no more, in the clock's seconds.
        clock: time.
    """

    def __init__(self, store: Store, end: float, clock: Clock | None = None) -> None:
        super().__init__(store._backend, store.uri)  # noqa: SLF001 - it is one, with patience
        self._store = store
        self._clock = clock or Clock()
        self._grace = FreshRoleGrace(self._clock, end)

    def read(self, key: str) -> bytes | None:
        """As Store has it."""
        return self._patiently(partial(self._store.read, key))

    def read_range(self, key: str, start: int, end: int) -> memoryview:
        """As Store has it."""
        return self._patiently(partial(self._store.read_range, key, start, end))

    def size(self, key: str) -> int | None:
        """As Store has it."""
        return self._patiently(partial(self._store.size, key))

    def create(self, key: str, data: bytes) -> bool:
        """As Store has it."""
        return self._patiently(partial(self._store.create, key, data))

    def keys(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """As Store has it; asked at once, since a denial comes with the first key."""
        return iter(self._patiently(lambda: list(self._store.keys(prefix, after=after))))

    def folders(self, prefix: str) -> list[str]:
        """As Store has it."""
        return self._patiently(partial(self._store.folders, prefix))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        attempt = 0
        while True:
            try:
                return ask()
            except StoreError as error:
                if not error.denied or not self._grace.covers_denial():
                    raise
            self._clock.pause(attempt)
            attempt += 1
