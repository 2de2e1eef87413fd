"""A measurement survives the record, and what is no measurement is none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.bundle.measurement import MEASURED_FIELD, Measurement
from tests.support.bundles import MEASURED

#: JSON values, and numbers that are almost right.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def read(value: object) -> Measurement | None:
    return Measurement.from_details({MEASURED_FIELD: value})


def record(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(MEASURED.to_record()))
    return document | changes


@pytest.mark.parametrize("model_mb", [21.9, None])
def test_a_record_has_all_of_a_measurement(model_mb: float | None) -> None:
    measured = replace(MEASURED, model_mb=model_mb)
    assert read(json.loads(json.dumps(measured.to_record()))) == measured


def test_a_newer_measurement_may_have_more_fields() -> None:
    assert read(record(watts=7)) == MEASURED


def test_the_smallest_and_the_largest_request_are_found_by_threads() -> None:
    assert MEASURED.latency() == MEASURED.latencies[0]
    assert MEASURED.latency(largest=True) == MEASURED.latencies[1]
    assert MEASURED.latency(largest=True, threads=2) == MEASURED.latencies[2]
    assert MEASURED.latency(threads=4) is None


def test_an_older_record_has_no_measurement() -> None:
    assert Measurement.from_details({"load_ms": 7}) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"peak_mb": -1},
        {"peak_mb": 2**24},
        {"peak_mb": True},
        {"peak_mb": "120"},
        {"peak_mb": float("nan")},
        {"latencies": [{"rows": 0, "threads": 1, "p50_ms": 1, "p95_ms": 1}]},
        {"latencies": [{"rows": 1, "threads": 0, "p50_ms": 1, "p95_ms": 1}]},
        {"latencies": 17 * [{"rows": 1, "threads": 1, "p50_ms": 1, "p95_ms": 1}]},
        {"flags": 33 * ["avx"]},
        {"flags": "avx"},
        {"processor": None},
    ],
)
def test_an_invalid_measurement_counts_as_none(changes: dict[str, Any]) -> None:
    assert read(record(**changes)) is None


@given(field=st.sampled_from(sorted(MEASURED.to_record())), value=VALUES)
def test_no_value_of_a_record_raises(field: str, value: object) -> None:
    found = read(record(**{field: value}))
    assert found is None or isinstance(found, Measurement)
    read(value)
