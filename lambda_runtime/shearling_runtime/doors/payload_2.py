"""Payload 2.0: an HTTP API, or a function URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling_runtime.http import Request, http_answer, lower_case, without_stage
from shearling_runtime.routes import route

if TYPE_CHECKING:
    from shearling_runtime.routes import Caller, Reply
    from shearling_runtime.server import Server


def takes(event: Any) -> bool:
    """Say whether an event is of this payload."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    return isinstance(context, dict) and isinstance(context.get("http"), dict)


def read(event: Any) -> Request:
    """Return the request of an event."""
    context = event["requestContext"]
    return Request(
        _method(event),
        without_stage(str(event.get("rawPath", "/")), context.get("stage")),
        lower_case(event.get("headers")),
        event.get("body"),
        bool(event.get("isBase64Encoded")),
    )


def ask(event: Any, caller: Caller, server: Server) -> Reply:
    """Have the server answer an event."""
    return route(read(event), caller, server)


def write(event: Any, reply: Reply) -> dict[str, Any]:
    """Return status, headers and body."""
    return http_answer(reply, has_body=_method(event) != "HEAD")


def _method(event: Any) -> str:
    return str(event["requestContext"]["http"].get("method")).upper()
