"""Whether an object will be done in time is foreseen from the first blocks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from shearling.errors import DeadlineError
from shearling.scoring.blocks import Scorer
from shearling.scoring.pace import Pace
from tests.scoring.models import PIN, table_scorer

if TYPE_CHECKING:
    from shearling.protocol.requests import InferRequest
    from tests.scoring.places import Places


class Clock:
    """A clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("shearling.scoring.pace.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_an_object_that_is_done_in_time_is_not_refused(clock: Clock) -> None:
    pace = Pace(1000, lambda: 100 - clock.now)
    for _ in range(10):
        clock.now += 8
        pace.advance(100)


def test_an_object_that_is_not_done_in_time_is_refused_early_with_the_size_that_fits(
    clock: Clock,
) -> None:
    pace = Pace(10_000_000_000, lambda: 100 - clock.now)
    clock.now += 5

    with pytest.raises(DeadlineError) as caught:
        pace.advance(100_000_000)

    assert str(caught.value) == (
        "the object has 10 GB and would take 500 s, but the function has 100 s: at 20 MB a "
        "second, about 1.78 GB fit. Split the object, or raise the function's `timeout_seconds` "
        "(900 at most) or `memory_mb`"
    )


def test_the_first_blocks_decide_nothing(clock: Clock) -> None:
    pace = Pace(10_000, lambda: 100 - clock.now)
    clock.now += 2
    pace.advance(1)


def test_an_object_of_one_block_is_never_refused(clock: Clock) -> None:
    pace = Pace(10, lambda: 100 - clock.now)
    clock.now += 99
    pace.advance(10)


def test_an_object_that_is_too_slow_leaves_an_error_and_no_output(places: Places) -> None:
    scorer = table_scorer()
    ends = time.monotonic() + 3.0

    def answer(request: InferRequest) -> Any:
        time.sleep(0.05)
        return scorer.answer(request)

    places.put("a.csv", b"age,name\n" + b"1,a\n" * 4000)
    slow = Scorer(pin=PIN, signature=scorer.signature, answer=answer)

    outcome = places.score(
        "a.csv", slow, block_bytes=100, seconds_left=lambda: ends - time.monotonic()
    )

    assert outcome.status == "failed"
    assert places.files() == ["a.csv.error.json"]
    assert time.monotonic() < ends


def test_a_slow_model_is_noticed_within_the_first_block(places: Places) -> None:
    scorer = table_scorer()
    ends = time.monotonic() + 3.0

    def answer(request: InferRequest) -> Any:
        time.sleep(0.004 * len(request.inputs["age"]))
        return scorer.answer(request)

    places.put("a.csv", b"age,name\n" + b"1,a\n" * 5000)
    slow = Scorer(pin=PIN, signature=scorer.signature, answer=answer)

    outcome = places.score("a.csv", slow, seconds_left=lambda: ends - time.monotonic())

    assert outcome.failure is not None
    assert "about" in outcome.failure.message
    assert time.monotonic() < ends


@pytest.mark.parametrize("count", [65, 320, 1000])
def test_the_parts_of_a_slow_models_first_block_have_all_of_its_rows(
    places: Places, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr("shearling.scoring.transfer._SLOW", -1.0)
    table = b"".join(b"%d,a\n" % (i % 99) for i in range(count))
    places.put("a.csv", b"age,name\n" + table)

    outcome = places.score("a.csv", table_scorer())

    labels = [row.split(b",")[0] for row in places.read("a.csv").splitlines()[1:]]
    assert outcome.rows == count
    assert labels == [b"%d" % (i % 99 % 2) for i in range(count)]
