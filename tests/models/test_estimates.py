"""Latency and cost follow the processors that Lambda gives for memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from shearling.bundle.measurement import Latency, Measurement
from shearling.models.estimates import Point, cold_start_ms, point
from shearling.models.prices import Prices
from tests.support.bundles import MEASURED

PRICES = Prices.read()


def measured(one: float, two: float | None) -> Measurement:
    """A model that takes these milliseconds for a row, with one thread and with two."""
    times = {1: one, 2: two}
    return replace(
        MEASURED,
        latencies=tuple(
            Latency(rows=1, threads=threads, p50_ms=ms, p95_ms=1.5 * ms)
            for threads, ms in times.items()
            if ms is not None
        ),
    )


def at(memory_mb: int, one: float = 100.0, two: float | None = None, tmp_mb: int = 512) -> Point:
    found = point(measured(one, two), PRICES, memory_mb=memory_mb, tmp_mb=tmp_mb)
    assert found
    return found


def test_a_whole_processor_takes_what_the_push_measured() -> None:
    assert at(1769).p50_ms == pytest.approx(100, rel=0.01)
    assert at(1769).p95_ms == pytest.approx(150, rel=0.01)


def test_half_of_a_processor_takes_twice_the_time_for_the_same_money() -> None:
    assert at(885).p50_ms == pytest.approx(2 * at(1769).p50_ms, rel=0.01)
    for memory_mb in (256, 512, 885, 1200):
        assert at(memory_mb).cost_million == pytest.approx(at(1769).cost_million, rel=0.02)


def test_a_model_of_one_thread_gets_dearer_but_not_faster_beyond() -> None:
    assert at(3538, 100, 100).p50_ms == at(1769).p50_ms
    assert at(3538, 100, 110).p50_ms == at(1769).p50_ms
    assert at(3538).cost_million > 1.9 * at(1769).cost_million - 0.2


def test_a_model_of_many_threads_gets_faster() -> None:
    assert at(3538, 100, 50).p50_ms == pytest.approx(50, rel=0.01)
    assert at(10240, 100, 50).p50_ms == pytest.approx(100 / (10240 / 1769), rel=0.01)
    # Half of the work is serial.
    assert at(3538, 100, 75).p50_ms == pytest.approx(75, rel=0.01)
    assert at(7076, 100, 75).p50_ms == pytest.approx(50 + 50 / 4, rel=0.01)


def test_more_memory_is_never_slower() -> None:
    times = [at(memory, 100, 60).p95_ms for memory in range(128, 10241, 64)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(times))


def test_a_request_costs_whole_milliseconds_and_what_every_request_costs() -> None:
    # 1 ms of 1 GB a million times, and the price of a million requests.
    assert at(1024, 0.2).cost_million == pytest.approx(0.2 + 1000 * 0.0000166667)
    assert at(2048, 0.2).cost_million == pytest.approx(0.2 + 2 * 1000 * 0.0000166667)


def test_tmp_above_its_default_costs_little() -> None:
    added = at(1769, tmp_mb=10240).cost_million - at(1769).cost_million
    # 9.5 GB for 101 ms.
    assert added == pytest.approx(101_000 * 9.5 * 0.0000000309)


def test_without_latencies_nothing_is_known() -> None:
    empty = replace(MEASURED, latencies=())
    assert point(empty, PRICES, memory_mb=1024, tmp_mb=512) is None


def test_a_cold_start_waits_for_the_longer_of_imports_and_fetch() -> None:
    small, large = cold_start_ms(MEASURED, 1), cold_start_ms(MEASURED, 800)
    assert small == cold_start_ms(MEASURED, 2)
    assert large - small == pytest.approx(10_000 - MEASURED.import_ms)
