"""Requests and answers of HTTP, as both payloads of API Gateway have them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from shearling.errors import InvalidRequestError
from shearling.protocol.constants import LENGTH_HEADER
from shearling_runtime.http.limits import ANSWER_LIMIT, check_answer, unpack
from shearling_runtime.serving.inference_input import InferenceInput

if TYPE_CHECKING:
    from collections.abc import Mapping


#: What the type of a table may say of its first line.
_HEADER = {"header=present": True, "header=absent": False}
CSV, _TYPE = "text/csv", "application/json"


@dataclass(slots=True)
class Request:
    """A request; the names of its headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, Any]
    body: Any
    is_base64: bool


@dataclass(slots=True)
class Caller:
    """By which alias a request came, and how long its caller waits."""

    alias: str | None
    seconds_left: float


@dataclass(slots=True)
class Response:
    """An answer: a document and the bytes after it, or a text of the type that its headers say."""

    status: int
    document: Any
    headers: Mapping[str, str] | None = None
    tail: bytes = b""
    text: str = ""


def lower_case(headers: object) -> dict[str, Any]:
    """Return headers with their names in lower case."""
    if not isinstance(headers, dict):
        return {}
    names = "".join(headers)
    if names == names.lower():  # as payload 2.0 has them
        return headers
    return {name.lower(): value for name, value in headers.items() if isinstance(name, str)}


def without_stage(path: str, stage: object) -> str:
    """Return a path without the stage that it begins with, if that has a name.

    A REST API leaves the stage out of the path already: one that is called `v2` is not there.
    """
    if not stage or stage == "$default":
        return path
    prefix = f"/{stage}/v2"
    return path[len(prefix) - 3 :] if path.startswith(prefix) else path


def inference_input(request: Request) -> InferenceInput:
    """Return what a request asks of a model.

    Raises:
        InvalidRequestError: its body is missing, or not what its headers say.
        PayloadTooLargeError: its body unpacks to more than is allowed.
    """
    data = _body(request)
    headers = request.headers
    is_csv, has_names, wants_csv = _forms(
        str(headers.get("content-type")), str(headers.get("accept"))
    )
    length = headers.get(LENGTH_HEADER)
    if is_csv:
        if length is not None:
            raise InvalidRequestError(f"{LENGTH_HEADER}: {CSV} has no JSON; leave the header out")
        return InferenceInput(None, wants_csv, csv=_text(data), has_names=has_names)
    if length is None:
        return InferenceInput(_json(data), wants_csv)
    from shearling.protocol.binary import split

    raw = data.encode() if isinstance(data, str) else data
    if str(length).strip() == "0":
        return InferenceInput(None, wants_csv, raw, is_raw=True)
    text, tail = split(raw, str(length).strip())
    return InferenceInput(_json(text), wants_csv, tail)


@lru_cache(maxsize=64)
def _forms(content_type: str, accepts: str) -> tuple[bool, bool | None, bool]:
    """Say whether a request is a table, whether that has names, and whether one is wanted."""
    kind, _, said = content_type.lower().partition(";")
    is_csv = kind.strip() == CSV
    has_names = next((is_so for word, is_so in _HEADER.items() if word in said), None)
    return is_csv, has_names, _wants_csv(accepts.lower(), is_csv=is_csv)


def _wants_csv(accepts: str, *, is_csv: bool) -> bool:
    """Say whether a table is wanted: by who sends one, or prefers one, by order, to JSON."""
    if CSV not in accepts:
        return is_csv and _TYPE not in accepts
    kinds = [
        kind.strip()
        for kind, _, weight in (part.partition(";") for part in accepts.split(","))
        if weight.replace(" ", "") not in ("q=0", "q=0.0")
    ]
    return next((kind == CSV for kind in kinds if kind in (CSV, _TYPE)), False)


def json_of(request: Request) -> Any:
    """Return what a request's body says.

    Raises:
        InvalidRequestError: its body is missing, or not what its headers say.
        PayloadTooLargeError: its body unpacks to more than is allowed.
    """
    return _json(_body(request))


def json_bytes(document: Any) -> bytes:
    """Write a document; arrays as lists, NaN as null."""
    try:
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:
        if document is None or "error" not in document:
            raise
        return json.dumps(document).encode()  # half a surrogate pair in a caller's own words


def http_answer(response: Response, *, has_body: bool) -> dict[str, Any]:
    """Return what API Gateway makes an answer of.

    Raises:
        PayloadTooLargeError: Lambda does not carry it.
    """
    headers: dict[str, str] = {"content-type": _TYPE}
    if response.headers:
        headers |= response.headers
    body, is_base64 = "", False
    if response.text:
        body = response.text
    elif response.tail:
        text = json_bytes(response.document)
        headers |= {"content-type": "application/octet-stream", LENGTH_HEADER: str(len(text))}
        body, is_base64 = base64.b64encode(text + response.tail).decode(), True
    elif response.document is not None:
        body = json_bytes(response.document).decode()
    size = len(body)
    if size > ANSWER_LIMIT // 4:  # as text within Lambda's JSON it is longer
        check_answer(len(json_bytes(body)))
    return {
        "statusCode": response.status,
        "headers": headers,
        "body": body if has_body else "",
        "isBase64Encoded": is_base64 and has_body,
    }


def _body(request: Request) -> str | bytes:
    body = request.body
    if not isinstance(body, str) or not body:
        raise InvalidRequestError("body: missing; it is the request's JSON, or CSV")
    data: str | bytes = body
    if request.is_base64:
        try:
            data = base64.b64decode(body, validate=True)
        except ValueError as error:  # binascii's, and its elder for what is not even ASCII
            raise InvalidRequestError(f"body: not base64: {error}") from error
    encoding = request.headers.get("content-encoding")
    if not encoding:
        return data
    return unpack(data if isinstance(data, bytes) else _raw(data), str(encoding))


def _text(data: str | bytes) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"body: not UTF-8: {error}") from error


def _raw(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            "body: packed bytes are no text: send them as `Content-Type: application/octet-stream`"
        ) from error


def _json(data: str | bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"body: not JSON: {error}") from error
