"""Serve a model's page on loopback, and forward its requests with the user's credentials."""

from __future__ import annotations

import hmac
import json
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from urllib3.exceptions import HTTPError

from shearling.client.base import REQUEST_LIMIT
from shearling.connections import Answer, Connections
from shearling.errors import InferenceError
from shearling.lambda_api import failure_message
from shearling.loopback import HOST, Reply, Request
from shearling.loopback import serving as serving_on_loopback
from shearling.protocol.constants import LENGTH_HEADER
from shearling.protocol.http_events import base64_body, http_event, read_http_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_lambda import LambdaClient

    from shearling.client.auth import Authorization

_TIMEOUT_SECONDS = 60.0
_METHODS = ("GET", "POST")
_FORWARDED_HEADERS = ("content-type", "accept", "prefer", LENGTH_HEADER)
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
    proxy = _Proxy(upstream, secrets.token_urlsafe(24), _embedded(connection))
    with serving_on_loopback(proxy.answer, body_limit=REQUEST_LIMIT) as port:
        yield f"http://{HOST}:{port}/{proxy.secret}{page}"


def _embedded(connection: Mapping[str, str | None]) -> bytes:
    return json.dumps(connection).replace("<", "\\u003c").encode()


@dataclass(frozen=True, slots=True)
class _Proxy:
    upstream: Upstream
    secret: str
    connection: bytes

    def answer(self, request: Request) -> Reply:
        try:
            status, headers, body = self._forward(request)
        except InferenceError as error:
            status, headers, body = Reply.error(502, str(error))
        returned = {name: headers[name] for name in _RETURNED_HEADERS if name in headers}
        connection = b'id="connection">' + self.connection + b"<"
        body = body.replace(_CONNECTION_PLACEHOLDER, connection, 1)
        return Reply(status, {**returned, "cache-control": "no-store"}, body)

    def _forward(self, request: Request) -> Answer | Reply:
        if request.method not in _METHODS:
            return Reply.error(405, "this page only sends GET and POST")
        # The server accepts every loopback name and port. Only this page may use this address, not
        # another page that this machine serves.
        if request.header("host") != request.server:
            return Reply.error(403, f"requests to this page must use the host {request.server}")
        if request.header("origin") not in (None, f"http://{request.server}"):
            return Reply.error(403, "pages of other sites are not allowed to send requests here")
        _, secret, *rest = request.target.split("/")
        path = "/" + "/".join(rest)
        if not hmac.compare_digest(secret.encode(), self.secret.encode()) or ".." in rest:
            return Reply.error(404, "not found; use the URL that `shearling open` printed")
        headers = {name: value for name in _FORWARDED_HEADERS if (value := request.header(name))}
        return self.upstream(request.method, path, headers, request.body)
