"""Requests of the Open Inference Protocol v2, parsed and checked against a signature."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.protocol.keys import (
    OUTPUT_KEYS,
    REQUEST_KEYS,
    TENSOR_KEYS,
    check_keys,
    no_request,
)
from shearling.protocol.parameters import (
    decoded,
    flag,
    input_parameters,
    output_parameters,
    request_parameters,
)
from shearling.tensors.categories import check_categories
from shearling.tensors.conversion import (
    check_limits,
    check_shape,
    convert,
    is_unicode,
    packed,
    shown,
)
from shearling.tensors.dtypes import datatype_of
from shearling.tensors.encoding import from_bytes, has_bytes
from shearling.tensors.exact import converted_exactly, is_number
from shearling.tensors.json_values import array_of, check_empty

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature, TensorSpec


_REQUEST_EXAMPLE = '{"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}'


@dataclass(slots=True)
class InferRequest:
    """A request that matches the signature.

    Attributes:
        id: the caller's id, which the response repeats; None without one.
        inputs: an array for every input of the signature, by name.
        outputs: names of the requested outputs, in the requested order.
        binary: names of the outputs to return as binary data.
        rows: form of the instances, and so of the predictions; None for a request of tensors.
        by_class: names of the outputs whose columns the answer shall name by their classes.
        truncated: once it is answered, the number of texts that were longer than the model reads;
            None for a model that reads no texts.
    """

    id: str | None
    inputs: dict[str, NDArray[Any]]
    outputs: tuple[str, ...]
    binary: frozenset[str] = frozenset()
    rows: Literal["objects", "values", "csv"] | None = None
    by_class: frozenset[str] = frozenset()
    truncated: int | None = None


class _Tail:
    """The binary data after the JSON of a body; its tensors are taken in order."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)

    def __len__(self) -> int:
        return len(self._data)

    def take(self, size: object, place: str) -> memoryview:
        if type(size) is not int or size < 0:
            raise InvalidRequestError(f"{place}: {shown(size)} is not a number of bytes")
        if size > len(self._data):
            raise InvalidRequestError(
                f"{place}: {shown(size)} bytes, but {len(self._data)} are left after the JSON"
            )
        taken, self._data = self._data[:size], self._data[size:]
        return taken


#: Shared by requests without binary data, which most are.
_NO_TAIL = _Tail(b"")


def parse_request(
    document: object,
    signature: Signature,
    tail: bytes | memoryview = b"",
    columns: Sequence[str] = (),
) -> InferRequest:
    """Parse a request of tensors and check it against a signature.

    Args:
        document: decoded JSON of the request.
        signature: signature of the model.
        tail: the bytes after the JSON, with the data of inputs that have a `binary_data_size`.
        columns: column names of the model's only input, for error messages.

    Raises:
        InvalidRequestError: the request is malformed or does not match the signature; the message
            names the field.
    """
    if not isinstance(document, dict):
        raise InvalidRequestError(no_request(document, signature, columns))
    if not document.keys() <= REQUEST_KEYS:
        check_keys(document, REQUEST_KEYS)
    request_id = id_of(document) if "id" in document else None
    tensors = document.get("inputs")
    if not isinstance(tensors, list):
        if "inputs" not in document:
            raise InvalidRequestError(no_request(document, signature, columns))
        raise InvalidRequestError(f"inputs: expected a list, as in {_REQUEST_EXAMPLE}")
    specs = signature.by_name
    inputs: dict[str, NDArray[Any]] = {}
    left = _Tail(tail) if tail else _NO_TAIL
    for i, tensor in enumerate(tensors):
        place = f"inputs[{i}]"
        spec = _spec_of(tensor, place, specs)
        if spec.name in inputs:
            raise InvalidRequestError(f"{place}.name: {spec.name!r} is used twice")
        inputs[spec.name] = _read_tensor(tensor, spec, place, left)
    if tail and len(left):
        raise InvalidRequestError(f"body: {len(left)} bytes too many after the last input")
    if len(inputs) < len(specs):
        missing = ", ".join(str(spec) for name, spec in specs.items() if name not in inputs)
        raise InvalidRequestError(f"inputs: missing {missing}")
    if signature.categorical:
        check_categories(inputs, signature.categorical, columns)
    outputs, binary = wanted_outputs(document, signature)
    by_class = outputs_by_class(document, signature) if "parameters" in document else frozenset()
    return InferRequest(request_id, inputs, outputs, binary, by_class=by_class)


