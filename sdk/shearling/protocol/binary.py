"""The protocol's binary tensors: a body that is JSON, then bytes, or bytes alone."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import orjson

from shearling.errors import InvalidRequestError
from shearling.protocol.constants import LENGTH_HEADER
from shearling.protocol.requests import InferRequest, tensor_document
from shearling.tensors.conversion import check_missing
from shearling.tensors.dtypes import datatype_of
from shearling.tensors.encoding import from_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature

#: How long the JSON at the beginning of a body is; 0 if there is none.

#: Elements whose length as JSON stands for all, and how much bytes grow as base64.
_SAMPLE = 64
_BASE64 = 4 / 3


def split(data: bytes, length: str) -> tuple[bytes, memoryview]:
    """Return a body's JSON and the bytes after it.

    Args:
        data: the body.
        length: the value of `LENGTH_HEADER`.

    Raises:
        InvalidRequestError: the body is shorter.
    """
    if not (length.isascii() and length.isdigit()) or int(length[:20]) > len(data):
        raise InvalidRequestError(
            f"{LENGTH_HEADER}: {length!r:.40} is not a length within the body's {len(data)} bytes"
        )
    end = int(length)
    return data[:end], memoryview(data)[end:]


def raw_request(data: bytes | memoryview, signature: Signature) -> InferRequest:
    """Read a body that is nothing but the bytes of the model's only input.

    As in Triton, a size that is not fixed follows from the length, the body of a BYTES input is its
    one element, and all outputs are answered as bytes.

    Raises:
        InvalidRequestError: the model has several inputs, or the bytes do not fit the one.
    """
    if len(signature.inputs) != 1:
        raise InvalidRequestError(
            f"{LENGTH_HEADER}: 0 is for models with one input, and this one takes "
            f"{', '.join(map(str, signature.inputs))}"
        )
    (spec,) = signature.inputs
    if spec.datatype == "BYTES":
        data = len(data).to_bytes(4, "little") + bytes(data)
        shape = [1 if size == -1 else size for size in spec.shape]
    else:
        known = prod(size for size in spec.shape if size != -1)
        if spec.shape.count(-1) > 1:
            raise InvalidRequestError(f"{LENGTH_HEADER}: 0 leaves the shape of {spec} open")
        width = known * _item_size(spec.datatype)
        rows = len(data) // width if width else 0
        shape = [rows if size == -1 else size for size in spec.shape]
    try:
        array = from_bytes(data, spec.datatype, shape).copy()
    except InvalidRequestError as error:
        raise InvalidRequestError(f"body: as {spec}: {error}") from error
    check_missing(array, spec, "body")
    outputs = tuple(each.name for each in signature.outputs)
    return InferRequest(
        id=None, inputs={spec.name: array}, outputs=outputs, binary=frozenset(outputs)
    )


def request_body(inputs: Mapping[str, NDArray[Any]]) -> tuple[bytes, int | None]:
    """Return the body of a request for all outputs, and the length of its JSON if bytes follow.

    A tensor is bytes where that is shorter, also as base64, and where JSON would lose something.
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
    """Say whether a tensor is shorter as bytes than as JSON, or JSON cannot say all of it."""
    import numpy as np

    if array.dtype == np.float16:
        return True
    if array.dtype.kind not in "fiu":
        return False
    if array.dtype.kind == "f" and bool(np.isinf(array).any()):
        return True
    sample = np.ascontiguousarray(array.ravel()[:_SAMPLE])
    if sample.size < _SAMPLE:
        return False
    text = orjson.dumps(sample, option=orjson.OPT_SERIALIZE_NUMPY)
    return len(text) > sample.nbytes * _BASE64


def _item_size(datatype: str) -> int:
    from shearling.tensors.dtypes import DTYPES

    return DTYPES[datatype].itemsize
