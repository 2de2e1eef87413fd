"""Run the runtime on this machine, behind an HTTP server on loopback.

`python -m shearling_runtime.local` reads the same environment variables as a function. The command
`shearling serve` sets them.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shearling.protocol.http_events import base64_body, http_event
from shearling_runtime.events.dispatch import respond
from shearling_runtime.http.limits import REQUEST_LIMIT
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Function = Callable[[dict[str, Any]], dict[str, Any]]
    Headers = list[tuple[str, str]]

_HOST = "127.0.0.1"

#: Content types that API Gateway passes on as text; it encodes all others as base64.
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")

#: Time limit of a request, as behind an HTTP API.
_TIMEOUT_SECONDS = 30.0


def event_of(
    method: str, target: str, headers: Headers, body: bytes, stage: str = "$default"
) -> dict[str, Any]:
    """Return the event that an HTTP API creates for a request (payload 2.0).

    Args:
        method: HTTP method.
        target: path and query.
        headers: pairs of name and value as sent. Names become lower case; several values of a name
            are joined.
        body: bytes of the body, empty for none.
        stage: stage of the API.
    """
    url = urlsplit(target)
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    fields = body_of(body, joined.get("content-type", ""), absent={"isBase64Encoded": False})
    event = http_event(method, url.path, joined, fields, stage=stage)
    event["requestContext"] |= {
        "accountId": "123456789012",
        "apiId": "local",
        "domainName": joined.get("host", _HOST),
        "requestId": str(uuid.uuid4()),
        "routeKey": "$default",
    }
    event["requestContext"]["http"] |= {
        "protocol": "HTTP/1.1",
        "sourceIp": _HOST,
        "userAgent": joined.get("user-agent", ""),
    }
    return event | {"routeKey": "$default", "rawQueryString": url.query}


def body_of(body: bytes, content_type: str, *, absent: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an event for a request's body; `absent` if the body is empty."""
    if not body:
        return absent
    if content_type.startswith(_TEXT_TYPES):
        with suppress(UnicodeDecodeError):
            return {"body": body.decode(), "isBase64Encoded": False}
    return base64_body(body)


def serving(
    function: Function, make_event: Callable[..., dict[str, Any]], port: int
) -> ThreadingHTTPServer:
    """Return a server on loopback that turns requests into events for a function.

    Args:
        function: takes an event and returns the response.
        make_event: creates the event of a request, like `event_of`.
        port: port to listen on; 0 selects a free port.

    Raises:
        OSError: the port is in use.
    """

    class Handler(_Handler):
        _function = staticmethod(function)
        _make_event = staticmethod(make_event)

    server = ThreadingHTTPServer((_HOST, port), Handler)
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    #: Send headers and body at once: Nagle's algorithm delays the second of two small packets.
    disable_nagle_algorithm = True
    wbufsize = -1

    _function: Function
    _make_event: Callable[..., dict[str, Any]]

    def answer(self) -> None:
        length = self.headers.get("content-length") or "0"
        if not (length.isascii() and length.isdigit()) or int(length) > REQUEST_LIMIT:
            self.close_connection = True  # or the unread body would be parsed as the next request
            self._send(413, {}, b'{"message":"Request Entity Too Large"}')
            return
        body = self.rfile.read(int(length))
        event = self._make_event(self.command, self.path, list(self.headers.items()), body)
        answer = self._function(event)
        content = answer.get("body") or ""
        data = base64.b64decode(content) if answer["isBase64Encoded"] else content.encode()
        self._send(answer["statusCode"], answer["headers"], data)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

    def _send(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:  # noqa: PLR2004 - No Content
            self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing, because the runtime writes a line for each request."""


@dataclass(slots=True)
class _Context:
    """The context object that Lambda passes with an event."""

    function_name: str
    invoked_function_arn: str
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the time limit of a request."""
        return int(1000 * (_TIMEOUT_SECONDS - (time.monotonic() - self.started)))


def main() -> int:
    """Serve the model at SHEARLING_MODEL until the process is interrupted; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shearling_runtime.local", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0: a free one")
    parser.add_argument("--alias", default="", help="alias of the requests")
    arguments = parser.parse_args()
    settings = Settings.from_environment(os.environ)
    model = ModelServer(settings)
    if problem := model.problem():
        sys.stderr.write(f"{problem}\n")
        return 1
    arn = f"arn:aws:lambda:local:123456789012:function:{settings.function}:{arguments.alias}"

    def function(event: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = respond(event, _Context(settings.function, arn), model)
        return answer

    try:
        with serving(function, event_of, arguments.port) as server:
            name = settings.pin.model if settings.pin else ""
            url = f"http://{_HOST}:{server.server_port}"
            sys.stderr.write(f"{url}/v2/models/{name}\n{url}/v2/models/{name}/docs\n")
            server.serve_forever()
    except OSError as error:
        sys.stderr.write(f"port {arguments.port}: {error.strerror}. Pass another --port\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
