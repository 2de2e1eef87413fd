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
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shearling.errors import ShearlingError
from shearling.loopback import (
    HOST,
    Reply,
    Request,
    ended_by_signals,
    serving,
    wait_for_a_signal,
)
from shearling.plain_warnings import plain_warnings
from shearling.protocol.http_events import base64_body, http_event
from shearling_runtime.events.dispatch import respond
from shearling_runtime.http.decompression import REQUEST_LIMIT
from shearling_runtime.local_jobs import LocalJobs
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings
from shearling_runtime.telemetry import show_only_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[[dict[str, Any]], dict[str, Any]]
    Headers = list[tuple[str, str]]

#: Content types that API Gateway passes on as text; it encodes all others as base64.
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")

#: Time limit of a request, as behind an HTTP API.
_TIMEOUT_SECONDS = 30.0

#: The exit code of shells for a program that Ctrl-C ended.
_INTERRUPTED = 130


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
        "domainName": joined.get("host", HOST),
        "requestId": str(uuid.uuid4()),
        "routeKey": "$default",
    }
    event["requestContext"]["http"] |= {
        "protocol": "HTTP/1.1",
        "sourceIp": HOST,
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


def answering(
    function: Function, make_event: Callable[..., dict[str, Any]]
) -> Callable[[Request], Reply]:
    """Return a function that turns requests into events for a function.

    Args:
        function: takes an event and returns the response.
        make_event: creates the event of a request, like `event_of`.
    """

    def answer(request: Request) -> Reply:
        event = make_event(request.method, request.target, request.headers, request.body)
        answered = function(event)
        content = answered.get("body") or ""
        data = base64.b64decode(content) if answered["isBase64Encoded"] else content.encode()
        return Reply(answered["statusCode"], answered["headers"], data)

    return answer


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
    parser.add_argument(
        "--allow-host", action="append", default=[], help="host name to accept besides loopback"
    )
    parser.add_argument(
        "--jobs", default="", help="directory of asynchronous jobs (default: one of this process)"
    )
    parser.add_argument("--verbose", action="store_true", help="print all lines of the log")
    arguments = parser.parse_args()
    if not arguments.verbose:
        show_only_errors()
    with TemporaryDirectory(prefix="shearling-jobs-") as directory:
        os.environ["SHEARLING_JOBS"] = arguments.jobs or directory
        return _serve(arguments)


def _serve(arguments: argparse.Namespace) -> int:
    settings = Settings.from_environment(os.environ)
    model = ModelServer(settings)
    with plain_warnings():  # of loading a pickle with other versions of its packages
        problem = model.problem()
    if problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    arn = f"arn:aws:lambda:local:123456789012:function:{settings.function}:{arguments.alias}"

    def function(event: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = respond(event, _Context(settings.function, arn), model)
        return answer

    try:
        jobs = LocalJobs(model, arguments.alias)
    except ShearlingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        jobs.start()
        with (
            ended_by_signals(),
            serving(
                jobs.answering(answering(function, event_of)),
                port=arguments.port,
                body_limit=lambda request: jobs.limit(request, REQUEST_LIMIT),
                names=arguments.allow_host,
            ) as port,
        ):
            name = settings.pin.model if settings.pin else ""
            url = f"http://{HOST}:{port}"
            sys.stderr.write(f"{url}/v2/models/{name}\n{url}/v2/models/{name}/docs\n")
            wait_for_a_signal()
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # error.strerror includes the address
        sys.stderr.write(f"port {arguments.port}: {reason}. Pass another --port\n")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
