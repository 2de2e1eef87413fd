"""Write structured log lines with embedded metrics, and time the steps of the start-up."""

from __future__ import annotations

import os
import reprlib
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NAMESPACE = "Shearling"

#: File descriptor that Lambda logs. Writing to it directly is faster than Python's streams.
_STDOUT = 1

#: Maximum bytes of a line.
_LINE_BYTES = 64 * 1024

#: Maximum bytes of a field of a line that is too long; the first that makes it fit is used.
_FIELD_BYTES = (16 * 1024, 2 * 1024, 256)

#: Maximum characters of a field's name, and of a part of a traceback.
_NAME_CHARACTERS, _PART_CHARACTERS = 64, 2000

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


def log_error(event: str, error: BaseException, **fields: Any) -> None:
    """Write one line of JSON with an error and its traceback, which responses never contain."""
    # Unlike `str(error)`, this cannot fail.
    details = traceback.TracebackException.from_exception(error)
    # The message of an error may repeat a whole request.
    stack = "".join(cut(part, _PART_CHARACTERS) for part in details.format())
    message = cut(f"{type(error).__name__}: {details}", _PART_CHARACTERS)
    log(event, error=message, traceback=stack, **fields)


def cut(text: str, most: int) -> str:
    """Cut a caller's text for a message or the log, and escape what UTF-8 cannot encode."""
    # JSON can contain half of a surrogate pair.
    shown = text[:most].encode("utf-8", "backslashreplace").decode()
    return f"{shown}..." if len(text) > most else shown


def show_only_errors() -> None:
    """Write errors as text to standard error from now on, and no other lines: for a terminal."""
    global _write  # noqa: PLW0603 - one process has one log
    _write = _write_error


def _write_error(document: Mapping[str, Any]) -> None:
    """Write the traceback of a line that has one."""
    if "traceback" not in document:
        return
    request = document.get("request_id")
    title = f"{document['event']} (request {request})" if request else str(document["event"])
    sys.stderr.write(f"{title}:\n{document['traceback'].rstrip()}\n")


def _write_line(document: Mapping[str, Any]) -> None:
    try:
        line = orjson.dumps(document, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        line = b""
    if not 0 < len(line) <= _LINE_BYTES:
        line = _shortened(document)
    # One write for each line, so that threads do not mix lines; a pipe may accept only a part.
    while line:
        line = line[os.write(_STDOUT, line) :]


#: Writes the fields of a line; `show_only_errors` replaces it.
_write: Callable[[Mapping[str, Any]], None] = _write_line


def _shortened(document: Mapping[str, Any]) -> bytes:
    """Format a line that is too long or cannot be encoded, with its fields cut."""
    line = b""
    for most in _FIELD_BYTES:
        fields = {
            cut(name, _NAME_CHARACTERS): _field(each, most) for name, each in document.items()
        }
        line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
        if len(line) <= _LINE_BYTES:
            break
    return line


def _field(value: object, most: int) -> object:
    """Return a field's value; one of more bytes than `most` becomes the beginning of its text."""
    try:
        data = orjson.dumps(value, default=str)
    except orjson.JSONEncodeError:
        data = b""
    if 0 < len(data) <= most:
        return orjson.Fragment(data)
    text = value if isinstance(value, str) else data.decode() or reprlib.repr(value)
    # JSON takes up to six bytes for a character.
    return cut(text, most // 6)


def peak_memory_mb() -> int:
    """Return the peak memory of this process in MB of 2^20 bytes.

    Linux's `ru_maxrss` also counts the process that started this one.
    """
    peak = status_mb("VmHWM")
    if peak is None:
        import resource

        bytes_per_unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit / 2**20
    return round(peak)


def status_mb(field: str) -> float | None:
    """Return a size of this process in MB of 2^20 bytes, as Linux has it; None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    kib = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return next((int(size) / 1024 for size in kib), None)
