"""Call a deployed model over HTTP."""

from __future__ import annotations

import json
import random
import socket
import time
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlsplit

from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as ResponseTimeoutError

from shearling.client.auth import Auth, Authorization
from shearling.client.base import CONFLICT, RemoteModel, check_request, json_body, raise_error
from shearling.connections import Connections
from shearling.errors import (
    DeadlineError,
    InferenceError,
    InvalidRefError,
)
from shearling.protocol.constants import LENGTH_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


#: Default time for a request with its retries. An HTTP API waits 30 s for a function at most; a
#: function URL waits 15 minutes.
_DEADLINE_SECONDS = 60.0

#: Time after which an error of an API may be that it waits no longer.
_API_SECONDS = 25.0

#: Time after which a host that refuses connections counts as unreachable.
_CONNECT_SECONDS = 5.0
_OK, _ERROR, _THROTTLED, _NOT_READY = 200, 400, 429, 503

#: Statuses that a gateway also returns itself, if a function crashes, is throttled or times out.
_GATEWAY_STATUSES = (500, 503)

#: Message of a 429 for an exhausted quota, which lasts until the next day or longer.
_QUOTA_EXCEEDED = "Limit Exceeded"


#: Next step for the refusals of API Gateway itself, whose messages are short.
_ADVICE = {
    401: ". Pass token=, or set SHEARLING_TOKEN for the command",
    403: ". The API requires an IAM signature by a permitted caller (auth='iam'; --region for the "
    "command), or an API key",
    404: ". The API has no route for this model or alias",
}


