"""The parameters of a request, its inputs and its outputs.

A parameter that other servers know, and that would change the data or the answer, is refused rather
than ignored. Callers may send other parameters of their own.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.protocol.keys import check_keys
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec

_TOP_CLASSES = "leave it out, select the output with the probabilities, and sort them"
_SHARED_MEMORY = "leave it out, and send the data in the request"
_STATE = "leave it out, since the model keeps no state between requests"

#: Parameters of other servers that are not supported, with what to do instead.
_REFUSED = {
    "classification": _TOP_CLASSES,
    "class_count": _TOP_CLASSES,
    "shared_memory_region": _SHARED_MEMORY,
    "shared_memory_offset": _SHARED_MEMORY,
    "shared_memory_byte_size": _SHARED_MEMORY,
    "sequence_id": _STATE,
    "sequence_start": _STATE,
    "sequence_end": _STATE,
}

#: Where each supported parameter belongs.
_PLACES = {
    "binary_data_size": "an input",
    "binary_data": "an output",
    "binary_data_output": "the request",
    "classes": "the request",
}

_SUPPORTED = {
    kind: frozenset({"content_type", *(name for name, place in _PLACES.items() if place == kind)})
    for kind in _PLACES.values()
}

#: MLServer's content types that say what the datatype says already; those of text need BYTES.
_SAME = ("np", "pd", "str")
_BASE64 = "base64"
_OF_TEXT = ("str", _BASE64)


def request_parameters(
    document: Mapping[str, Any], specs: Iterable[TensorSpec]
) -> Mapping[str, Any]:
    """Return the parameters of a request; none if it has none.

    Raises:
        InvalidRequestError: they are not an object, or one is not supported.
    """
    parameters = _checked(document, "", "the request")
    if (content := parameters.get("content_type")) is not None:
        for spec in specs:
            _check_content(content, _SAME, spec, "")
    return parameters


def input_parameters(tensor: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """Return the parameters of an input; none if it has none.

    Raises:
        InvalidRequestError: they are not an object, or one is not supported.
    """
    return _checked(tensor, f"{place}.", "an input")


def output_parameters(output: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """Return the parameters of a requested output; none if it has none.

    Raises:
        InvalidRequestError: they are not an object, or one is not supported.
    """
    parameters = _checked(output, f"{place}.", "an output")
    if (content := parameters.get("content_type")) not in (None, *_SAME):
        raise _unknown_content(content, _SAME, f"{place}.")
    return parameters


def flag(parameters: Mapping[str, Any], name: str, place: str = "", *, default: bool) -> bool:
    """Return a parameter that is true or false.

    Raises:
        InvalidRequestError: it is something else.
    """
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{place}parameters.{name}: {shown(value)} is not true or false")
    return value


def decoded(
    array: NDArray[Any], parameters: Mapping[str, Any], spec: TensorSpec, place: str
) -> NDArray[Any]:
    """Return the values of an input, decoded as its content type says.

    Raises:
        InvalidRequestError: the content type is not supported or is not that of the values.
    """
    content = parameters.get("content_type")
    if content is None:
        return array
    _check_content(content, (*_SAME, _BASE64), spec, f"{place}.")
    is_encoded = content == _BASE64 and not spec.content  # pictures in JSON always are
    return _from_base64(array, f"{place}.data") if is_encoded else array


def _checked(holder: Mapping[str, Any], place: str, kind: str) -> Mapping[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequestError(f"{place}parameters: {shown(parameters)} is not an object")
    for name, value in parameters.items():
        # Clients send null, 0 or false for a parameter that they do not use.
        if name in _REFUSED and value:
            raise InvalidRequestError(f"{place}parameters.{name}: not supported: {_REFUSED[name]}")
        if _PLACES.get(name, kind) != kind:
            raise InvalidRequestError(
                f"{place}parameters.{name}: a parameter of {_PLACES[name]}, not of {kind}"
            )
    check_keys(parameters, _SUPPORTED[kind], f"{place}parameters")
    return parameters


def _check_content(content: object, known: tuple[str, ...], spec: TensorSpec, place: str) -> None:
    if content not in known:
        raise _unknown_content(content, known, place)
    if content in _OF_TEXT and spec.datatype != "BYTES":
        raise InvalidRequestError(
            f"{place}parameters.content_type: {content!r} is for BYTES, but input {spec.name!r} is "
            f"{spec.datatype}"
        )


def _unknown_content(content: object, known: tuple[str, ...], place: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{place}parameters.content_type: {shown(content)} is not supported; expected one of "
        f"{', '.join(known)}, or no content type"
    )


def _from_base64(array: NDArray[Any], place: str) -> NDArray[Any]:
    texts = np.empty(array.shape, object)
    for index, value in np.ndenumerate(array):
        try:
            texts[index] = base64.b64decode(value, validate=True).decode()
        except ValueError as error:
            where = f" at {[*index]}" if array.size > 1 else ""
            raise InvalidRequestError(
                f"{place}: {shown(value)}{where} is not UTF-8 in base64: {error}"
            ) from error
    return texts
