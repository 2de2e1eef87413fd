"""The Open Inference Protocol v2: requests and answers as JSON, tensors as little-endian bytes.

In memory a tensor is a numpy array of its datatype; BYTES is an array of `str` objects, as ONNX
Runtime has it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.bundle import Signature, TensorSpec

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
_DATATYPES = {dtype: name for name, dtype in DTYPES.items()}
_REQUEST_EXAMPLE = '{"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """A request that fits the signature.

    Attributes:
        id: echoed in the answer, if given.
        inputs: an array for every input of the signature.
        outputs: names of the wanted outputs, in the wanted order.
    """

    id: str | None
    inputs: dict[str, NDArray[Any]]
    outputs: tuple[str, ...]


def datatype_of(array: NDArray[Any]) -> str | None:
    """Return the datatype of a numpy array, or None if the protocol has none for it."""
    if array.dtype.kind in "UO":
        return "BYTES"
    return _DATATYPES.get(array.dtype) or _DATATYPES.get(array.dtype.newbyteorder("<"))


def parse_request(document: object, signature: Signature) -> InferRequest:
    """Check a request's JSON against a signature.

    Raises:
        InvalidRequestError: it is malformed or does not fit; the message names the field.
    """
    if not isinstance(document, dict):
        raise InvalidRequestError(f"the request is not an object: expected {_REQUEST_EXAMPLE}")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidRequestError(f"id: {request_id!r:.80} is not a string")
    tensors = document.get("inputs")
    if not isinstance(tensors, list):
        raise InvalidRequestError(f"inputs: expected a list, as in {_REQUEST_EXAMPLE}")
    specs = {spec.name: spec for spec in signature.inputs}
    inputs: dict[str, NDArray[Any]] = {}
    for i, tensor in enumerate(tensors):
        spec = _spec_of(tensor, f"inputs[{i}]", specs)
        if spec.name in inputs:
            raise InvalidRequestError(f"inputs[{i}].name: {spec.name!r} stands there twice")
        inputs[spec.name] = _read_tensor(tensor, spec, f"inputs[{i}]")
    if missing := [str(spec) for name, spec in specs.items() if name not in inputs]:
        raise InvalidRequestError(f"inputs: missing {', '.join(missing)}")
    return InferRequest(id=request_id, inputs=inputs, outputs=_wanted_outputs(document, signature))


def check_array(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Return the array in the datatype of its spec, if that loses nothing but float precision.

    Raises:
        InvalidRequestError: datatype, shape or a value does not fit.
    """
    _check_shape(list(array.shape), spec, place)
    return _convert(array, spec, place).reshape(array.shape)


