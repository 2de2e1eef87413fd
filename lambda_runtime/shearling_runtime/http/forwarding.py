"""Forward requests to the container of a staged endpoint, and its answers, without decoding them.

The container runs the same code with the same pin: it checks a request against the contract, and
answers as this function would. So the function itself needs no numpy and no bundle to answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

from shearling.errors import InvalidRequestError, PredictionError
from shearling.protocol.constants import BINARY_TYPE, LENGTH_HEADER, PICTURE_TYPES, json_length
from shearling_runtime.http.forms import CSV, JSON, forms_of
from shearling_runtime.http.messages import (
    Response,
    as_bytes,
    binary_parts,
    body_of,
    picture_bytes,
    response_of,
)
from shearling_runtime.serving.inference_input import InferenceInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.endpoints.invoke import Endpoint
    from shearling_runtime.http.messages import Caller, Request
    from shearling_runtime.serving.model_server import ModelServer

#: What the content type says of a table's first line, by what the request's said.
_FIRST_LINE = {None: "", True: ";header=present", False: ";header=absent"}


def forward_request(
    request: Request, caller: Caller, server: ModelServer, container: Endpoint
) -> Response:
    """Answer an inference request over HTTP.

    Raises:
        InferenceError: as for `ModelServer.infer`.
    """
    _check_forwarding(server, container)
    data = body_of(request)
    is_picture = forms_of(request.headers).is_picture
    body = picture_bytes(data) if is_picture else as_bytes(data)
    return _forwarded(body, *_types(body, request.headers), caller, container)


def forward_document(
    document: Any, caller: Caller, server: ModelServer, container: Endpoint
) -> Response:
    """Answer an inference request that is a JSON document.

    Raises:
        InferenceError: as for `ModelServer.infer`.
    """
    _check_forwarding(server, container)
    body = _json(document)
    if body is None:  # checked here against the contract; the tensors go to the container
        answer = server.infer(InferenceInput(document), seconds_left=caller.seconds_left)
        return response_of(answer)
    return _forwarded(body, JSON, JSON, caller, container)


def _check_forwarding(server: ModelServer, container: Endpoint) -> None:
    """Refuse a request that this function does not answer, whatever it asks.

    Raises:
        InvalidRequestError: it was invoked without an alias, or its callers cannot wait.
    """
    server.check_published()
    if not container.answers_at_once:
        raise InvalidRequestError(
            "this model answers only by jobs, because its endpoint may have to start an instance, "
            "which takes minutes. Send the header `Prefer: respond-async` to an HTTP API, or use "
            "`infer_async` of the SDK"
        )


def _types(body: bytes, headers: Mapping[str, Any]) -> tuple[str, str]:
    """Return the content type and the type to accept, for which SageMaker has headers.

    Raises:
        InvalidRequestError: the body does not match the headers.
    """
    is_csv, has_names, wants_csv, is_picture = forms_of(headers)
    accept = CSV if wants_csv else JSON
    if is_picture:
        return PICTURE_TYPES[0], accept  # the container reads the format from the bytes
    if headers.get(LENGTH_HEADER) is not None:
        text, _ = binary_parts(body, headers)
        return f"{BINARY_TYPE}{len(text)}", accept
    return f"{CSV}{_FIRST_LINE[has_names]}" if is_csv else JSON, accept


def _forwarded(
    body: bytes, content_type: str, accept: str, caller: Caller, container: Endpoint
) -> Response:
    data, kind = container.invoke(body, content_type, accept, caller.seconds_left)
    if kind.startswith(CSV):
        return Response(200, None, {"content-type": kind}, text=data.decode())
    if kind.startswith(JSON):
        return Response(200, orjson.Fragment(data))
    end = json_length(kind)
    if end is None:
        raise PredictionError(f"endpoint {container.name} answers with type {kind:.80}")
    return Response(200, orjson.Fragment(data[:end]), None, data[end:])


def _json(document: Any) -> bytes | None:
    """Return a document as JSON; None if it has what JSON cannot carry, such as infinity."""
    try:
        data = orjson.dumps(document)
        if b"null" in data:  # perhaps of a number that is not finite
            json.dumps(document, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None
    return data
