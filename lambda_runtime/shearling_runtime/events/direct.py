"""Direct invocation: the event is the request, and the answer is its document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

from shearling_runtime.http.limits import ANSWER_LIMIT, check_answer
from shearling_runtime.http.messages import Response, json_bytes
from shearling_runtime.serving.inference_input import InferenceInput

if TYPE_CHECKING:
    from shearling_runtime.http.messages import Caller
    from shearling_runtime.serving.model_server import ModelServer

#: Asked of a function by name, by this door only.
_CHECK = {"shearling": "check"}
_METADATA = {"shearling": "metadata"}


def respond(event: Any, caller: Caller, server: ModelServer) -> Response:
    """Have the server answer an event."""
    if event == _CHECK:
        return Response(200, server.check())
    if event == _METADATA:
        return Response(200, server.metadata())
    answer = server.infer(InferenceInput(event), seconds_left=caller.seconds_left)
    if answer.tail:
        from shearling.errors import InvalidRequestError

        raise InvalidRequestError(
            "parameters: a direct invocation is answered in JSON; for binary tensors send the "
            "event of an HTTP API"
        )
    return Response(200, answer.document)


def write(event: Any, response: Response) -> Any:  # noqa: ARG001 - the form is always the same
    """Return the document; a caller of this door sees no status, so it stands there."""
    data = json_bytes(response.document)
    # Lambda's own encoder knows no arrays, and writes NaN, which is no JSON.
    document = orjson.loads(data)
    if len(data) > ANSWER_LIMIT // 4:  # it also puts a space after each comma
        check_answer(len(json.dumps(document, ensure_ascii=False).encode()))
    return document if response.status < 400 else document | {"status": response.status}  # noqa: PLR2004
