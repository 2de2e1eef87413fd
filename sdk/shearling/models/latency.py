"""Measure how long several functions take, side by side, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Key = TypeVar("_Key")

#: Numbers of rows of the requests that are measured.
TIMED_ROWS = (1, 64)

#: The most rounds, and the seconds after which no other one starts.
_MOST, _SECONDS = 101, 1.0


def median_milliseconds(
    calls: Mapping[_Key, Callable[[], object]], *, least: int = 1
) -> dict[_Key, float]:
    """Return the median time of each call in milliseconds; the calls take turns.

    Args:
        calls: what to call, by name. Each is called once before it is measured.
        least: the least number of rounds, however long they take.
    """
    for call in calls.values():
        call()
    times: dict[_Key, list[float]] = {name: [] for name in calls}
    turns = list(calls.items())
    begun = time.perf_counter()
    for turn in range(_MOST):
        if turn >= least and time.perf_counter() - begun > _SECONDS:
            break
        for name, call in turns:
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
        turns.reverse()  # so that none is always the one that follows a certain other
    return {name: 1000 * median(measured) for name, measured in times.items()}
