"""Binary encoding of tensors: little-endian, row-major, strings with a length prefix."""

from __future__ import annotations

import struct
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_bytes(array: NDArray[Any]) -> bytes:
    """Encode a tensor: little-endian and row-major, each string after its 4-byte length."""
    if array.dtype.kind not in "UO":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = (
        element if isinstance(element, bytes) else str(element).encode()
        for element in array.ravel()
    )
    return b"".join(struct.pack("<I", len(element)) + element for element in encoded)


def from_bytes(
    data: bytes | memoryview, datatype: str, shape: list[int], *, is_text: bool = True
) -> NDArray[Any]:
    """Decode a tensor that `to_bytes` encoded.

    Args:
        data: the bytes.
        datatype: datatype of the Open Inference Protocol.
        shape: sizes of the tensor's dimensions.
        is_text: whether the elements of a BYTES tensor are texts in UTF-8; else they stay bytes.

    Raises:
        InvalidRequestError: the bytes do not match the datatype and shape.
    """
    dtype = DTYPES[datatype]
    if datatype != "BYTES":
        if len(data) != prod(shape) * dtype.itemsize:
            raise InvalidRequestError(
                f"{len(data)} bytes, but {datatype}{shape} has {prod(shape) * dtype.itemsize} bytes"
            )
        if datatype == "BOOL" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
            raise InvalidRequestError("a BOOL byte is neither 0 nor 1")
        return _shaped(np.frombuffer(data, dtype), shape)
    elements = _read_strings(memoryview(data), is_text=is_text)
    if len(elements) != prod(shape):
        raise InvalidRequestError(
            f"{len(elements)} strings, but shape {shape} has {prod(shape)} elements"
        )
    array = np.empty(len(elements), dtype)
    array[:] = elements
    return _shaped(array, shape)


def has_bytes(array: NDArray[Any]) -> bool:
    """Return whether the elements of a tensor are bytes, such as pictures, and no texts."""
    return array.dtype.kind == "O" and any(isinstance(element, bytes) for element in array.ravel())


def has_infinity(array: NDArray[Any]) -> bool:
    """Return whether a tensor has an infinite value, which JSON would make a missing one."""
    return array.dtype.kind == "f" and bool(np.isinf(array).any())


def _shaped(array: NDArray[Any], shape: list[int]) -> NDArray[Any]:
    try:
        return array.reshape(shape)
    except ValueError as error:  # an empty tensor with a size above numpy's limit
        raise InvalidRequestError(f"shape: {error}") from error


def _read_strings(data: memoryview, *, is_text: bool) -> list[str | bytes]:
    elements: list[str | bytes] = []
    position = 0
    while position < len(data):
        (length,) = struct.unpack_from("<I", data, position) if position + 4 <= len(data) else (0,)
        end = position + 4 + length
        if end > len(data):
            raise InvalidRequestError("the last string is incomplete")
        element = data[position + 4 : end]
        try:
            elements.append(str(element, "utf-8") if is_text else bytes(element))
        except UnicodeDecodeError as error:
            raise InvalidRequestError(f"a string is not UTF-8: {error}") from error
        position = end
    return elements
