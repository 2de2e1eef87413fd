"""Runs in the function's interpreter: calls one handler again and again, and times it.

What `session.run` takes is measured inside the very same requests, so that what remains is the
overhead of all that is around it.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import sys
import time
from importlib import import_module
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.processes import answer_questions

if TYPE_CHECKING:
    from collections.abc import Callable

_RUN_NS: list[int] = []

#: Between two requests a function waits for the next: the reader of its log has gone to sleep, and
#: neither the processor's caches nor its branches remember the last one.
_PAUSE_SECONDS = 0.001


class Context:
    """What a handler finds in Lambda's context."""

    aws_request_id = "5b441b59-a550-11c8-6564-f1c833cf438c"
    function_name = "acme-small"
    function_version = "7"
    memory_limit_in_mb = "3538"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:acme-small:prod"
    log_group_name = "/aws/lambda/acme-small"
    log_stream_name = "2026/03/12/[7]0123456789abcdef0123456789abcdef"

    def get_remaining_time_in_millis(self) -> int:
        """Return a whole timeout."""
        return 30_000


def time_session_runs() -> None:
    """Note how long each `session.run` takes."""
    import onnxruntime

    original: Callable[..., Any] = onnxruntime.InferenceSession.run

    def run(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter_ns()
        outputs = original(*arguments, **options)
        _RUN_NS.append(time.perf_counter_ns() - started)
        return outputs

    onnxruntime.InferenceSession.run = run


def main() -> None:
    """Load the handler and answer the benchmark's questions."""
    time_session_runs()
    module, _, function = sys.argv[1].rpartition(".")
    handler = getattr(import_module(module), function)
    context = Context()

    def answer(
        event: dict[str, Any], count: int, *, profile: bool = False, pause: bool = True
    ) -> dict[str, Any]:
        if profile:
            return {"profile": _profile(lambda: handler(event, context), count)}
        request, overhead, run = [], [], []
        for _ in range(count):
            _RUN_NS.clear()
            started = time.perf_counter_ns()
            answered = handler(event, context)
            whole = time.perf_counter_ns() - started
            if pause:
                time.sleep(_PAUSE_SECONDS)
            request.append(whole)
            run.append(_RUN_NS[-1])
            overhead.append(whole - _RUN_NS[-1])
        return {
            "answer": answered,
            "request": median(request) / 1e9,
            "overhead": median(overhead) / 1e9,
            "run": median(run) / 1e9,
        }

    answer_questions(answer)


def _profile(call: Callable[[], object], count: int) -> list[tuple[str, float, float]]:
    """Return where the time of a request goes: a function, its own share, and with its callees."""
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(count):
        call()
    profiler.disable()
    statistics = pstats.Stats(profiler, stream=io.StringIO())
    entries: dict[Any, Any] = statistics.stats  # type: ignore[attr-defined]
    total = sum(entry[2] for entry in entries.values())
    by_time = sorted(entries.items(), key=lambda item: -item[1][3])
    return [(_name(place), entry[2] / total, entry[3] / total) for place, entry in by_time[:25]]


def _name(place: tuple[str, int, str]) -> str:
    path, line, function = place
    return function if path == "~" else f"{'/'.join(path.split('/')[-2:])}:{line} {function}"


if __name__ == "__main__":
    main()
