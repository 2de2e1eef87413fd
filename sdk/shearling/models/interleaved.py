"""Measure two models in turn, and decide whether one is worth having."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from shearling.models.latency import TIMED_ROWS, median_milliseconds
from shearling.models.tensor_rows import repeated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.models.candidates import Candidate

    Tensors = Mapping[str, NDArray[Any]]

#: The least number of rounds: what pays is decided by their medians.
_LEAST = 5

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
    both = dict(enumerate((first, second)))
    loads = median_milliseconds({i: model.reload for i, model in both.items()}, least=_LEAST)
    latencies = {}
    for count in TIMED_ROWS:
        request = repeated(rows, count)
        calls = {i: partial(model.predict, request) for i, model in both.items()}
        latencies[count] = median_milliseconds(calls, least=_LEAST)
    before, after = (
        Timing(loads[i], {count: pair[i] for count, pair in latencies.items()}) for i in both
    )
    return before, after


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
