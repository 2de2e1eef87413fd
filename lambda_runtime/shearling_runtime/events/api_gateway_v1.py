"""Events in payload 1.0: a REST API, or an HTTP API configured for this payload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling_runtime.http.messages import Request, http_answer, lower_case, without_stage

if TYPE_CHECKING:
    from shearling_runtime.http.messages import Response

#: Seconds that a REST API waits for a function unless its integration says otherwise.
_REST_API_SECONDS = 29.0


def matches(event: Any) -> bool:
    """Return whether an event has payload 1.0."""
    return (
        isinstance(event, dict)
        and isinstance(event.get("httpMethod"), str)
        and isinstance(event.get("requestContext"), dict)
    )


def read(event: Any) -> Request:
    """Return the request of an event."""
    # A REST API has a second map with all values of each header; an absent map is null.
    multi_value = event.get("multiValueHeaders")
    last = {
        name: values[-1]
        for name, values in (multi_value if isinstance(multi_value, dict) else {}).items()
        if isinstance(values, list) and values
    }
    single = event.get("headers")
    headers = {**last, **single} if isinstance(single, dict) else last
    return Request(
        event["httpMethod"].upper(),
        without_stage(str(event.get("path", "/")), event["requestContext"].get("stage")),
        lower_case(headers),
        event.get("body"),
        bool(event.get("isBase64Encoded")),
        context=event["requestContext"],
    )


def seconds_limit(event: Any) -> float:
    """Return how long the API waits: what the stage's `timeout_seconds` says, else the default."""
    variables = event.get("stageVariables")
    text = variables.get("timeout_seconds") if isinstance(variables, dict) else None
    try:
        seconds = float(text or _REST_API_SECONDS)
    except (TypeError, ValueError):  # a variable of somebody else's stage
        return _REST_API_SECONDS
    return seconds if seconds > 0 else _REST_API_SECONDS


def write(event: Any, response: Response) -> dict[str, Any]:
    """Return status, headers and body."""
    return http_answer(response, has_body=event["httpMethod"].upper() != "HEAD")
