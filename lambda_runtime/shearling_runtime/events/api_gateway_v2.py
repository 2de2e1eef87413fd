"""Events in payload 2.0: an HTTP API, or a function URL."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shearling_runtime.http.messages import Request, http_answer, lower_case, without_stage

if TYPE_CHECKING:
    from shearling_runtime.http.messages import Response

#: Seconds for the response of a function behind an HTTP API, which returns 503 after 30 seconds.
_HTTP_API_SECONDS = 29.0


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
        context=context,
    )


def seconds_limit(event: Any) -> float:
    """Return how long the API waits; a function URL waits until the function's timeout."""
    is_url = ".lambda-url." in str(event["requestContext"].get("domainName"))
    return math.inf if is_url else _HTTP_API_SECONDS


def write(event: Any, response: Response) -> dict[str, Any]:
    """Return status, headers and body."""
    return http_answer(response, has_body=_method(event) != "HEAD")


def _method(event: Any) -> str:
    return str(event["requestContext"]["http"].get("method")).upper()
