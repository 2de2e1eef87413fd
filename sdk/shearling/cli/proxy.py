"""Serve a model's page on loopback, and forward its requests with the user's credentials."""

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
_TIMEOUT_SECONDS = 60.0
_FORWARDED_HEADERS = ("content-type", "accept", LENGTH_HEADER)
_RETURNED_HEADERS = (
    "content-type",
    LENGTH_HEADER,
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
)
#: Part of the page that the connection is written into. Data of the model cannot contain it.
_CONNECTION_PLACEHOLDER = b'id="connection">null<'


class Upstream(Protocol):
    """Sends requests to a deployed model."""

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and return the response.

        Args:
            method: HTTP method.
            path: path of the model's API, with the query.
            headers: headers by name.
            body: bytes of the body, empty for none.

        Raises:
            InferenceError: the request cannot be sent, or has no response.
        """
        ...


class LambdaUpstream:
    """Invokes a function by alias, with the events of an HTTP API."""

    def __init__(self, target: str, client: LambdaClient) -> None:
        self._function, _, self._alias = target.rpartition(":")
        self._client = client

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and return the response."""
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
            raise InferenceError(
                f"{self._function}:{self._alias} failed: {failure_message(document)}"
            )
        return Answer(*read_http_answer(document))


class HttpUpstream:
    """Sends requests to an API, with their authorization."""

    def __init__(self, api: str, authorization: Authorization) -> None:
        self._api = api.rstrip("/")
        self._authorization = authorization
        self._connections = Connections(api)

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and return the response."""
        url = f"{self._api}{path}"
        sent = self._authorization.headers(method, url, headers, body)
        try:
            return Answer(*self._connections.send(method, url, body, sent, _TIMEOUT_SECONDS))
        except HTTPError as error:
            raise InferenceError(f"cannot reach {self._api}: {error.__cause__ or error}") from error


@contextmanager
def serving(upstream: Upstream, page: str, connection: Mapping[str, str | None]) -> Iterator[str]:
    """Serve a model's page on loopback, and yield its URL.

    The URL begins with a secret. Without it, other users of this machine and pages of other sites
    in the browser could use the port, and with it the caller's credentials.

    Args:
        upstream: sends requests to the model.
        page: path of the page in the model's API.
        connection: target that the page shows in its examples: `function`, or `api` and `region`.
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
    #: Send headers and body at once: Nagle's algorithm delays the second of two small packets.
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
        """Log nothing, because the URL contains the secret."""

    def _serve(self) -> None:
        try:
            answer = self._answer()
        except InferenceError as error:
            answer = _error(502, str(error))
        body = answer.body.replace(
            _CONNECTION_PLACEHOLDER, b'id="connection">' + self._connection + b"<", 1
        )
        self.send_response(answer.status)
        for name in _RETURNED_HEADERS:
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
            self.close_connection = True  # or the unread body would be parsed as the next request
            return _error(413, "the request is too large; Lambda accepts 6 MB at most")
        body = self.rfile.read(int(length))
        host = f"{_HOST}:{self.server.server_port}"  # type: ignore[attr-defined] # of HTTPServer
        # DNS rebinding: a page whose host name resolves to this address sends that name.
        if self.headers.get("host") != host:
            return _error(403, f"requests to this page must use the host {host}")
        if self.headers.get("origin") not in (None, f"http://{host}"):
            return _error(403, "pages of other sites are not allowed to send requests here")
        _, secret, *rest = self.path.split("/")
        path = "/" + "/".join(rest)
        if not hmac.compare_digest(secret.encode(), self._secret.encode()) or ".." in rest:
            return _error(404, "not found; use the URL that `shearling open` printed")
        headers = {
            name: self.headers[name] for name in _FORWARDED_HEADERS if self.headers.get(name)
        }
        return self._upstream(self.command, path, headers, body)


def _error(status: int, message: str) -> Answer:
    headers = {"content-type": "application/json"}
    return Answer(status, headers, json.dumps({"error": message}).encode())
