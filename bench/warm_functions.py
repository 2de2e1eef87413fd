"""How long a function takes that has started, in a sandbox of its own."""

from __future__ import annotations

import json
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.cold_start import emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.cold_start import Function

#: Invocations of a warm function.
_WARM = 50


def warm_seconds(function: Function) -> float:
    """Return the median seconds of an invocation of a function that has started."""
    with emulator(function) as running:
        running.invoke(function.event)
        return median(_timed(lambda: running.invoke(function.event)) for _ in range(_WARM))


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    json.loads(call()["body"])
    return time.perf_counter() - started
