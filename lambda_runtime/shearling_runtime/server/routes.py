"""Answer the server's requests: SageMaker's paths, those of the protocol, and `/metrics`."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from shearling.errors import DeadlineError, InvalidRequestError, ModelNotReadyError
from shearling.protocol.constants import BINARY_TYPE, LENGTH_HEADER
from shearling_runtime.http.failures import failure_response
from shearling_runtime.http.messages import Caller, Request, Response, content_of
from shearling_runtime.http.router import POSTS, refused, route
from shearling_runtime.serving.answer_size import AnswerLimit, check_answer
from shearling_runtime.telemetry import cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling_runtime.server.options import Options
    from shearling_runtime.serving.model_server import ModelServer

PING, INVOCATIONS, METRICS = "/ping", "/invocations", "/metrics"

_BINARY_LENGTH = re.compile(
    re.escape(BINARY_TYPE).replace(";", r"\s*;\s*") + r'"?(\d{1,12})"?', re.IGNORECASE
)
_SHOWN = 100

#: SageMaker passes on so many bytes of a container's error.
_ERROR_BYTES = 2048

#: A model whose example takes less than this answers a body of this size without delaying others.
_QUICK_SECONDS, _QUICK_BYTES = 0.001, 16 * 1024

#: Paths of the protocol that say nothing of the model.
_ALWAYS = ("/v2", "/v2/health/live")


class Reply(NamedTuple):
    """The response to a request, with its body as bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Routes:
    """Answers requests with a model.

    Args:
        server: server of the model.
        model: name of the model.
        options: settings of the server.
    """

    def __init__(self, server: ModelServer, model: str, options: Options) -> None:
        self._server = server
        self._alias = options.alias or None
        self._timeout = options.timeout_seconds
        self._limit = AnswerLimit(options.body_limit, "this server")
        self._infer = f"/v2/models/{model}/infer"
        self._problem = "the model is being loaded"
        self._is_quick = False

    def load(self) -> str:
        """Load the model, or try again what failed; return the problem, empty if there is none."""
        problem = self._server.problem()
        self._is_quick = not problem and self._server.small_request_seconds() < _QUICK_SECONDS
        self._problem = problem
        return problem

    def is_quick(self, request: Request) -> bool:
        """Return whether a request takes so little time that a thread of its own costs more.

        The time of a graph depends on the size of its inputs; that of a pickled model or of a
        picture may not.
        """
        is_inference = request.path == INVOCATIONS or request.path.endswith("/infer")
        is_small = len(request.body) <= _QUICK_BYTES and "content-encoding" not in request.headers
        may_run_code = self._server.settings.allow_pickle
        return self._is_quick and is_inference and is_small and not may_run_code

    def ping(self) -> Reply:
        """Return 200 if requests can be answered, else 503 with the reason."""
        if self._problem:
            return error(503, self._problem)
        return Reply(200, {"content-type": "application/json"}, b'{"ready":true}')

    def answer(self, request: Request, received: float) -> Reply:
        """Answer a request; an error becomes a response.

        Args:
            request: request to answer.
            received: when it was received, by `time.monotonic`.
        """
        is_invocation = request.path == INVOCATIONS
        try:
            response = self._route(request, received, is_invocation=is_invocation)
            reply = reply_of(response, in_type=is_invocation)
            check_answer(len(reply.body), *self._limit)
        except Exception as failure:  # noqa: BLE001 - becomes a response and a log line
            response = failure_response(failure, str(uuid.uuid4()), model=self._server.name)
            return _short(response) if is_invocation else reply_of(response)
        return reply

    def _route(self, request: Request, received: float, *, is_invocation: bool) -> Response:
        if self._problem and request.path.rstrip("/") not in _ALWAYS:
            raise ModelNotReadyError(self._problem)
        left = self._timeout - (time.monotonic() - received)
        caller = Caller(self._alias, left, self._limit)
        if is_invocation:
            if request.method != "POST":
                return refused(request, POSTS)
            request = Request(
                request.method,
                self._infer,
                _with_length(request.headers),
                request.body,
                is_base64=False,
                limit=request.limit,
            )
        try:
            return route(request, caller, self._server)
        except DeadlineError as failure:
            raise DeadlineError(
                f"{left:.2f} s of {self._timeout} s were left, which is less than a request needs. "
                "Send fewer requests at once, or raise SHEARLING_TIMEOUT_SECONDS"
            ) from failure


def reply_of(response: Response, *, in_type: bool = False) -> Reply:
    """Return a response with its body as bytes.

    Args:
        response: response to convert.
        in_type: whether the length of the JSON before binary tensors is in the content type, too.
    """
    headers, body = content_of(response)
    if in_type and response.tail:
        headers |= {"content-type": f"{BINARY_TYPE}{headers[LENGTH_HEADER]}"}
    return Reply(response.status, headers, body if isinstance(body, bytes) else body.encode())


def _short(response: Response) -> Reply:
    """Return an error that SageMaker passes on whole."""
    reply = reply_of(response)
    if len(reply.body) > _ERROR_BYTES:
        # JSON takes up to six bytes for a character.
        reply = error(response.status, cut(response.document["error"], _ERROR_BYTES // 7))
    return reply


def error(status: int, message: str) -> Reply:
    """Return an error in the format of the model's own."""
    return reply_of(Response(status, {"error": message}))


def _with_length(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers in which the length of the JSON is where the protocol has it."""
    kind = str(headers.get("content-type", ""))[:1024]
    match = _BINARY_LENGTH.fullmatch(kind.strip())
    if match:
        return {**headers, "content-type": "application/octet-stream", LENGTH_HEADER: match[1]}
    if "json-header-size" in kind.lower():
        raise InvalidRequestError(
            f"content-type: {kind[:_SHOWN]!r} is not {BINARY_TYPE}<bytes of the JSON>"
        )
    return headers
