"""Measure how long several functions take, side by side, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Calls of each function, and the seconds after which no further round begins.
_ROUNDS, _SECONDS = 30, 2.0


def median_milliseconds(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median time of each call in milliseconds; the calls take turns.

    Args:
        calls: what to call, by name. Each is called once before it is measured.
    """
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + _SECONDS
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
        if time.perf_counter() > end:
            break
    return {name: 1000 * median(measured) for name, measured in times.items()}
