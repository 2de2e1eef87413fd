"""The Open Inference Protocol v2: requests and answers as JSON, tensors as little-endian bytes.

In memory a tensor is a numpy array of its datatype; BYTES is an array of `str` objects, as ONNX
Runtime has it.
"""

from __future__ import annotations

import reprlib
import struct
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling.errors import InvalidRequestError, PredictionError

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
        binary: names of the outputs that are wanted as bytes.
        rows: how instances were given, and predictions are wanted; None for tensors.
    """

    id: str | None
    inputs: dict[str, NDArray[Any]]
    outputs: tuple[str, ...]
    binary: frozenset[str] = frozenset()
    rows: Literal["objects", "values"] | None = None


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """An answer's document, and the bytes of its binary tensors, in order."""

    document: dict[str, Any]
    tail: bytes = b""


class _Tail:
    """The bytes after a request's JSON, from which its binary tensors are taken in order."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._data)

    def take(self, size: object, place: str) -> memoryview:
        if type(size) is not int or size < 0:
            raise InvalidRequestError(f"{place}: {shown(size)} is not a number of bytes")
        if size > len(self._data):
            raise InvalidRequestError(
                f"{place}: {size} bytes, but {len(self._data)} are left after the JSON"
            )
        taken, self._data = self._data[:size], self._data[size:]
        return taken


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60
_REPR.maxlevel = 3


def shown(value: object) -> str:
    """Return a caller's value for a message: short, however large or deep it is."""
    return f"{_REPR.repr(value):.80}"


def datatype_of(array: NDArray[Any]) -> str | None:
    """Return the datatype of a numpy array, or None if the protocol has none for it."""
    if array.dtype.kind in "UO":
        return "BYTES"
    return _DATATYPES.get(array.dtype) or _DATATYPES.get(array.dtype.newbyteorder("<"))


def parse_request(
    document: object, signature: Signature, tail: bytes | memoryview = b""
) -> InferRequest:
    """Check a request against a signature.

    Args:
        document: its JSON.
        signature: what the model takes and gives.
        tail: the bytes after the JSON, with the inputs that have a `binary_data_size`.

    Raises:
        InvalidRequestError: it is malformed or does not fit; the message names the field.
    """
    if not isinstance(document, dict):
        raise InvalidRequestError(f"the request is not an object: expected {_REQUEST_EXAMPLE}")
    request_id = id_of(document)
    tensors = document.get("inputs")
    if not isinstance(tensors, list):
        raise InvalidRequestError(f"inputs: expected a list, as in {_REQUEST_EXAMPLE}")
    specs = {spec.name: spec for spec in signature.inputs}
    inputs: dict[str, NDArray[Any]] = {}
    left = _Tail(tail)
    for i, tensor in enumerate(tensors):
        spec = _spec_of(tensor, f"inputs[{i}]", specs)
        if spec.name in inputs:
            raise InvalidRequestError(f"inputs[{i}].name: {spec.name!r} stands there twice")
        inputs[spec.name] = _read_tensor(tensor, spec, f"inputs[{i}]", left)
    if len(left):
        raise InvalidRequestError(f"body: {len(left)} bytes more than the inputs take")
    if missing := [str(spec) for name, spec in specs.items() if name not in inputs]:
        raise InvalidRequestError(f"inputs: missing {', '.join(missing)}")
    outputs, binary = wanted_outputs(document, signature)
    return InferRequest(id=request_id, inputs=inputs, outputs=outputs, binary=binary)


def id_of(document: Mapping[str, Any]) -> str | None:
    """Return the id of a request.

    Raises:
        InvalidRequestError: it is not a string.
    """
    request_id = document.get("id")
    if request_id is None or (isinstance(request_id, str) and _is_unicode(request_id)):
        return request_id
    raise InvalidRequestError(f"id: {shown(request_id)} is not a string")


