"""One structured log line an invocation, which is its metrics too, and a start-up startup."""

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

#: What Lambda logs, by its number: no layer of Python's in between, of which each takes time.
_STDOUT = 1

#: Every dimension set is a metric of its own to pay for: one by function and alias is enough.
_DIMENSIONS = ["function_name", "alias"]


class StartupTimings:
    """How long each step of the start took; steps may overlap."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._steps: dict[str, dict[str, Any]] = {}
        self._notes: dict[str, Any] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a step; what is put into the yielded dict is logged with it."""
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
        """Keep facts about the start as a whole."""
        self._notes |= facts

    def summary(self) -> dict[str, Any]:
        """Return all steps, and the time since the startup was opened."""
        total = round((time.perf_counter() - self._started) * 1000, 1)
        return {"total_ms": total, "steps": self._steps, **self._notes}

    def timings(self) -> dict[str, float]:
        """Return the milliseconds of each step by name."""
        return {name: details["ms"] for name, details in self._steps.items()}


class Metrics:
    """The metrics of one kind of log line, which is both: a record, and embedded metric format.

    Args:
        units: of each metric, by name; CloudWatch's words.
    """

    def __init__(self, units: Mapping[str, str]) -> None:
        # What no two lines differ in is encoded once.
        metrics = [{"Name": name, "Unit": unit} for name, unit in units.items()]
        declared = {"Namespace": NAMESPACE, "Dimensions": [_DIMENSIONS], "Metrics": metrics}
        self._declared = orjson.Fragment(orjson.dumps([declared]))

    def emit(self, line: dict[str, Any]) -> None:
        """Write one line of JSON.

        Args:
            line: what happened (`event`), the metrics' values by name, `function_name` and `alias`,
                which are the dimensions, and what else to log.
        """
        now = time.time_ns() // 1_000_000
        line["_aws"] = {"Timestamp": now, "CloudWatchMetrics": self._declared}
        _write(line)


def log(event: str, **fields: Any) -> None:
    """Write one line of JSON."""
    _write({"event": event, **fields})


def _write(document: Mapping[str, Any]) -> None:
    line = orjson.dumps(document, default=str, option=orjson.OPT_APPEND_NEWLINE)
    # One write, so that lines of several threads do not mix; a pipe may take less of a long one.
    while line:
        line = line[os.write(_STDOUT, line) :]


def log_error(event: str, error: BaseException, **fields: Any) -> None:
    """Write one line of JSON with the error and its traceback, which no caller ever sees."""
    stack = "".join(traceback.format_exception(error))
    log(event, error=f"{type(error).__name__}: {error}", traceback=stack, **fields)


def peak_memory_mb() -> int:
    """Return the most memory that this process ever held."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))
