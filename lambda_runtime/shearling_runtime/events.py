"""Events and their answers: direct invocation, and the HTTP API's payload 2.0."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from shearling.errors import InferenceError, InvalidRequestError, UnknownModelError
from shearling_runtime.telemetry import emit, log_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling_runtime.server import Server

_MODEL_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer))?/?")

#: Asked of a function by name, by direct invocation only.
_CHECK = {"shearling": "check"}
_METADATA = {"shearling": "metadata"}


class Context(Protocol):
    """What is used of Lambda's context object."""

    aws_request_id: str
    function_name: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int:
        """Return how much of the function's timeout is left."""
        ...


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    document: Mapping[str, Any]
    headers: Mapping[str, str]


def respond(event: Any, context: Context, server: Server) -> Any:
    """Answer an event in the form that its source expects; never raises for a caller's mistake."""
    started = time.perf_counter()
    alias = _alias(context.invoked_function_arn)
    answer = _guarded(event, context, server, alias)
    _emit(answer, context, server, alias or "none", (time.perf_counter() - started) * 1000)
    if _is_http(event):
        return {
            "statusCode": answer.status,
            "headers": {"content-type": "application/json", **answer.headers},
            "body": _json(answer.document).decode(),
            "isBase64Encoded": False,
        }
    # Lambda's own encoder knows no arrays, and writes NaN, which is no JSON.
    return orjson.loads(_json(answer.document))


def _json(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _guarded(event: Any, context: Context, server: Server, alias: str | None) -> _Answer:
    seconds_left = context.get_remaining_time_in_millis() / 1000
    try:
        if _is_http(event):
            return _http(event, server, alias, seconds_left)
        if event == _CHECK:
            return _Answer(200, server.check(), {})
        if event == _METADATA:
            return _Answer(200, server.metadata(), {})
        return _Answer(200, server.infer(event, seconds_left=seconds_left), {})
    except InferenceError as error:
        return _failed(event, error.status, str(error))
    except Exception as error:  # noqa: BLE001 - a caller gets a sentence, the log the traceback
        log_error("internal error", error, request_id=context.aws_request_id)
        message = f"internal error; the function's log has it under {context.aws_request_id}"
        return _failed(event, 500, message)


def _failed(event: Any, status: int, message: str) -> _Answer:
    # A direct caller sees no HTTP status: it stands in the answer.
    document: dict[str, Any] = {"error": message}
    return _Answer(status, document if _is_http(event) else document | {"status": status}, {})


def _is_http(event: Any) -> bool:
    context = event.get("requestContext") if isinstance(event, dict) else None
    return isinstance(context, dict) and isinstance(context.get("http"), dict)


def _http(event: Mapping[str, Any], server: Server, alias: str | None, left: float) -> _Answer:
    path = _path(event)
    method = event["requestContext"]["http"]["method"].upper()
    if path in ("/v2/health/live", "/v2/health/ready"):
        return _on("GET", method) or _health(server, path.rsplit("/", 1)[-1])
    match = _MODEL_PATH.fullmatch(path)
    if match is None:
        raise UnknownModelError(f"path {path!r} is not one of the Open Inference Protocol v2")
    model, version, verb = match.groups()
    if refused := _on("POST" if verb == "infer" else "GET", method):
        return refused
    server.check_name(model, version, alias)
    if verb == "infer":
        return _Answer(200, server.infer(_body(event), seconds_left=left), {})
    if verb == "ready":
        return _health(server, verb)
    return _Answer(200, server.metadata(), {})


def _path(event: Mapping[str, Any]) -> str:
    path = str(event.get("rawPath", "/"))
    stage = event["requestContext"].get("stage", "$default")
    return path.removeprefix(f"/{stage}") if path.startswith(f"/{stage}/") else path


def _on(allowed: str, method: str) -> _Answer | None:
    """Return the refusal of a method that is not allowed, or None."""
    if method in (allowed, "HEAD" if allowed == "GET" else allowed):
        return None
    return _Answer(
        405, {"error": f"method {method} is not allowed here: {allowed}"}, {"allow": allowed}
    )


def _health(server: Server, what: str) -> _Answer:
    if what == "live":
        return _Answer(200, {"live": server.live()}, {})
    problem = server.problem()
    # Clients of the protocol look for either word.
    document = {"ready": not problem, "live": server.live()}
    return (
        _Answer(503, document | {"error": problem}, {}) if problem else _Answer(200, document, {})
    )


def _body(event: Mapping[str, Any]) -> object:
    body = event.get("body")
    if not body:
        raise InvalidRequestError("body: missing; it is the request's JSON")
    try:
        data = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"body: not JSON: {error}") from error
    except ValueError as error:  # binascii's, and its elder for what is not even ASCII
        raise InvalidRequestError(f"body: not base64: {error}") from error


@cache
def _alias(invoked_function_arn: str) -> str | None:
    """Return the alias in the ARN that was invoked, or None for a version or none."""
    parts = invoked_function_arn.split(":")
    qualifier = parts[7] if len(parts) > 7 else ""  # noqa: PLR2004 - where an ARN has it
    return qualifier if qualifier and not qualifier[0].isdigit() and qualifier[0] != "$" else None


def _emit(
    answer: _Answer, context: Context, server: Server, alias: str, milliseconds: float
) -> None:
    emit(
        "invocation",
        {
            "Latency": (round(milliseconds, 2), "Milliseconds"),
            "ClientErrors": (int(400 <= answer.status < 500), "Count"),  # noqa: PLR2004
            "ServerErrors": (int(answer.status >= 500), "Count"),  # noqa: PLR2004
        },
        {"function_name": context.function_name, "alias": alias},
        request_id=context.aws_request_id,
        status=answer.status,
        model=str(server.pin or ""),
        **({"error": answer.document["error"]} if "error" in answer.document else {}),
    )