def outputs_by_class(document: Mapping[str, Any], signature: Signature) -> frozenset[str]:
    """Return the outputs whose columns a request wants by class: all that have classes, or none.

    Raises:
        InvalidRequestError: the parameter is neither true nor false.
    """
    parameters = document.get("parameters") or {}
    return frozenset(signature.classes if flag(parameters, "classes", default=False) else ())


def id_of(document: Mapping[str, Any]) -> str | None:
    """Return the id of a request, or None without one.

    Raises:
        InvalidRequestError: the id is not a string.
    """
    request_id = document.get("id")
    if request_id is None or (isinstance(request_id, str) and is_unicode(request_id)):
        return request_id
    raise InvalidRequestError(f"id: {shown(request_id)} is not a string")


def request_document(inputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the JSON document of a request for all outputs, without binary data."""
    return {"inputs": [tensor_document(name, array) for name, array in inputs.items()]}


def tensor_document(name: str, array: NDArray[Any]) -> dict[str, Any]:
    """Return the JSON document of a tensor, with flat data.

    NaN and infinities become null, and pictures become base64.

    Raises:
        InvalidRequestError: JSON cannot carry the datatype.
    """
    data = array.ravel().tolist()
    if has_bytes(array):
        data = [b64encode(element).decode() for element in data]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        data = [value if np.isfinite(value) else None for value in data]
    return _head(name, array) | {"data": data}


def _head(name: str, array: NDArray[Any]) -> dict[str, Any]:
    datatype = datatype_of(array)
    if datatype in (None, "FP16"):
        raise _json_error(name, array)
    return {"name": name, "datatype": datatype, "shape": list(array.shape)}


def _json_error(name: str, array: NDArray[Any]) -> InvalidRequestError:
    return InvalidRequestError(
        f"tensor {name!r}: JSON cannot carry {array.dtype}; request binary data with the "
        'parameter {"binary_data": true}'
    )


def _spec_of(tensor: object, place: str, specs: Mapping[str, TensorSpec]) -> TensorSpec:
    if not isinstance(tensor, dict):
        raise InvalidRequestError(f"{place}: not an object: expected {_REQUEST_EXAMPLE}")
    if not tensor.keys() <= TENSOR_KEYS:
        check_keys(tensor, TENSOR_KEYS, place)
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
        return _read_other_datatype(tensor, spec, place, left)
    shape = check_shape(tensor.get("shape"), spec, place)
    if "parameters" not in tensor:
        return _read_data(tensor, spec, shape, place)
    parameters = input_parameters(tensor, place)
    size = parameters.get("binary_data_size")
    if size is None:
        array = _read_data(tensor, spec, shape, place)
    else:
        taken = left.take(size, f"{place}.parameters.binary_data_size")
        array = check_limits(_read_binary(tensor, spec, taken, place), spec, place)
    return decoded(array, parameters, spec, place)


def _read_other_datatype(
    tensor: Mapping[str, Any], spec: TensorSpec, place: str, left: _Tail
) -> NDArray[Any]:
    """Read numbers of another datatype, as a client sends them that knows an older version.

    Raises:
        InvalidRequestError: they are no numbers, or a value would change.
    """
    datatype = tensor.get("datatype")
    if not is_number(datatype) or not is_number(spec.datatype):
        raise InvalidRequestError(
            f"{place}.datatype: {shown(datatype)}, but input {spec.name!r} is {spec.datatype}"
        )
    sent = replace(spec, datatype=datatype, nullable=True, finite=False, categories=None)
    return converted_exactly(_read_tensor(tensor, sent, place, left), spec, f"{place}.data")


def _read_data(
    tensor: Mapping[str, Any], spec: TensorSpec, shape: list[int], place: str
) -> NDArray[Any]:
    data = tensor.get("data")
    if not isinstance(data, list):
        raise InvalidRequestError(
            f"{place}.data: expected a list of {spec.datatype}, nested or flat"
        )
    array = packed(data, spec.datatype, shape)
    if array is None:
        return _read_closely(data, spec, shape, place)
    return check_limits(array, spec, place)  # Lambda's decoder reads 1e400 as infinity


def _read_closely(data: list[Any], spec: TensorSpec, shape: list[int], place: str) -> NDArray[Any]:
    """Convert data that `packed` refused, such as strings, nulls and nested lists.

    Raises:
        InvalidRequestError: the data do not match the input.
    """
    if spec.datatype == "FP16":
        raise InvalidRequestError(
            f"{place}.data: JSON cannot carry FP16; send binary data, with `binary_data_size`"
        )
    array = array_of(data, spec, f"{place}.data")
    if array.size != prod(shape) or (array.ndim > 1 and list(array.shape) != shape):
        raise InvalidRequestError(
            f"{place}.data: shape {list(array.shape)}, but {place}.shape is {shape}"
        )
    if not array.size:
        check_empty(shape, place)
    try:
        return convert(array, spec, f"{place}.data").reshape(shape)
    except ValueError as error:  # an empty tensor with a size above numpy's limit
        raise InvalidRequestError(f"{place}.shape: {error}") from error


def _read_binary(
    tensor: Mapping[str, Any], spec: TensorSpec, data: memoryview, place: str
) -> NDArray[Any]:
    if "data" in tensor:
        raise InvalidRequestError(f"{place}.data: not allowed together with binary_data_size")
    if not data:
        check_empty(tensor["shape"], place)
    try:
        # The copy is aligned, and the model may write to it.
        return from_bytes(
            data, tensor["datatype"], tensor["shape"], is_text=not spec.content
        ).copy()
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{place}: {error}") from error


def wanted_outputs(
    document: Mapping[str, Any], signature: Signature
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the names of the requested outputs, and of those to return as binary data.

    Raises:
        InvalidRequestError: `outputs` is malformed, or the model does not have one of the outputs.
    """
    names = signature.output_names
    wanted = document.get("outputs")
    all_binary = "parameters" in document and flag(
        request_parameters(document, signature.inputs), "binary_data_output", default=False
    )
    if wanted is None or wanted == []:
        return names, frozenset(names if all_binary else ())
    if not isinstance(wanted, list):
        raise InvalidRequestError('outputs: expected a list of objects, as in [{"name": ...}]')
    chosen: dict[str, bool] = {}
    for i, output in enumerate(wanted):
        place = f"outputs[{i}]"
        name = _output_name(output, place, names)
        if name in chosen:
            raise InvalidRequestError(f"{place}.name: {name!r} is used twice")
        parameters = output_parameters(output, place)
        chosen[name] = flag(parameters, "binary_data", f"{place}.", default=all_binary)
    return tuple(chosen), frozenset(name for name, binary in chosen.items() if binary)


def _output_name(output: object, place: str, names: Sequence[str]) -> str:
    gives = f"the model gives {', '.join(names)}"
    if not isinstance(output, dict):
        raise InvalidRequestError(
            f'{place}: {shown(output)} is not an object, as in {{"name": ...}}; {gives}'
        )
    check_keys(output, OUTPUT_KEYS, place)
    name = output.get("name")
    if name not in names:
        raise InvalidRequestError(
            f"{place}.name: {shown(name)} is not an output of the model; {gives}"
        )
    return str(name)
