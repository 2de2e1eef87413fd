"""Lambda events of HTTP APIs (payload format 2.0), and the responses to them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def http_event(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    *,
    stage: str = "$default",
) -> dict[str, Any]:
    """Return the event that an HTTP API sends for a request.

    Args:
        method: HTTP method in upper case.
        path: path without a query string.
        headers: headers by lower-case name.
        body: fields of the event with the body, as `base64_body` returns them.
        stage: stage of the API.
    """
    return {
        "version": "2.0",
        "rawPath": path,
        "headers": dict(headers),
        "requestContext": {"http": {"method": method, "path": path}, "stage": stage},
        **body,
    }


def base64_body(body: bytes) -> dict[str, Any]:
    """Return the fields of an event for a body in base64."""
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def read_http_answer(answer: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers (by lower-case name) and body of a function's response."""
    text = answer.get("body") or ""
    body = base64.b64decode(text) if answer.get("isBase64Encoded") else text.encode()
    headers = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
    return answer["statusCode"], headers, body
