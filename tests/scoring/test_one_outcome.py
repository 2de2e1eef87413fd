"""Exactly one outcome: duplicates, kills, promotions and replaced objects, in any order."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shearling.errors import StoreError
from shearling.scoring import result_files, sink
from shearling.scoring.engine import score
from shearling.scoring.request import ScoreRequest
from tests.scoring.interruptions import Interrupted, KillAfter, Killed, Turns
from tests.scoring.models import PIN, table_scorer
from tests.support.attack import attack

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.scoring.blocks import Scorer
    from shearling.scoring.outcome import Outcome
    from tests.scoring.places import Places

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

NEXT_PIN = "fraud:2@sha256:" + "2" * 64
OLD, NEW = table_scorer(), table_scorer(NEXT_PIN, factor=3.0)
FACTORS = {PIN: 2.0, NEXT_PIN: 3.0}

REQUEST = ScoreRequest.from_document(
    {
        "source": {"bucket": "in", "key": "a.csv"},
        "output": {"bucket": "out"},
        "options": {"on_bad_rows": "skip"},
    }
)


@pytest.fixture(autouse=True)
def _many_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "PART_BYTES", 40)
    monkeypatch.setattr(result_files, "_WAIT_SECONDS", 0.0)


@pytest.fixture
def owners_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wrote an output without a manifest was killed: its time is over."""
    monkeypatch.setattr(result_files, "_GRACE_SECONDS", -100_000.0)


def table(count: int, first: int = 0) -> bytes:
    rows = [b"x,a" if i % 5 == 4 else b"%d,a" % (first + i) for i in range(count)]
    return b"age,name\n" + b"\n".join(rows) + b"\n"


def run(places: Places, scorer: Scorer, interrupt: Callable[..., None]) -> Outcome:
    return score(
        REQUEST,
        Interrupted(places.source, interrupt),
        Interrupted(places.output, interrupt),
        scorer,
        seconds_left=lambda: 60.0,
        block_bytes=20,
    )


def check_pair(places: Places, data: bytes) -> None:
    """The output is the answer of the model that its manifest names, to all valid rows."""
    manifest = places.json("a.csv.manifest.json")
    state = places.output.state("a.csv")
    assert state is not None
    assert manifest["output"]["etag"] == state.etag
    rows = data.split()[1:]
    ages = [int(row.split(b",")[0]) for row in rows if not row.startswith(b"x")]
    found = [float(line.split(b",")[2]) for line in places.read("a.csv").splitlines()[1:]]
    assert found == [FACTORS[manifest["model"]] * age for age in ages]
    rejected = len(rows) - len(ages)
    assert (manifest["rows"], manifest["rejected"]) == (len(rows), rejected)
    if rejected:
        assert len(places.read("a.csv.rejected.jsonl").splitlines()) == rejected
    else:
        assert "a.csv.rejected.jsonl" not in places.files()


# Kills


@FRESH
@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([OLD, NEW])), max_size=4),
    st.integers(1, 20),
)
@pytest.mark.usefixtures("owners_are_gone")
def test_kills_and_redeliveries_end_with_one_output_and_its_manifest(
    places: Places, kills: list[tuple[int, Scorer]], rows: int
) -> None:
    for name in places.files():
        (places.root / "out" / name).unlink()
    data = table(rows)
    places.put("a.csv", data)
    for moments, scorer in kills:
        with suppress(Killed):
            run(places, scorer, KillAfter(moments))
        if "a.csv.manifest.json" in places.files():
            check_pair(places, data)

    outcome = run(places, NEW, KillAfter(10_000))

    assert outcome.status in ("scored", "unchanged")
    check_pair(places, data)
    assert outcome.model == places.json("a.csv.manifest.json")["model"]


@pytest.mark.usefixtures("owners_are_gone")
@pytest.mark.parametrize("moments", range(0, 60, 3))
def test_an_object_that_replaces_another_is_scored_after_a_kill(
    places: Places, moments: int
) -> None:
    places.put("a.csv", table(7))
    run(places, OLD, KillAfter(10_000))
    data = table(4, first=50)
    places.put("a.csv", data)

    with suppress(Killed):
        run(places, NEW, KillAfter(moments))
    run(places, NEW, KillAfter(10_000))

    check_pair(places, data)


def test_an_output_that_somebody_is_about_to_finish_is_left_to_them(places: Places) -> None:
    places.put("a.csv", table(3))
    places.output.put("a.csv", b"an output without a manifest", replaces=None)

    with pytest.raises(StoreError, match="another invocation is about to finish it"):
        run(places, OLD, KillAfter(10_000))

    assert places.read("a.csv") == b"an output without a manifest"


def test_an_output_whose_writers_time_is_over_is_replaced(places: Places) -> None:
    data = table(3)
    places.put("a.csv", data)
    places.output.put("a.csv", b"an output without a manifest", replaces=None)
    long_ago = time.time() - 100
    os.utime(places.root / "out" / "a.csv", (long_ago, long_ago))

    run(places, OLD, KillAfter(10_000))

    check_pair(places, data)