def check_array(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Return the array in the datatype of its spec, if that loses nothing but float precision.

    Raises:
        InvalidRequestError: datatype, shape or a value does not fit.
    """
    _check_shape(list(array.shape), spec, place)
    return _convert(array, spec, place).reshape(array.shape)


def answer(
    model: str, version: str, request: InferRequest, outputs: Mapping[str, NDArray[Any]]
) -> InferAnswer:
    """Return the answer to a request for tensors.

    Data of numbers stay arrays: orjson writes them, NaN as null, without a list in between.

    Raises:
        InvalidRequestError: an output cannot be written as JSON.
        PredictionError: an output is of no datatype.
    """
    document: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    chunks = []
    tensors = document["outputs"] = []
    for name in request.outputs:
        array = outputs[name]
        datatype = datatype_of(array)
        if datatype is None:
            raise PredictionError(f"the model gave {array.dtype} for {name!r}: no datatype is that")
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": datatype,
            "shape": list(array.shape),
        }
        tensors.append(tensor)
        if name in request.binary:
            chunks.append(to_bytes(array))
            tensor["parameters"] = {"binary_data_size": len(chunks[-1])}
            continue
        if datatype == "FP16":
            raise _no_json(name, array)
        flat = array.ravel()
        tensor["data"] = flat.tolist() if datatype == "BYTES" else flat
    return InferAnswer(document, b"".join(chunks))


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


def read_answer(
    document: Mapping[str, Any], tail: bytes | memoryview = b""
) -> dict[str, NDArray[Any]]:
    """Return the outputs of an answer as arrays by name.

    Args:
        document: its JSON.
        tail: the bytes after it.
    """
    left = _Tail(tail)
    outputs = {}
    for tensor in document["outputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(tensor["data"], DTYPES[tensor["datatype"]])
        else:
            data = left.take(size, tensor["name"])
            array = from_bytes(data, tensor["datatype"], tensor["shape"]).copy()
        outputs[tensor["name"]] = array.reshape(tensor["shape"])
    return outputs


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
        if datatype == "BOOL" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
            raise InvalidRequestError("a byte of BOOL is neither 0 nor 1")
        return _shaped(np.frombuffer(data, dtype), shape)
    elements = _read_strings(memoryview(data))
    if len(elements) != prod(shape):
        raise InvalidRequestError(f"{len(elements)} strings, where {shape} has {prod(shape)}")
    array = np.empty(len(elements), dtype)
    array[:] = elements
    return _shaped(array, shape)


def _shaped(array: NDArray[Any], shape: list[int]) -> NDArray[Any]:
    try:
        return array.reshape(shape)
    except ValueError as error:  # no elements, and a size that no array has
        raise InvalidRequestError(f"shape: {error}") from error


def _head(name: str, array: NDArray[Any]) -> dict[str, Any]:
    datatype = datatype_of(array)
    if datatype in (None, "FP16"):
        raise _no_json(name, array)
    return {"name": name, "datatype": datatype, "shape": list(array.shape)}


def _no_json(name: str, array: NDArray[Any]) -> InvalidRequestError:
    return InvalidRequestError(
        f"tensor {name!r}: {array.dtype} has no form in JSON; ask for it as bytes, by the "
        'parameter {"binary_data": true}'
    )


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
            f"{place}.name: {shown(name)} is not an input of the model; it takes "
            f"{', '.join(map(str, specs.values()))}"
        )
    return spec


def _read_tensor(
    tensor: Mapping[str, Any], spec: TensorSpec, place: str, left: _Tail
) -> NDArray[Any]:
    if tensor.get("datatype") != spec.datatype:
        raise InvalidRequestError(
            f"{place}.datatype: {shown(tensor.get('datatype'))}, but input {spec.name!r} is "
            f"{spec.datatype}"
        )
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise InvalidRequestError(f"{place}.shape: {shown(shape)} is not a list of sizes")
    _check_shape(shape, spec, place)
    parameters = tensor.get("parameters")
    if parameters is not None:
        size = _parameters(tensor, f"{place}.").get("binary_data_size")
        if size is not None:
            return _read_binary(
                tensor, left.take(size, f"{place}.parameters.binary_data_size"), place
            )
    data = tensor.get("data")
    if not isinstance(data, list):
        raise InvalidRequestError(
            f"{place}.data: expected a list of {spec.datatype}, nested or flat"
        )
    if spec.datatype == "FP16":
        raise InvalidRequestError(
            f"{place}.data: FP16 has no form in JSON; send bytes, with `binary_data_size`"
        )
    array = array_of(data, spec, f"{place}.data")
    if array.size != prod(shape) or (array.ndim > 1 and list(array.shape) != shape):
        raise InvalidRequestError(
            f"{place}.data: shape {list(array.shape)}, where {place}.shape says {shape}"
        )
    try:
        return _convert(array, spec, f"{place}.data").reshape(shape)
    except ValueError as error:  # no elements, and a size that no array has
        raise InvalidRequestError(f"{place}.shape: {error}") from error


def _read_binary(tensor: Mapping[str, Any], data: memoryview, place: str) -> NDArray[Any]:
    if "data" in tensor:
        raise InvalidRequestError(f"{place}.data: not beside binary_data_size")
    try:
        # A copy is aligned, and the model's own.
        return from_bytes(data, tensor["datatype"], tensor["shape"]).copy()
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{place}: {error}") from error


def array_of(data: list[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Return JSON's values as an array that `check_array` takes.

    Raises:
        InvalidRequestError: its rows have different lengths.
    """
    try:
        array = np.array(data, object) if spec.datatype == "BYTES" else np.asarray(data)
    except ValueError as error:
        raise InvalidRequestError(f"{place}: rows of different lengths") from error
    if spec.datatype.startswith("UINT") and array.dtype.kind == "f":
        array = np.array(data, object)  # numpy reads a small and a very large integer as floats
    return array


def _parameters(holder: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequestError(f"{place}parameters: {shown(parameters)} is not an object")
    return parameters


def _flag(holder: Mapping[str, Any], place: str, name: str, *, default: bool) -> bool:
    value = _parameters(holder, place).get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{place}parameters.{name}: {shown(value)} is not true or false")
    return value


def _is_unicode(text: str) -> bool:
    # JSON can spell half of a surrogate pair, which no encoding has.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
        case "O" if all(isinstance(element, str) for element in array.ravel()) and _is_unicode(
            "".join(array.ravel())
        ):
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
        element is None or type(element) in (int, float, bool) for element in array.ravel()
    ):
        try:
            array = array.astype(np.float64)
        except OverflowError as error:
            raise InvalidRequestError(f"{place}: {error}") from error
    if array.dtype.kind not in "fiub":
        raise InvalidRequestError(f"{place}: {_sample(array)} is not a number")
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError as error:
        largest = array.ravel()[np.nanargmax(np.where(np.isinf(array), 0, np.abs(array)))]
        raise InvalidRequestError(f"{place}: {largest} is out of range for {dtype}") from error


def _are_integers(array: NDArray[Any]) -> bool:
    kind = array.dtype.kind
    return kind in "iub" or (
        kind == "O" and all(type(element) in (int, bool) for element in array.ravel())
    )


def _in_range(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(int(array.min()) >= limits.min and int(array.max()) <= limits.max)


def _sample(array: NDArray[Any]) -> str:
    first = array.ravel()[:3].tolist()
    return shown(first[0] if array.size == 1 else first)


def wanted_outputs(
    document: Mapping[str, Any], signature: Signature
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the names of the outputs that a request wants, and which of them as bytes.

    Raises:
        InvalidRequestError: the model does not give one of them.
    """
    names = tuple(spec.name for spec in signature.outputs)
    wanted = document.get("outputs")
    all_binary = "parameters" in document and _flag(
        document, "", "binary_data_output", default=False
    )
    if wanted is None:
        return names, frozenset(names if all_binary else ())
    if not isinstance(wanted, list) or not wanted:
        raise InvalidRequestError('outputs: expected a list of objects, as in [{"name": ...}]')
    chosen: dict[str, bool] = {}
    for i, output in enumerate(wanted):
        name = output.get("name") if isinstance(output, dict) else None
        if name not in names:
            raise InvalidRequestError(
                f"outputs[{i}].name: {shown(name)} is not an output of the model; it gives "
                f"{', '.join(names)}"
            )
        if name in chosen:
            raise InvalidRequestError(f"outputs[{i}].name: {name!r} stands there twice")
        chosen[name] = _flag(output, f"outputs[{i}].", "binary_data", default=all_binary)
    return tuple(chosen), frozenset(name for name, binary in chosen.items() if binary)
