"""A model's own page on loopback: what it sends goes on with the caller's credentials."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Protocol

from urllib3.exceptions import HTTPError

from shearling.client.base import REQUEST_LIMIT
from shearling.client.transport import Answer, Connections
from shearling.errors import InferenceError
from shearling.lambda_api import failure_message
from shearling.protocol.constants import LENGTH_HEADER
from shearling.protocol.http_events import base64_body, http_event, read_http_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.client.auth import Authorization

_HOST = "127.0.0.1"
_SECONDS = 60.0
_PASSED_ON = ("content-type", "accept", LENGTH_HEADER)
_PASSED_BACK = (
    "content-type",
    LENGTH_HEADER,
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
)
#: Where the page looks for who serves it; the model's own data can hold no such text.
_CONNECTION_PLACEHOLDER = b'id="connection">null<'


class Upstream(Protocol):
    """The way to a deployed model."""

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request on.

        Raises:
            InferenceError: it cannot be sent, or is not answered.
        """
        ...


class LambdaUpstream:
    """Invokes a function by alias with what an HTTP API would send it."""

    def __init__(self, target: str, client: LambdaClient) -> None:
        self._function, _, self._alias = target.rpartition(":")
        self._client = client

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request on."""
        from botocore.exceptions import BotoCoreError, ClientError

        event = http_event(method, path, headers, base64_body(body))
        try:
            answer = self._client.invoke(
                FunctionName=self._function,
                Qualifier=self._alias,
                Payload=json.dumps(event).encode(),
            )
            document = json.loads(answer["Payload"].read())
        except (BotoCoreError, ClientError, ValueError) as error:
            raise InferenceError(
                f"cannot invoke {self._function}:{self._alias}: {error}"
            ) from error
        if not isinstance(document, dict) or "statusCode" not in document:
            said = failure_message(document)
            raise InferenceError(f"{self._function}:{self._alias} failed: {said}")
        return Answer(*read_http_answer(document))


class HttpUpstream:
    """Sends requests to an API, each with what authorizes it."""

    def __init__(self, api: str, authorization: Authorization) -> None:
        self._api = api.rstrip("/")
        self._authorization = authorization
        self._connections = Connections(api)

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request on."""
        url = f"{self._api}{path}"
        sent = self._authorization.headers(method, url, headers, body)
        try:
            return Answer(*self._connections.send(method, url, body, sent, _SECONDS))
        except HTTPError as error:
            raise InferenceError(f"cannot reach {self._api}: {error.__cause__ or error}") from error


@contextmanager
def serving(upstream: Upstream, page: str, connection: Mapping[str, str | None]) -> Iterator[str]:
    """Serve a model's page on loopback, and yield its URL.

    The URL begins with a secret: other users of this machine, and pages of other sites that are
    open in the browser, can reach the port, and would otherwise act with the caller's credentials.

    Args:
        upstream: the way to the model.
        page: the page's path there.
        connection: what the page shows of the way: `function`, or `api` and `region`.
    """
    secret = secrets.token_urlsafe(24)

    class Handler(_Handler):
        _upstream = staticmethod(upstream)
        _secret = secret
        _connection = json.dumps(connection).replace("<", "\\u003c").encode()

    with ThreadingHTTPServer((_HOST, 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{_HOST}:{server.server_port}/{secret}{page}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    #: Head and body go at once: of two small packets the second waits for the first's receipt.
    disable_nagle_algorithm = True
    wbufsize = -1

    _upstream: Upstream
    _secret: str
    _connection: bytes

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Say nothing: the URL has a secret in it."""

    def _serve(self) -> None:
        try:
            answer = self._answer()
        except InferenceError as error:
            answer = _said(502, str(error))
        body = answer.body.replace(
            _CONNECTION_PLACEHOLDER, b'id="connection">' + self._connection + b"<", 1
        )
        self.send_response(answer.status)
        for name in _PASSED_BACK:
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("cache-control", "no-store")
        self.send_header("content-length", str(len(body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> Answer:
        length = self.headers.get("content-length") or "0"
        if not length.isdigit() or int(length) > REQUEST_LIMIT:
            self.close_connection = True  # what is not read must not be taken for a request
            return _said(413, "Lambda takes requests of up to 6 MB")
        body = self.rfile.read(int(length))
        own = f"{_HOST}:{self.server.server_port}"  # type: ignore[attr-defined] # of HTTPServer
        # A page of another site that has its name point here asks with that name.
        if self.headers.get("host") != own:
            return _said(403, "this page has another address")
        if self.headers.get("origin") not in (None, f"http://{own}"):
            return _said(403, "another site's page may not use this one")
        _, secret, *rest = self.path.split("/")
        path = "/" + "/".join(rest)
        if not hmac.compare_digest(secret.encode(), self._secret.encode()) or ".." in rest:
            return _said(404, "use the address that `shearling open` printed")
        headers = {name: self.headers[name] for name in _PASSED_ON if self.headers.get(name)}
        return self._upstream(self.command, path, headers, body)


def _said(status: int, message: str) -> Answer:
    headers = {"content-type": "application/json"}
    return Answer(status, headers, json.dumps({"error": message}).encode())
