"""A store that retries while the permissions of a new role become effective."""

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
    """A store that retries for half a minute in total while access is denied.

    Create one for each invocation, so that a permission that is missing for good delays the
    invocation only once.

    Args:
        store: store to read and write.
        end: time after which nothing is retried, in the clock's seconds.
        clock: source of time and pauses.
    """

    def __init__(self, store: Store, end: float, clock: Clock | None = None) -> None:
        super().__init__(store._backend, store.uri)  # noqa: SLF001 - a decorator of the same class
        self._store = store
        self._clock = clock or Clock()
        self._grace = FreshRoleGrace(self._clock, end)

    def read(self, key: str, *, limit: int | None = None) -> bytes | None:
        """See `Store`."""
        return self._with_retries(partial(self._store.read, key, limit=limit))

    def read_range(self, key: str, start: int, end: int) -> memoryview:
        """See `Store`."""
        return self._with_retries(partial(self._store.read_range, key, start, end))

    def size(self, key: str) -> int | None:
        """See `Store`."""
        return self._with_retries(partial(self._store.size, key))

    def create(self, key: str, data: bytes) -> bool:
        """See `Store`."""
        return self._with_retries(partial(self._store.create, key, data))

    def write(self, key: str, data: bytes, *, content_type: str = "") -> None:
        """See `Store`."""
        self._with_retries(partial(self._store.write, key, data, content_type=content_type))

    def delete(self, key: str) -> None:
        """See `Store`."""
        self._with_retries(partial(self._store.delete, key))

    def keys(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """See `Store`; lists all keys at once, since a denial is raised with the first."""
        return iter(self._with_retries(lambda: list(self._store.keys(prefix, after=after))))

    def names(self, prefix: str) -> list[str]:
        """See `Store`."""
        return self._with_retries(partial(self._store.names, prefix))

    def folders(self, prefix: str) -> list[str]:
        """See `Store`."""
        return self._with_retries(partial(self._store.folders, prefix))

    def _with_retries(self, operation: Callable[[], Answer]) -> Answer:
        attempt = 0
        while True:
            try:
                return operation()
            except StoreError as error:
                if not error.denied or not self._grace.covers_denial():
                    raise
            self._clock.pause(attempt)
            attempt += 1