def answer(
    model: str, version: str, request: InferRequest, outputs: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """Return the answer's document.

    Data of numbers stay arrays: orjson writes them, NaN as null, without a list in between.

    Raises:
        InvalidRequestError: an output cannot be written as JSON.
    """
    document: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    document["outputs"] = [_head(name, outputs[name]) for name in request.outputs]
    for tensor in document["outputs"]:
        flat = outputs[tensor["name"]].ravel()
        tensor["data"] = flat.tolist() if flat.dtype.kind == "O" else flat
    return document


def request_document(inputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the document of a request for all outputs."""
    return {"inputs": [tensor_document(name, array) for name, array in inputs.items()]}


def tensor_document(name: str, array: NDArray[Any]) -> dict[str, Any]:
    """Return a tensor as a document with flat data, NaN and infinities as null.

    Raises:
        InvalidRequestError: the datatype cannot be written as JSON.
    """
    data = array.ravel().tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        data = [value if np.isfinite(value) else None for value in data]
    return _head(name, array) | {"data": data}


def read_answer(document: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the outputs of an answer as arrays by name."""
    return {
        tensor["name"]: np.array(tensor["data"], DTYPES[tensor["datatype"]]).reshape(
            tensor["shape"]
        )
        for tensor in document["outputs"]
    }


def to_bytes(array: NDArray[Any]) -> bytes:
    """Return a tensor's elements, little-endian and row-major; a string has a 4-byte length."""
    if array.dtype.kind not in "UO":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = (str(element).encode() for element in array.ravel())
    return b"".join(struct.pack("<I", len(element)) + element for element in encoded)


def from_bytes(data: bytes | memoryview, datatype: str, shape: list[int]) -> NDArray[Any]:
    """Read a tensor written by `to_bytes`.

    Raises:
        InvalidRequestError: there are more or fewer bytes than the shape has elements.
    """
    dtype = DTYPES[datatype]
    if datatype != "BYTES":
        if len(data) != prod(shape) * dtype.itemsize:
            raise InvalidRequestError(
                f"{len(data)} bytes, where {datatype}{shape} has {prod(shape) * dtype.itemsize}"
            )
        return np.frombuffer(data, dtype).reshape(shape)
    elements = _read_strings(memoryview(data))
    if len(elements) != prod(shape):
        raise InvalidRequestError(f"{len(elements)} strings, where {shape} has {prod(shape)}")
    array = np.empty(len(elements), dtype)
    array[:] = elements
    return array.reshape(shape)


def _head(name: str, array: NDArray[Any]) -> dict[str, Any]:
    datatype = datatype_of(array)
    if datatype in (None, "FP16"):
        raise InvalidRequestError(f"tensor {name!r}: {array.dtype} has no form in JSON")
    return {"name": name, "datatype": datatype, "shape": list(array.shape)}


def _read_strings(data: memoryview) -> list[str]:
    elements = []
    position = 0
    while position < len(data):
        (length,) = struct.unpack_from("<I", data, position) if position + 4 <= len(data) else (0,)
        end = position + 4 + length
        if end > len(data):
            raise InvalidRequestError("the last string is cut off")
        try:
            elements.append(str(data[position + 4 : end], "utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidRequestError(f"a string is not UTF-8: {error}") from error
        position = end
    return elements


def _spec_of(tensor: object, place: str, specs: Mapping[str, TensorSpec]) -> TensorSpec:
    if not isinstance(tensor, dict):
        raise InvalidRequestError(f"{place}: not an object: expected {_REQUEST_EXAMPLE}")
    name = tensor.get("name")
    spec = specs.get(name) if isinstance(name, str) else None
    if spec is None:
        raise InvalidRequestError(
            f"{place}.name: {name!r:.80} is not an input of the model; it takes "
            f"{', '.join(map(str, specs.values()))}"
        )
    return spec


def _read_tensor(tensor: Mapping[str, Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    if tensor.get("datatype") != spec.datatype:
        raise InvalidRequestError(
            f"{place}.datatype: {tensor.get('datatype')!r:.80}, but input {spec.name!r} is "
            f"{spec.datatype}"
        )
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise InvalidRequestError(f"{place}.shape: {shape!r:.80} is not a list of sizes")
    _check_shape(shape, spec, place)
    data = tensor.get("data")
    if not isinstance(data, list):
        raise InvalidRequestError(
            f"{place}.data: expected a list of {spec.datatype}, nested or flat"
        )
    if spec.datatype == "FP16":
        raise InvalidRequestError(f"{place}.data: FP16 has no form in JSON")
    try:
        array = np.array(data, object) if spec.datatype == "BYTES" else np.asarray(data)
    except ValueError as error:
        raise InvalidRequestError(f"{place}.data: rows of different lengths") from error
    if spec.datatype.startswith("UINT") and array.dtype.kind == "f":
        array = np.array(data, object)  # numpy reads a small and a very large integer as floats
    if array.size != prod(shape) or (array.ndim > 1 and list(array.shape) != shape):
        raise InvalidRequestError(
            f"{place}.data: shape {list(array.shape)}, where {place}.shape says {shape}"
        )
    try:
        return _convert(array, spec, f"{place}.data").reshape(shape)
    except ValueError as error:  # no elements, and a size that no array has
        raise InvalidRequestError(f"{place}.shape: {error}") from error


def _check_shape(shape: list[int], spec: TensorSpec, place: str) -> None:
    fits = len(shape) == len(spec.shape) and all(
        wanted in (-1, size) for size, wanted in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        raise InvalidRequestError(
            f"{place}.shape: {shape} does not fit {list(spec.shape)} of input {spec.name!r}"
            " (-1 is any size)"
        )


def _convert(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    dtype = DTYPES[spec.datatype]
    if array.dtype == dtype and dtype.kind != "O":
        return array
    if array.size == 0:
        return array.astype(dtype)
    kind = array.dtype.kind
    match dtype.kind:
        case "O" if all(isinstance(element, str) for element in array.ravel()):
            return array.astype(object)
        case "b" if kind == "b" or (kind in "iu" and np.isin(array, (0, 1)).all()):
            return array.astype(dtype)
        case "f":
            return _to_float(array, dtype, place)
        case "i" | "u" if _are_integers(array) and _in_range(array, dtype):
            return array.astype(dtype)
    raise InvalidRequestError(f"{place}: {_sample(array)} is not {spec.datatype}")


def _to_float(array: NDArray[Any], dtype: np.dtype[Any], place: str) -> NDArray[Any]:
    # JSON knows no NaN: null stands for it, in requests as in answers.
    if array.dtype.kind == "O" and all(
        element is None or type(element) in (int, float) for element in array.ravel()
    ):
        try:
            array = array.astype(np.float64)
        except OverflowError as error:
            raise InvalidRequestError(f"{place}: {error}") from error
    if array.dtype.kind not in "fiu":
        raise InvalidRequestError(f"{place}: {_sample(array)} is not a number")
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError as error:
        largest = array.ravel()[np.nanargmax(np.where(np.isinf(array), 0, np.abs(array)))]
        raise InvalidRequestError(f"{place}: {largest} is out of range for {dtype}") from error


def _are_integers(array: NDArray[Any]) -> bool:
    kind = array.dtype.kind
    return kind in "iu" or (kind == "O" and all(type(element) is int for element in array.ravel()))


def _in_range(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(int(array.min()) >= limits.min and int(array.max()) <= limits.max)


def _sample(array: NDArray[Any]) -> str:
    first = array.ravel()[:3].tolist()
    return f"{(first[0] if array.size == 1 else first)!r:.80}"


def _wanted_outputs(document: Mapping[str, Any], signature: Signature) -> tuple[str, ...]:
    names = tuple(spec.name for spec in signature.outputs)
    wanted = document.get("outputs")
    if wanted is None:
        return names
    if not isinstance(wanted, list) or not wanted:
        raise InvalidRequestError('outputs: expected a list of objects, as in [{"name": ...}]')
    chosen = []
    for i, output in enumerate(wanted):
        name = output.get("name") if isinstance(output, dict) else None
        if name not in names:
            raise InvalidRequestError(
                f"outputs[{i}].name: {name!r:.80} is not an output of the model; it gives "
                f"{', '.join(names)}"
            )
        chosen.append(name)
    return tuple(chosen)
