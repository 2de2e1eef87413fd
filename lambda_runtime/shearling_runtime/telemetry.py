"""Write structured log lines with embedded metrics, and time the steps of the start-up."""

from __future__ import annotations

import os
import sys
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMESPACE = "Shearling"

#: File descriptor that Lambda logs. Writing to it directly is faster than Python's streams.
_STDOUT = 1

#: CloudWatch bills each set of dimensions as its own metric, so there is only one set.
_DIMENSIONS = ["function_name", "alias"]


class StartupTimings:
    """Durations of the steps of the start-up; steps may overlap."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._steps: dict[str, dict[str, Any]] = {}
        self._notes: dict[str, Any] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a step, and log the values that the caller puts into the yielded dict."""
        details: dict[str, Any] = {}
        started = time.perf_counter()
        try:
            yield details
        finally:
            seconds = time.perf_counter() - started
            details["ms"] = round(seconds * 1000, 1)
            if details.get("bytes"):
                details["mb_per_second"] = round(details["bytes"] / seconds / 1e6, 1)
            self._steps[name] = details

    def note(self, **facts: Any) -> None:
        """Add fields about the whole start-up."""
        self._notes |= facts

    def summary(self) -> dict[str, Any]:
        """Return all steps, and the milliseconds since this object was created."""
        total = round((time.perf_counter() - self._started) * 1000, 1)
        return {"total_ms": total, "steps": self._steps, **self._notes}

    def timings(self) -> dict[str, float]:
        """Return the milliseconds of each finished step by name."""
        return {name: details["ms"] for name, details in self._steps.items()}


class Metrics:
    """Writes one kind of log line, with its metrics in CloudWatch's embedded metric format.

    Args:
        units: unit of each metric by name, in CloudWatch's terms.
    """

    def __init__(self, units: Mapping[str, str]) -> None:
        # The declaration is the same in each line, so it is encoded once.
        metrics = [{"Name": name, "Unit": unit} for name, unit in units.items()]
        declared = {"Namespace": NAMESPACE, "Dimensions": [_DIMENSIONS], "Metrics": metrics}
        self._declared = orjson.Fragment(orjson.dumps([declared]))

    def emit(self, line: dict[str, Any]) -> None:
        """Write one line of JSON.

        Args:
            line: `event` (what happened), the value of each metric by name, the dimensions
                `function_name` and `alias`, and any other fields.
        """
        now = time.time_ns() // 1_000_000
        line["_aws"] = {"Timestamp": now, "CloudWatchMetrics": self._declared}
        _write(line)


def log(event: str, **fields: Any) -> None:
    """Write one line of JSON."""
    _write({"event": event, **fields})


def _write(document: Mapping[str, Any]) -> None:
    line = orjson.dumps(document, default=str, option=orjson.OPT_APPEND_NEWLINE)
    # One write for each line, so that threads do not mix lines; a pipe may accept only a part.
    while line:
        line = line[os.write(_STDOUT, line) :]


def log_error(event: str, error: BaseException, **fields: Any) -> None:
    """Write one line of JSON with an error and its traceback, which responses never contain."""
    stack = "".join(traceback.format_exception(error))
    log(event, error=f"{type(error).__name__}: {error}", traceback=stack, **fields)


def peak_memory_mb() -> int:
    """Return the peak memory of this process in MB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))
