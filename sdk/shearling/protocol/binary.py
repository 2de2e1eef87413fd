"""Requests with binary tensors: a body of JSON followed by bytes, or of bytes only."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from shearling.errors import InvalidRequestError
from shearling.protocol.constants import LENGTH_HEADER
from shearling.protocol.requests import InferRequest, tensor_document
from shearling.tensors.categories import check_categories
from shearling.tensors.conversion import check_limits
from shearling.tensors.dtypes import datatype_of
from shearling.tensors.encoding import from_bytes, has_bytes, has_infinity, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature

#: Number of elements whose JSON is measured to estimate the size of a tensor's JSON.
_SAMPLE = 64

#: Growth of bytes in base64.
_BASE64 = 4 / 3


def raw_request(
    data: bytes | memoryview, signature: Signature, columns: Sequence[str] = ()
) -> InferRequest:
    """Parse a body that has only the bytes of the model's single input.

    As in Triton, a variable size is computed from the length of the body, the body of a BYTES input
    is one element, and the response has all outputs as binary data.

    Args:
        data: the body.
        signature: signature of the model.
        columns: column names of the model's only input, for error messages.

    Raises:
        InvalidRequestError: the model has several inputs, or the bytes do not match the input.
    """
    if len(signature.inputs) != 1:
        raise InvalidRequestError(
            f"{LENGTH_HEADER}: 0 is for models with one input, but this model takes "
            f"{', '.join(map(str, signature.inputs))}"
        )
    (spec,) = signature.inputs
    if spec.content:
        binary = frozenset(signature.output_names)
        return replace(picture_request(data, signature), binary=binary, by_class=frozenset())
    if spec.datatype == "BYTES":
        data = len(data).to_bytes(4, "little") + bytes(data)
        shape = [1 if size == -1 else size for size in spec.shape]
    else:
        known = prod(size for size in spec.shape if size != -1)
        if spec.shape.count(-1) > 1:
            raise InvalidRequestError(
                f"{LENGTH_HEADER}: 0 is for inputs with at most one variable size (-1), but the "
                f"model takes {spec}: send JSON with the shape before the bytes"
            )
        width = known * _item_size(spec.datatype)
        rows = len(data) // width if width else 0
        shape = [rows if size == -1 else size for size in spec.shape]
    try:
        array = from_bytes(data, spec.datatype, shape).copy()
    except InvalidRequestError as error:
        raise InvalidRequestError(f"body: read as {spec}: {error}") from error
    check_limits(array, spec, "body")
    check_categories({spec.name: array}, signature.categorical, columns, place="body")
    outputs = tuple(output.name for output in signature.outputs)
    return InferRequest(
        id=None, inputs={spec.name: array}, outputs=outputs, binary=frozenset(outputs)
    )


def picture_request(data: bytes | memoryview, signature: Signature) -> InferRequest:
    """Return the request of a body that is a picture.

    The response has all outputs as JSON, with the classes of their columns, since a body without
    JSON cannot ask for them.

    Args:
        data: the body.
        signature: signature of the model.

    Raises:
        InvalidRequestError: the model does not take pictures.
    """
    takes = ", ".join(map(str, signature.inputs))
    if len(signature.inputs) != 1 or not signature.inputs[0].content:
        raise InvalidRequestError(
            f"content-type: a picture, but this model takes {takes:.200}: send JSON, with content "
            "type application/json"
        )
    picture = np.empty(1, object)
    picture[0] = bytes(data)
    inputs = {signature.inputs[0].name: picture}
    return InferRequest(
        id=None,
        inputs=inputs,
        outputs=signature.output_names,
        by_class=frozenset(signature.classes),
    )


def request_body(inputs: Mapping[str, NDArray[Any]]) -> tuple[bytes, int | None]:
    """Encode a request for all outputs.

    A tensor is sent as binary data if that is shorter than JSON even in base64, or if JSON would
    lose information.

    Args:
        inputs: arrays by input name.

    Returns:
        The body, and the length of its JSON in bytes if binary data follow; otherwise None.
    """
    tensors: list[dict[str, Any]] = []
    chunks: list[bytes] = []
    for name, array in inputs.items():
        if not is_better_binary(array):
            tensors.append(tensor_document(name, array))
            continue
        chunks.append(to_bytes(array))
        tensors.append(
            {
                "name": name,
                "datatype": datatype_of(array),
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(chunks[-1])},
            }
        )
    document: dict[str, Any] = {"inputs": tensors}
    if not chunks:
        return orjson.dumps(document), None
    text = orjson.dumps(document | {"parameters": {"binary_data_output": True}})
    return b"".join([text, *chunks]), len(text)


def is_better_binary(array: NDArray[Any]) -> bool:
    """Return whether a tensor is shorter as binary data than as JSON, or not exact in JSON."""
    if array.dtype == np.float16:
        return True
    if array.dtype.kind not in "fiu":
        return has_bytes(array)
    if has_infinity(array):
        return True
    sample = np.ascontiguousarray(array.ravel()[:_SAMPLE])
    if sample.size < _SAMPLE:
        return False
    text = orjson.dumps(sample, option=orjson.OPT_SERIALIZE_NUMPY)
    return len(text) > sample.nbytes * _BASE64


def _item_size(datatype: str) -> int:
    from shearling.tensors.dtypes import DTYPES

    return DTYPES[datatype].itemsize
