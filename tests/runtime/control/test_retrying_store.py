from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from shearling.errors import StoreError
from shearling.storage.store import Store
from shearling_runtime.control.retrying_store import RetryingStore
from tests.support.fake_lambda import FakeTime

if TYPE_CHECKING:
    from collections.abc import Callable

DENIED = StoreError("cannot read a: access denied", denied=True)


@dataclass
class Refusals:
    """A store that raises the given errors, one for each call, and then works."""

    errors: list[StoreError]
    time: FakeTime = field(default_factory=FakeTime)
    asked: int = 0

    def store(self, end: float = 1000) -> RetryingStore:
        inner = Store(MemoryStore(), "memory://x")
        inner.write("log/1.json", b"one")
        for verb in ("read", "read_range", "size", "create", "keys", "names", "folders"):
            setattr(inner, verb, self._refusing(getattr(inner, verb)))
        return RetryingStore(inner, end, self.time.clock)

    def _refusing(self, verb: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any, **named: Any) -> Any:
            self.asked += 1
            if self.errors:
                raise self.errors.pop(0)
            return verb(*arguments, **named)

        return ask


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda store: store.read("log/1.json"), b"one"),
        (lambda store: bytes(store.read_range("log/1.json", 1, 3)), b"ne"),
        (lambda store: store.size("log/1.json"), 3),
        (lambda store: store.create("log/2.json", b"two"), True),
        (lambda store: list(store.keys("log")), ["log/1.json"]),
        (lambda store: list(store.keys("log", after="log/1.json")), []),
        (lambda store: store.folders(""), ["log"]),
    ],
    ids=["read", "read_range", "size", "create", "keys", "keys after", "folders"],
)
def test_a_denial_of_a_new_role_is_retried(ask: Callable[[Store], Any], expected: Any) -> None:
    refusals = Refusals([DENIED] * 5)
    assert ask(refusals.store()) == expected
    assert 1 < refusals.time.seconds < 30


def test_a_missing_permission_delays_for_half_a_minute_once() -> None:
    refusals = Refusals([DENIED] * 100)
    store = refusals.store()
    for _ in range(3):
        with pytest.raises(StoreError, match="access denied"):
            store.read("log/1.json")
    assert 30 <= refusals.time.seconds < 40
    assert refusals.asked < 100


def test_nothing_is_retried_after_the_end() -> None:
    refusals = Refusals([DENIED] * 100)
    with pytest.raises(StoreError, match="access denied"):
        refusals.store(end=5).read("log/1.json")
    assert 5 <= refusals.time.seconds < 10


def test_another_error_is_not_retried() -> None:
    refusals = Refusals([StoreError("the bucket does not exist")])
    with pytest.raises(StoreError, match="bucket"):
        refusals.store().read("log/1.json")
    assert (refusals.asked, refusals.time.seconds) == (1, 0)