class HttpModel(RemoteModel):
    """A model behind an HTTP API, a REST API or a function URL.

    Args:
        url: URL of the API with its stage, as in Terraform's output `api_url`.
        model: name of the model.
        alias: alias or version; None: the API's default alias.
        auth: "iam" signs requests with the default AWS credentials, None does not; "auto" signs
            for an AWS host name when neither a token nor an API key is given.
        region: AWS region to sign for. None: the region in the host name, else the configured one.
        token: bearer token.
        api_key: API key for a usage plan of a REST API, sent as `x-api-key` in addition to a
            signature or token.
        timeout_seconds: seconds to wait at most for a request, retries included.
        pause: sleeps for a number of seconds between tries.

    Raises:
        InvalidRefError: `url` is not the URL of an API, or `auth` is not one of the three.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        alias: str | int | None = None,
        auth: Auth = "auto",
        region: str | None = None,
        token: str | None = None,
        api_key: str | None = None,
        timeout_seconds: float = _DEADLINE_SECONDS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        if auth not in ("iam", "auto", None):
            raise InvalidRefError(f"auth {auth!r} is not allowed; expected 'iam', 'auto' or None")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise InvalidRefError(
                f"target {url!r} is not the URL of an API; expected https://... without a query"
            )
        version = f"/versions/{quote(str(alias), safe='')}" if alias else ""
        path = f"/v2/models/{quote(model, safe='')}{version}"
        super().__init__(f"{url.rstrip('/')}{path}")
        self._authorization = Authorization.choose(
            parts.hostname, auth, region=region, token=token, api_key=api_key
        )
        self._timeout = timeout_seconds
        self._pause = pause
        self._connections = Connections(url)

    def metadata(self) -> dict[str, Any]:
        """Return name, version, inputs and outputs of the version served now."""
        return self._document(self._send("GET", "", b"", {}), "inputs")

    def ready(self) -> bool:
        """Return whether the model can answer requests.

        Raises:
            InferenceError: the model cannot be reached, or the request is refused.
        """
        status, _, _ = self._send("GET", "/ready", b"", {}, refuses=False)
        if status not in (_OK, _NOT_READY):
            self.metadata()  # raises an error with the reason
        return status == _OK

    def call(self, event: Mapping[str, Any], *, expected: str = "outputs") -> dict[str, Any]:
        """Send a request as a document, and return the response's document.

        Args:
            event: request of the Open Inference Protocol.
            expected: key that a model's response has.

        Raises:
            InferenceError: as for `infer`.
        """
        sent = self._send("POST", "/infer", json_body(event), {"Content-Type": "application/json"})
        return self._document(sent, expected)

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send an HTTP request; see `RemoteModel.send`."""
        status, returned, data = self._send(method, path, body, headers, refuses=False)
        if status >= _ERROR and status != CONFLICT:
            _refuse(self.target, status, data)
        return status, returned, data

    def _is_late(self, error: InferenceError, seconds: float) -> bool:
        # The errors of a gateway itself have no class of their own.
        by_gateway = type(error) is InferenceError and seconds >= _API_SECONDS
        return by_gateway or isinstance(error, DeadlineError)

    def _exchange(self, body: bytes, length: int | None) -> tuple[dict[str, Any], bytes]:
        headers = {"Content-Type": "application/json"}
        if length is not None:
            headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(length)}
        status, returned, data = self._send("POST", "/infer", body, headers)
        end = returned.get(LENGTH_HEADER)
        if end is None:
            return self._document((status, returned, data), "outputs"), b""
        return self._document((status, returned, data[: int(end)]), "outputs"), data[int(end) :]

    def _document(
        self, answer: tuple[int, Mapping[str, str], bytes], expected: str
    ) -> dict[str, Any]:
        document = _parsed(answer[2])
        if not isinstance(document, dict) or expected not in document:
            raise InferenceError(
                f"the response of {self.target} is not a model's, since it has no {expected!r}: "
                f"{document!r:.200}"
            )
        return document

    def _send(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        refuses: bool = True,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request, retry where that is safe, and return status, headers and body."""
        check_request(body, is_binary=LENGTH_HEADER in headers)
        started = time.monotonic()
        ends = started + self._timeout
        for attempt in range(1_000):
            left = ends - time.monotonic()
            try:
                status, returned, data = self._try(method, path, body, headers, left)
            except _NotSentError as error:
                problem = InferenceError(f"cannot reach {self.target}: {error}")
                ends = min(ends, started + (0 if error.is_final else _CONNECT_SECONDS))
            else:
                if status != _THROTTLED or _sentence(status, data) == _QUOTA_EXCEEDED:
                    if refuses and status >= _ERROR:
                        _refuse(self.target, status, data)
                    return status, returned, data
                problem = InferenceError(f"{self.target} is throttled: {_sentence(status, data)}")
            # Jitter, so that callers refused at the same time do not retry at the same time.
            seconds = random.uniform(0.5, 1) * min(5.0, 0.1 * 2**attempt)  # noqa: S311
            if time.monotonic() + seconds >= ends:
                raise problem
            self._pause(seconds)
        raise problem  # pragma: no cover - the deadline ends the loop first

    def _try(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        url = f"{self.target}{path}"
        headers = {"Accept": "application/json, */*", **headers}
        sent = self._authorization.headers(method, url, headers, body)
        try:
            return self._connections.send(method, url, body, sent, max(seconds, 0.001))
        except NewConnectionError as error:
            raise _NotSentError(error.__cause__ or error) from error
        except ResponseTimeoutError as error:
            raise self._timeout_error() from error
        except HTTPError as error:  # not retried: the function may have run
            raise InferenceError(f"the request to {self.target} failed: {error}") from error

    def _timeout_error(self) -> DeadlineError:
        return DeadlineError(f"no response from {self.target} within {self._timeout:g} s")


class _NotSentError(Exception):
    """There was no connection, so the function cannot have run."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        #: Whether retrying is useless: the host name does not exist.
        self.is_final = getattr(cause, "errno", None) == socket.EAI_NONAME


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


def _refuse(target: str, status: int, data: bytes) -> NoReturn:
    document = _parsed(data)
    is_runtime_error = isinstance(document, dict) and "error" in document
    sentence = _sentence(status, data)
    if not is_runtime_error:
        sentence = f"{target} answered {status}: {sentence}{_ADVICE.get(status, '')}"
    if status in _GATEWAY_STATUSES and not is_runtime_error:
        raise InferenceError(sentence)
    raise_error(status, sentence)


def _sentence(status: int, data: bytes) -> str:
    document = _parsed(data)
    if isinstance(document, dict):
        # Errors of API Gateway itself have a message.
        for key in ("error", "message", "Message"):
            if key in document:
                return str(document[key])
    return f"HTTP {status}: {document!r:.200}"
