"""Direct invocations: the event is the request, and the result is the response's document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

from shearling_runtime.http.messages import Response, json_bytes, response_of
from shearling_runtime.serving.answer_size import ANSWER_LIMIT, check_answer
from shearling_runtime.serving.inference_input import InferenceInput

if TYPE_CHECKING:
    from shearling_runtime.http.messages import Caller
    from shearling_runtime.serving.model_server import ModelServer

#: Events that are allowed by direct invocation only.
_CHECK = {"shearling": "check"}
_METADATA = {"shearling": "metadata"}


def respond(event: Any, caller: Caller, server: ModelServer) -> Response:
    """Answer an event.

    Raises:
        InferenceError: the request cannot be answered; the class has the status.
    """
    if event == _CHECK:
        return Response(200, server.check())
    if event == _METADATA:
        return Response(200, server.metadata())
    if server.container:
        from shearling_runtime.http.forwarding import forward_document

        response = forward_document(event, caller, server, server.container)
    else:
        answer = server.infer(InferenceInput(event), seconds_left=caller.seconds_left)
        response = response_of(answer)
    if response.tail:
        from shearling.errors import InvalidRequestError

        raise InvalidRequestError(
            "parameters: the response to a direct invocation is JSON. For binary tensors, send the "
            "event of an HTTP API"
        )
    return response


def write(event: Any, response: Response) -> Any:  # noqa: ARG001 - the form is the same for all events
    """Return the response's document; an error has its status in the document."""
    data = json_bytes(response.document)
    check_answer(len(data))
    # Lambda's encoder does not support arrays, and writes NaN, which is not valid JSON.
    document = orjson.loads(data)
    if len(data) > ANSWER_LIMIT // 4:  # Lambda's encoder adds a space after each comma
        check_answer(len(json.dumps(document, ensure_ascii=False).encode()))
    return document if response.status < 400 else document | {"status": response.status}  # noqa: PLR2004
