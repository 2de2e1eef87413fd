"""HTTP requests and responses, independent of API Gateway's payload versions."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from shearling.errors import InvalidRequestError
from shearling.protocol.constants import LENGTH_HEADER, split
from shearling_runtime.http.decompression import REQUEST_LIMIT, decompress
from shearling_runtime.http.forms import CSV, HEADER_LIMIT, JSON, forms_of
from shearling_runtime.serving.answer_size import (
    ANSWER_LIMIT,
    LAMBDA,
    AnswerLimit,
    check_answer,
)
from shearling_runtime.serving.inference_input import InferenceInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.protocol.responses import InferResponse


@dataclass(slots=True)
class Request:
    """A request; the header names are in lower case.

    Attributes:
        method: HTTP method.
        path: path, not decoded.
        headers: headers by name.
        body: text, or bytes where the event source has them.
        is_base64: whether a text is the base64 of the bytes.
        limit: maximum bytes of the body after decompression.
        context: what API Gateway says of the request and its caller.
    """

    method: str
    path: str
    headers: Mapping[str, Any]
    body: Any
    is_base64: bool
    limit: int = REQUEST_LIMIT
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Caller:
    """The alias of a request, None if there is none, and the limits of its answer."""

    alias: str | None
    seconds_left: float
    answer_limit: AnswerLimit = LAMBDA


@dataclass(slots=True)
class Response:
    """A response: a JSON document with bytes after it, or a text of the type in the headers.

    Attributes:
        status: HTTP status.
        document: JSON document; None for a text.
        headers: headers by name.
        tail: bytes after the document.
        text: the text.
        truncated: number of texts in the request that were longer than the model reads; None for a
            model that reads no texts.
    """

    status: int
    document: Any
    headers: Mapping[str, str] | None = None
    tail: bytes = b""
    text: str = ""
    truncated: int | None = None


def lower_case(headers: object) -> dict[str, Any]:
    """Return headers with their names in lower case."""
    if not isinstance(headers, dict):
        return {}
    names = "".join(headers)
    if names == names.lower():  # payload 2.0 has lower-case names
        return headers
    return {name.lower(): value for name, value in headers.items() if isinstance(name, str)}


def without_stage(path: str, stage: object) -> str:
    """Return a path without the stage that it begins with.

    The path of a REST API has no stage. A stage named `v2` is therefore removed only if `/v2/v2`
    begins the path.
    """
    if not stage or stage == "$default":
        return path
    prefix = f"/{stage}/v2"
    return path[len(prefix) - 3 :] if path.startswith(prefix) else path


def inference_input(request: Request) -> InferenceInput:
    """Return the inference input of a request.

    Raises:
        InvalidRequestError: the body is missing, or does not match the headers.
        PayloadTooLargeError: the decompressed body is above the limit of a request.
    """
    return input_of(body_of(request), request.headers)


def input_of(data: str | bytes, headers: Mapping[str, Any]) -> InferenceInput:
    """Return the inference input of a body that is not compressed.

    Args:
        data: the body.
        headers: headers of the request, with names in lower case.

    Raises:
        InvalidRequestError: the body does not match the headers.
    """
    is_csv, has_names, wants_csv, is_picture = forms_of(headers)
    if is_picture:
        return InferenceInput(None, wants_csv, picture_bytes(data), is_picture=True)
    if headers.get(LENGTH_HEADER) is None:
        if is_csv:
            return InferenceInput(None, wants_csv, csv=_text(data), has_names=has_names)
        return InferenceInput(_json(data), wants_csv)
    text, tail = binary_parts(data, headers)
    if not text:
        return InferenceInput(None, wants_csv, tail, is_raw=True)
    return InferenceInput(_json(text), wants_csv, tail)


def binary_parts(data: str | bytes, headers: Mapping[str, Any]) -> tuple[bytes, memoryview]:
    """Return the JSON of a body and the binary tensors after it; no JSON is allowed, too.

    Args:
        data: the body.
        headers: headers of the request, with `LENGTH_HEADER` among them.

    Raises:
        InvalidRequestError: the header does not fit the body, or its type.
    """
    if forms_of(headers).is_csv:
        raise InvalidRequestError(
            f"{LENGTH_HEADER}: not allowed with {CSV}, which has no JSON. Remove the header"
        )
    text, tail = split(as_bytes(data), str(headers[LENGTH_HEADER]))
    if not text:
        kind = str(headers.get("content-type"))[:HEADER_LIMIT].partition(";")[0].strip()
        if kind.lower().endswith("json"):  # application/json, application/vnd.api+json, ...
            raise InvalidRequestError(
                f"{LENGTH_HEADER}: 0 means that the body is the bytes of one tensor, but "
                f"content-type is {kind:.100}. Send it as application/octet-stream"
            )
    return text, tail


def response_of(answer: InferResponse) -> Response:
    """Return the response with the outputs of a model."""
    if answer.csv is not None:
        headers = {"content-type": f"{CSV}; charset=utf-8"}
        return Response(200, None, headers, text=answer.csv, truncated=answer.truncated)
    return Response(200, answer.document, None, answer.tail, truncated=answer.truncated)


def json_of(request: Request) -> Any:
    """Return the JSON document of a request's body.

    Raises:
        InvalidRequestError: the body is missing, or does not match the headers.
        PayloadTooLargeError: the decompressed body is above the limit of a request.
    """
    return _json(body_of(request))


def json_bytes(document: Any) -> bytes:
    """Return a document as JSON, with arrays as lists and NaN as null."""
    try:
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:
        if document is None or "error" not in document:
            raise
        return json.dumps(document).encode()  # a lone surrogate in a text of the caller


def content_of(response: Response) -> tuple[dict[str, str], str | bytes]:
    """Return the headers and the body of a response; JSON and binary tensors are bytes."""
    headers: dict[str, str] = {"content-type": JSON}
    if response.headers:
        headers |= response.headers
    if response.text:
        return headers, response.text
    if response.tail:
        text = json_bytes(response.document)
        headers |= {"content-type": "application/octet-stream", LENGTH_HEADER: str(len(text))}
        return headers, text + response.tail
    return headers, b"" if response.document is None else json_bytes(response.document)


def http_answer(response: Response, *, has_body: bool) -> dict[str, Any]:
    """Return a response in the form that API Gateway expects from a function.

    Args:
        response: response to convert.
        has_body: whether to include the body; False for HEAD.

    Raises:
        PayloadTooLargeError: the response is above Lambda's limit.
    """
    headers, content = content_of(response)
    is_base64 = bool(response.tail)
    if isinstance(content, str):
        body = content
    else:
        body = (base64.b64encode(content) if is_base64 else content).decode()
    size = len(body)
    if size > ANSWER_LIMIT // 4:  # escaping within Lambda's JSON makes it longer
        check_answer(size)
        check_answer(len(json_bytes(body)))
    return {
        "statusCode": response.status,
        "headers": headers,
        "body": body if has_body else "",
        "isBase64Encoded": is_base64 and has_body,
    }


def body_of(request: Request) -> str | bytes:
    """Return the body of a request, decompressed.

    Raises:
        InvalidRequestError: the body is missing, or does not match the headers.
        PayloadTooLargeError: the decompressed body is above the limit of a request.
    """
    body = request.body
    if not isinstance(body, str | bytes) or not body:
        raise InvalidRequestError("body: missing; expected JSON or CSV")
    data: str | bytes = body
    if request.is_base64:
        try:
            data = base64.b64decode(body, validate=True)
        except ValueError as error:  # binascii.Error, or ValueError if the body is not ASCII
            raise InvalidRequestError(f"body: not base64: {error}") from error
    encoding = request.headers.get("content-encoding")
    if not encoding:
        return data
    raw = data if isinstance(data, bytes) else _raw(data)
    return decompress(raw, str(encoding), request.limit)


def _text(data: str | bytes) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"body: not UTF-8: {error}") from error


def picture_bytes(data: str | bytes) -> bytes:
    """Return the body of a request that is a picture.

    Raises:
        InvalidRequestError: it is text.
    """
    if isinstance(data, bytes):
        return data
    raise InvalidRequestError(
        "body: the picture arrived as text, so that its bytes are lost: let the gateway in front "
        "of the function treat image/* as binary, or send it as base64 in JSON"
    )


def as_bytes(data: str | bytes) -> bytes:
    """Return a body as bytes.

    Raises:
        InvalidRequestError: it is no Unicode.
    """
    if isinstance(data, bytes):
        return data
    try:
        return data.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise InvalidRequestError(f"body: not Unicode: {error}") from error


def _raw(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            "body: compressed data arrived as text. Send it with `Content-Type: "
            "application/octet-stream`"
        ) from error


def _json(data: str | bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        from shearling_runtime.http.json_errors import problem_of

        raise InvalidRequestError(f"body: not JSON: {problem_of(error)}") from error
