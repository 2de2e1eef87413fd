"""An HTTP API in this process: a loopback server that turns requests into events for a function."""

from __future__ import annotations

import base64
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lambda_door import Function

#: What API Gateway hands over as text; everything else, and what has no type, arrives as base64.
_TEXT = ("text/", "application/json", "application/xml", "application/javascript")


@contextmanager
def http_door(
    function: Function, *, payload: str = "2.0", stage: str = "$default"
) -> Iterator[str]:
    """Serve a function as an API does, and yield the API's URL.

    Args:
        function: takes an event, and returns its answer.
        payload: `2.0` (an HTTP API, a function URL), `1.0` (a REST API) or `alb` (a load balancer).
        stage: a named one is part of the URL.
    """
    to_event = PAYLOADS[payload]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = list(self.headers.items())
            event = to_event(self.command, self.path, headers, body, stage)
            answer = function(event)
            content = answer.get("body") or ""
            data = base64.b64decode(content) if answer["isBase64Encoded"] else content.encode()
            self.send_response(answer["statusCode"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            if answer["statusCode"] != 204:
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        prefix = "" if stage == "$default" else f"/{stage}"
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
            thread.join()


_TARGET_GROUP = (
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/fraud/6d0ecf831eec9f09"
)

Headers = list[tuple[str, str]]


def event_2_0(
    method: str, target: str, headers: Headers, body: bytes, stage: str = "$default"
) -> dict[str, Any]:
    """Return the event of an HTTP API: lower-case headers, several values joined by commas."""
    url = urlsplit(target)
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": url.path,
        "rawQueryString": url.query,
        "headers": joined,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123def4",
            "domainName": "abc123def4.execute-api.eu-central-1.amazonaws.com",
            "http": {
                "method": method,
                "path": url.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": joined.get("user-agent", ""),
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": stage,
        },
    }
    return event | _body(body, joined.get("content-type", ""), absent={})


def event_1_0(
    method: str, target: str, headers: Headers, body: bytes, stage: str = "$default"
) -> dict[str, Any]:
    """Return the event of a REST API: headers as they were sent, the stage not in the path."""
    url = urlsplit(target)
    several: dict[str, list[str]] = {}
    for name, value in headers:
        several.setdefault(name, []).append(value)
    path = url.path if stage == "$default" else url.path.removeprefix(f"/{stage}")
    query = parse_qs(url.query)
    event = {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in several.items()},
        "multiValueHeaders": several,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123def4",
            "httpMethod": method,
            "path": url.path,
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "resourcePath": "/{proxy+}",
            "stage": stage,
        },
    }
    kind = next((value for name, value in headers if name.lower() == "content-type"), "")
    absent = {"body": None, "isBase64Encoded": False}
    return event | _body(body, kind, absent=absent)


def event_alb(
    method: str,
    target: str,
    headers: Headers,
    body: bytes,
    stage: str = "$default",  # noqa: ARG001 - a load balancer has none
) -> dict[str, Any]:
    """Return the event of a load balancer whose target group has no multi-value headers."""
    url = urlsplit(target)
    kept = {name.lower(): value for name, value in headers}
    event = {
        "requestContext": {"elb": {"targetGroupArn": _TARGET_GROUP}},
        "httpMethod": method,
        "path": url.path,
        "queryStringParameters": {n: values[-1] for n, values in parse_qs(url.query).items()},
        "headers": kept,
    }
    absent = {"body": "", "isBase64Encoded": False}
    return event | _body(body, kept.get("content-type", ""), absent=absent)


#: How each kind of API hands over a request.
PAYLOADS = {"1.0": event_1_0, "2.0": event_2_0, "alb": event_alb}


def _body(body: bytes, content_type: str, *, absent: dict[str, Any]) -> dict[str, Any]:
    if not body:
        return absent or {"isBase64Encoded": False}
    if content_type.startswith(_TEXT):
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
