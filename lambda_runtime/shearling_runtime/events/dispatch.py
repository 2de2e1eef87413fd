"""Answer each event in the form that its source expects, and log one line."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

from shearling_runtime.events import direct
from shearling_runtime.events.sources import http_source_of, is_about_objects
from shearling_runtime.http.failures import failure_response
from shearling_runtime.http.messages import Caller, Response
from shearling_runtime.http.router import route
from shearling_runtime.telemetry import Metrics

if TYPE_CHECKING:
    from shearling_runtime.events.context import Context
    from shearling_runtime.serving.model_server import ModelServer

_UNITS = {"Latency": "Milliseconds", "ClientErrors": "Count", "ServerErrors": "Count"}
_METRICS = Metrics(_UNITS)
#: The same for a model that reads texts.
_TEXT_METRICS = Metrics({**_UNITS, "TruncatedTexts": "Count"})


def respond(event: Any, context: Context, server: ModelServer) -> Any:
    """Answer an event in the form that its source expects; an error becomes a response.

    Args:
        event: event of any source, or a request by direct invocation.
        context: Lambda's context of the invocation.
        server: server of the model.
    """
    started = time.perf_counter_ns()
    alias = _alias(context.invoked_function_arn)
    source = http_source_of(event)
    if source is None and is_about_objects(event):
        from shearling_runtime.events import jobs, objects

        kind = jobs if jobs.matches(event) else objects
        return kind.respond(event, context, server, alias or "none")
    seconds_left = context.get_remaining_time_in_millis() / 1000
    if source:
        seconds_left = min(seconds_left, source.seconds_limit(event))
    caller = Caller(alias, seconds_left)
    write = source.write if source else direct.write
    try:
        if source:
            response = route(source.read(event), caller, server)
        else:
            response = direct.respond(event, caller, server)
        answer = write(event, response)
    except Exception as error:  # noqa: BLE001 - becomes a response and a log line
        response = failure_response(error, context.aws_request_id, model=server.name)
        answer = write(event, response)
    _emit(response, context, server, alias or "none", started)
    return answer


@cache
def _alias(invoked_function_arn: str) -> str | None:
    """Return the alias in the invoked ARN; None for a version number or no qualifier."""
    parts = invoked_function_arn.split(":")
    qualifier = parts[7] if len(parts) > 7 else ""  # noqa: PLR2004 - the position in an ARN
    return qualifier if qualifier and not qualifier[0].isdigit() and qualifier[0] != "$" else None


def _emit(
    response: Response, context: Context, server: ModelServer, alias: str, started: int
) -> None:
    status = response.status
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
    if status >= 400 and response.document:  # noqa: PLR2004
        line["error"] = response.document.get("error")
    if response.truncated is None:
        _METRICS.emit(line)
    else:
        _TEXT_METRICS.emit({**line, "TruncatedTexts": response.truncated})