# Duplicates


def test_the_same_object_three_times_is_scored_once(places: Places) -> None:
    places.put("a.csv", table(9))

    outcomes = [run(places, OLD, KillAfter(10_000)) for _ in range(3)]

    assert [outcome.status for outcome in outcomes] == ["scored", "unchanged", "unchanged"]
    assert {outcome.rows for outcome in outcomes} == {9}


def test_a_duplicate_after_a_promotion_changes_nothing(places: Places) -> None:
    places.put("a.csv", table(9))
    run(places, OLD, KillAfter(10_000))
    before = {name: places.read(name) for name in places.files()}

    outcome = run(places, NEW, KillAfter(10_000))

    assert (outcome.status, outcome.model) == ("unchanged", PIN)
    assert {name: places.read(name) for name in places.files()} == before


def test_another_object_under_the_same_key_replaces_the_pair(places: Places) -> None:
    places.put("a.csv", table(9))
    run(places, OLD, KillAfter(10_000))
    data = table(3, first=30)
    places.put("a.csv", data)

    outcome = run(places, NEW, KillAfter(10_000))

    assert (outcome.status, outcome.model) == ("scored", NEXT_PIN)
    check_pair(places, data)


@settings(FRESH, max_examples=attack(60))
@given(st.lists(st.integers(0, 2), max_size=120), st.integers(1, 8))
def test_duplicates_at_the_same_time_end_with_one_pair_that_never_changes(
    places: Places, order: list[int], rows: int
) -> None:
    for name in places.files():
        (places.root / "out" / name).unlink()
    data = table(rows)
    places.put("a.csv", data)
    finished: list[str] = []

    def watch() -> None:
        names = places.files()
        if {"a.csv", "a.csv.manifest.json"} <= set(names):
            state = places.output.state("a.csv")
            assert state is not None
            if places.json("a.csv.manifest.json")["output"]["etag"] == state.etag:
                finished.append(state.etag)

    turns = Turns(order, 3, watch)
    outcomes: list[Outcome] = []

    def deliver(actor: int, scorer: Scorer) -> None:
        try:
            for _ in range(100):
                with suppress(StoreError):
                    outcomes.append(run(places, scorer, turns.of(actor)))
                    return
        finally:
            turns.leave(actor)

    actors = [
        threading.Thread(target=deliver, args=(actor, scorer))
        for actor, scorer in enumerate((OLD, NEW, NEW))
    ]
    for each in actors:
        each.start()
    for each in actors:
        each.join(60)

    check_pair(places, data)
    assert len(set(finished)) == 1
    assert sorted(outcome.status for outcome in outcomes) == ["scored", "unchanged", "unchanged"]


# Failures


def test_an_object_that_succeeds_later_has_no_error_any_more(places: Places) -> None:
    places.put("b.csv", b"age,name\nx,a\n")
    places.score("b.csv", OLD)
    assert places.files() == ["b.csv.error.json"]
    places.put("b.csv", b"age,name\n1,a\n")

    places.score("b.csv", OLD)

    assert places.files() == ["b.csv", "b.csv.manifest.json"]


def test_a_failed_object_is_tried_again_by_another_model(places: Places) -> None:
    places.put("b.csv", b"age,name\nx,a\n")
    first = places.score("b.csv", OLD)
    second = places.score("b.csv", NEW)

    assert (first.status, second.status) == ("failed", "failed")
    assert places.json("b.csv.error.json")["model"] == NEXT_PIN


def test_the_result_of_the_object_before_stays_beside_an_error(places: Places) -> None:
    places.put("b.csv", b"age,name\n1,a\n")
    before = places.score("b.csv", OLD)
    places.put("b.csv", b"age,name\nx,a\n")

    failed = places.score("b.csv", OLD)

    assert places.json("b.csv.manifest.json")["source"]["etag"] == before.source_etag
    assert places.json("b.csv.error.json")["source"]["etag"] == failed.source_etag


def test_an_object_that_is_gone_leaves_nothing(places: Places) -> None:
    assert places.score("b.csv", OLD).status == "gone"
    assert places.files() == []


def test_an_object_that_is_replaced_while_it_is_read_is_begun_again(places: Places) -> None:
    places.put("a.csv", table(40))
    data = table(6, first=60)
    replaced = threading.Event()

    def replace_once(moment: str) -> None:
        if moment == "after" and not replaced.is_set():
            replaced.set()  # the state of the first object is known, its bytes are not read
            places.put("a.csv", data)

    outcome = run(places, OLD, replace_once)

    state = places.source.state("a.csv")
    assert state is not None
    assert outcome.source_etag == state.etag
    check_pair(places, data)


def test_a_manifest_that_is_no_manifest_does_not_hinder(places: Places) -> None:
    data = table(3)
    places.put("a.csv", data)
    places.output.put("a.csv.manifest.json", b"[1", replaces=None)

    run(places, OLD, KillAfter(10_000))

    check_pair(places, data)
