"""Events and their answers: each by its door, and one line in the log."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from shearling.errors import InferenceError, PredictionError
from shearling_runtime.doors import door_of
from shearling_runtime.routes import Caller, Reply
from shearling_runtime.telemetry import Metrics, log_error

if TYPE_CHECKING:
    from shearling_runtime.server import Server

_METRICS = Metrics({"Latency": "Milliseconds", "ClientErrors": "Count", "ServerErrors": "Count"})


class Context(Protocol):
    """What is used of Lambda's context object."""

    aws_request_id: str
    function_name: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int:
        """Return how much of the function's timeout is left."""
        ...


def respond(event: Any, context: Context, server: Server) -> Any:
    """Answer an event in the form that its source expects; never raises for a caller's mistake."""
    started = time.perf_counter_ns()
    alias = _alias(context.invoked_function_arn)
    caller = Caller(alias, context.get_remaining_time_in_millis() / 1000)
    door = door_of(event)
    try:
        reply = door.ask(event, caller, server)
        answer = door.write(event, reply)
    except Exception as error:  # noqa: BLE001 - a caller gets a sentence, the log the traceback
        reply = _failed(error, context, server)
        answer = door.write(event, reply)
    _emit(reply, context, server, alias or "none", started)
    return answer


def _failed(error: Exception, context: Context, server: Server) -> Reply:
    """Return what a caller is told of an error; the log has the rest under the request's id."""
    request_id = context.aws_request_id
    if isinstance(error, PredictionError):
        cause = error.__cause__ or error
        log_error("prediction failed", cause, request_id=request_id, model=server.name)
        message = f"{error}; the function's log has the cause under {request_id}"
        return Reply(error.status, {"error": message})
    if isinstance(error, InferenceError):
        return Reply(error.status, {"error": str(error)})
    log_error("internal error", error, request_id=request_id)
    message = f"internal error; the function's log has it under {request_id}"
    return Reply(500, {"error": message})


@cache
def _alias(invoked_function_arn: str) -> str | None:
    """Return the alias in the ARN that was invoked, or None for a version or none."""
    parts = invoked_function_arn.split(":")
    qualifier = parts[7] if len(parts) > 7 else ""  # noqa: PLR2004 - where an ARN has it
    return qualifier if qualifier and not qualifier[0].isdigit() and qualifier[0] != "$" else None


def _emit(reply: Reply, context: Context, server: Server, alias: str, started: int) -> None:
    status = reply.status
    line = {
        "event": "invocation",
        "function_name": context.function_name,
        "alias": alias,
        "request_id": context.aws_request_id,
        "status": status,
        "model": server.name,
        "Latency": (time.perf_counter_ns() - started) // 10_000 / 100,
        "ClientErrors": int(400 <= status < 500),  # noqa: PLR2004
        "ServerErrors": int(status >= 500),  # noqa: PLR2004
    }
    if status >= 400 and reply.document:  # noqa: PLR2004
        line["error"] = reply.document.get("error")
    _METRICS.emit(line)
