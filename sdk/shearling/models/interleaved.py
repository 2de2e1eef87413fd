"""Measure two models in turn, and decide whether one is worth having."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shearling.models.candidates import Candidate

    Tensors = Mapping[str, NDArray[Any]]

#: Numbers of rows of the requests that are measured.
ROWS = (1, 64)

#: The least and the most repetitions, and the seconds after which no other one starts.
_LEAST, _MOST, _SECONDS = 5, 101, 1.0

#: What pays: so many times smaller and at most so many times slower, or so many times faster.
_SMALLER, _SLOWER, _FASTER = 1.5, 1.1, 1.2

#: A difference of fewer milliseconds is none: a request takes longer to arrive.
_NOTHING_MS = 0.05


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians in milliseconds.

    Attributes:
        load_ms: time to load the model.
        latency_ms: time of a request by its number of rows.
    """

    load_ms: float
    latency_ms: dict[int, float]


def interleaved(first: Candidate, second: Candidate, rows: Tensors) -> tuple[Timing, Timing]:
    """Measure two models in turn, so that what slows the machine for a while slows both.

    Args:
        first: one model.
        second: the other.
        rows: rows to answer, repeated as needed.
    """
    both = (first, second)
    loads = _medians([model.load_seconds for model in both])
    latencies = {}
    for count in ROWS:
        request = {name: array[np.arange(count) % len(array)] for name, array in rows.items()}
        latencies[count] = _medians([_timed(model, request) for model in both])
    return (
        Timing(loads[0], {count: pair[0] for count, pair in latencies.items()}),
        Timing(loads[1], {count: pair[1] for count, pair in latencies.items()}),
    )


def gain_missing(sizes: tuple[int, int], before: Timing, after: Timing) -> str:
    """Return why a model is not worth a new version; empty if it is.

    Args:
        sizes: bytes of the original and of the other.
        before: times of the original.
        after: times of the other.
    """
    smaller = sizes[0] / sizes[1]
    slower = {
        count: 1.0
        if abs(after.latency_ms[count] - ms) < _NOTHING_MS
        else after.latency_ms[count] / ms
        for count, ms in before.latency_ms.items()
    }
    count, most = max(slower.items(), key=lambda item: item[1])
    if most > _SLOWER:
        return f"{most:.2f} times slower with {count} rows, and {_SLOWER:g} are allowed"
    if smaller >= _SMALLER or min(slower.values()) <= 1 / _FASTER:
        return ""
    return (
        f"{smaller:.2f} times smaller and at most {1 / min(slower.values()):.2f} times faster, but "
        f"{_SMALLER:g} times smaller or {_FASTER:g} times faster pays"
    )


def _timed(model: Candidate, request: Tensors) -> Callable[[], float]:
    def run() -> float:
        started = time.perf_counter()
        model.predict(request)
        return time.perf_counter() - started

    return run


def _medians(runs: list[Callable[[], float]]) -> list[float]:
    """Return the median of each run in milliseconds, after one that does not count."""
    found: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    started = time.perf_counter()
    for turn in range(_MOST):
        if turn >= _LEAST and time.perf_counter() - started > _SECONDS:
            break
        for place in range(len(runs))[:: -1 if turn % 2 else 1]:
            found[place].append(runs[place]() * 1000)
    return [median(times) for times in found]
