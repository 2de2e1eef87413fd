"""A deployed model over HTTP: signed with SigV4, with a bearer token, an API key, or plainly."""

from __future__ import annotations

import json
import random
import socket
import time
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlsplit

from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as NoAnswerError

from shearling.client.auth import Auth, Authorization
from shearling.client.base import RemoteModel, check_request, raise_error
from shearling.client.transport import Connections
from shearling.errors import (
    DeadlineError,
    InferenceError,
    InvalidRefError,
)
from shearling.protocol.constants import LENGTH_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


#: An HTTP API waits 30 s at most, a function URL 15 minutes.
_DEADLINE_SECONDS = 60.0

#: What is not reached by then will hardly be.
_UNREACHED_SECONDS = 5.0
_OK, _ERROR, _THROTTLED, _NOT_READY = 200, 400, 429, 503

#: What a gateway says too, of a function that crashed, is throttled or late: no model said it.
_OF_GATEWAYS = (500, 503)

#: What API Gateway says with a 429 of a quota, which is used up until tomorrow or later.
_USED_UP = "Limit Exceeded"


#: What to do about a gateway's own refusals, which say little.
_ADVICE = {
    401: ": pass token=, or for the command set SHEARLING_TOKEN",
    403: ": it wants a signature of who may call (auth='iam'; for the command, --region) or a key",
    404: ": the API has no route for this model or alias",
}


class HttpModel(RemoteModel):
    """A model behind an HTTP API, a REST API or a function URL.

    Args:
        url: of the API with its stage, as in the output `api_url`.
        model: its name.
        alias: the alias or the version that is asked; None asks the default.
        auth: "iam" signs with the usual credentials; None sends the request as it is; by default
            "iam" where the host is AWS's own and there is neither token nor key.
        region: signed for; by default the one in the host's name, or else of your configuration.
        token: sent as a bearer token.
        api_key: sent as `x-api-key`, for a usage plan of a REST API; beside "iam" or a token, too.
        timeout_seconds: for a request with all its tries.

    Raises:
        InvalidRefError: it is not the URL of an API.
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
            raise InvalidRefError(f"auth {auth!r} is none of 'iam', 'auto' and None")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise InvalidRefError(f"target {url!r}: expected the URL of an API, as in https://...")
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
        """Return name, version, inputs and outputs of what is served now."""
        return self._document(self._send("GET", "", b"", {}), "inputs")

    def ready(self) -> bool:
        """Say whether requests can be answered; raises if the way there fails."""
        status, _, _ = self._send("GET", "/ready", b"", {}, refuses=False)
        if status not in (_OK, _NOT_READY):
            self.metadata()  # raises with what is wrong
        return status == _OK

    def call(self, event: Mapping[str, Any], *, expected: str = "outputs") -> dict[str, Any]:
        """Send a request's document, and return the answer's.

        Raises:
            InferenceError: as of `infer`.
        """
        body = json.dumps(event).encode()
        sent = self._send("POST", "/infer", body, {"Content-Type": "application/json"})
        return self._document(sent, expected)

    def _exchange(self, body: bytes, length: int | None) -> tuple[dict[str, Any], bytes]:
        headers = {"Content-Type": "application/json"}
        if length is not None:
            headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(length)}
        status, answered, data = self._send("POST", "/infer", body, headers)
        end = answered.get(LENGTH_HEADER)
        if end is None:
            return self._document((status, answered, data), "outputs"), b""
        return self._document((status, answered, data[: int(end)]), "outputs"), data[int(end) :]

    def _document(
        self, answer: tuple[int, Mapping[str, str], bytes], expected: str
    ) -> dict[str, Any]:
        document = _parsed(answer[2])
        if not isinstance(document, dict) or expected not in document:
            raise InferenceError(f"{self.target} is no model: it answered {document!r:.200}")
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
        """Send a request, again where that is safe, and return status, headers and body."""
        check_request(body, is_binary=LENGTH_HEADER in headers)
        started = time.monotonic()
        ends = started + self._timeout
        for attempt in range(1_000):
            left = ends - time.monotonic()
            try:
                status, answered, data = self._try(method, path, body, headers, left)
            except _NotSentError as error:
                problem = InferenceError(f"cannot reach {self.target}: {error}")
                ends = min(ends, started + (0 if error.is_final else _UNREACHED_SECONDS))
            else:
                if status != _THROTTLED or _sentence(status, data) == _USED_UP:
                    if refuses and status >= _ERROR:
                        _refuse(self.target, status, data)
                    return status, answered, data
                problem = InferenceError(f"{self.target} is throttled: {_sentence(status, data)}")
            # Full jitter: callers that were refused together do not come back together.
            seconds = random.uniform(0.5, 1) * min(5.0, 0.1 * 2**attempt)  # noqa: S311
            if time.monotonic() + seconds >= ends:
                raise problem
            self._pause(seconds)
        raise problem  # pragma: no cover - the deadline comes first

    def _try(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        url = f"{self.target}{path}"
        wanted = {"Accept": "application/json, */*", **headers}
        sent = self._authorization.headers(method, url, wanted, body)
        try:
            return self._connections.send(method, url, body, sent, max(seconds, 0.001))
        except NewConnectionError as error:
            raise _NotSentError(error.__cause__ or error) from error
        except NoAnswerError as error:
            raise self._late() from error
        except HTTPError as error:  # the function may have run
            raise InferenceError(f"{self.target} failed: {error}") from error

    def _late(self) -> DeadlineError:
        return DeadlineError(f"{self.target} gave no answer within {self._timeout:g} s")


class _NotSentError(Exception):
    """There was no connection: the request cannot have been answered."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        #: A name that no server knows will not be known in a moment.
        self.is_final = getattr(cause, "errno", None) == socket.EAI_NONAME


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


def _refuse(target: str, status: int, data: bytes) -> NoReturn:
    document = _parsed(data)
    is_ours = isinstance(document, dict) and "error" in document
    sentence = _sentence(status, data)
    if not is_ours:
        sentence = f"{target} answered {status}: {sentence}{_ADVICE.get(status, '')}"
    if status in _OF_GATEWAYS and not is_ours:
        raise InferenceError(sentence)
    raise_error(status, sentence)


def _sentence(status: int, data: bytes) -> str:
    document = _parsed(data)
    if isinstance(document, dict):
        # API Gateway's own refusals have a message.
        for key in ("error", "message", "Message"):
            if key in document:
                return str(document[key])
    return f"HTTP {status}: {document!r:.200}"
