"""Events in payload 2.0: an HTTP API, or a function URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling_runtime.http.messages import Request, http_answer, lower_case, without_stage

if TYPE_CHECKING:
    from shearling_runtime.http.messages import Response


def matches(event: Any) -> bool:
    """Return whether an event has payload 2.0."""
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


def write(event: Any, response: Response) -> dict[str, Any]:
    """Return status, headers and body."""
    return http_answer(response, has_body=_method(event) != "HEAD")


def _method(event: Any) -> str:
    return str(event["requestContext"]["http"].get("method")).upper()
