"""The forms in which endpoints take tensors and return them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from shearling.errors import InvalidRequestError
from shearling.protocol.constants import BINARY_TYPE, json_length
from shearling.protocol.requests import tensor_document
from shearling.protocol.responses import read_answer
from shearling.tensors.dtypes import DTYPES, datatype_of
from shearling.tensors.encoding import has_infinity, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature

    Tensors = Mapping[str, NDArray[Any]]

#: Forms of a body. `json` and `binary` are the Open Inference Protocol's; `csv` has numbers only.
BODIES = ("json", "binary", "csv")

#: What an answer of another form raises; `InvalidRequestError` is about tensors of a wrong size.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError)

_JSON, _CSV = "application/json", "text/csv"


class AnswerError(ValueError):
    """An endpoint's answer that cannot be read, or does not fit the contract."""


def write_request(body: str, inputs: Tensors, outputs: Sequence[str]) -> tuple[bytes, str, str]:
    """Return a request's body, its content type, and the type to accept.

    Args:
        body: one of `BODIES`.
        inputs: arrays by input name.
        outputs: names of the outputs to request.

    Raises:
        InvalidRequestError: JSON cannot carry the values of an input.
    """
    if body == "csv":
        (array,) = inputs.values()
        rows = array if array.ndim > 1 else array[:, np.newaxis]
        lines = (",".join(map(repr, row)) for row in rows.tolist())
        return "\n".join(lines).encode(), _CSV, _CSV
    if body == "json":
        for name, array in inputs.items():
            if has_infinity(array):
                raise InvalidRequestError(
                    f"input {name!r}: the model's endpoint takes JSON, which cannot carry infinite "
                    "values: send finite or missing values"
                )
        tensors = [tensor_document(name, array) for name, array in inputs.items()]
        wanted = [{"name": name} for name in outputs]
        return orjson.dumps({"inputs": tensors, "outputs": wanted}), _JSON, _JSON
    chunks = {name: to_bytes(array) for name, array in inputs.items()}
    document = {
        "inputs": [
            {
                "name": name,
                "datatype": datatype_of(array),
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(chunks[name])},
            }
            for name, array in inputs.items()
        ],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in outputs],
    }
    text = orjson.dumps(document)
    return b"".join([text, *chunks.values()]), f"{BINARY_TYPE}{len(text)}", "*/*"


def read_response(
    data: bytes, content_type: str, signature: Signature, outputs: Sequence[str], rows: int | None
) -> dict[str, NDArray[Any]]:
    """Return the requested outputs of a response, which fit the signature.

    Args:
        data: body of the response.
        content_type: its type.
        signature: signature of the model.
        outputs: names of the requested outputs.
        rows: rows of the request, for CSV; None if it has none.

    Raises:
        AnswerError: the response cannot be read, or an output is missing or does not fit.
    """
    try:
        if content_type.partition(";")[0].strip().lower() == _CSV:
            arrays = _read_csv(data, signature, rows)
        else:
            length = json_length(content_type)
            end = len(data) if length is None else length
            arrays = read_answer(orjson.loads(data[:end]), memoryview(data)[end:])
    except (*_UNREADABLE, InvalidRequestError) as error:
        kind = content_type or "none"
        raise AnswerError(f"its answer (type {kind:.80}) cannot be read: {error!s:.200}") from error
    return {name: _fitting(name, arrays, signature) for name in outputs}


def _read_csv(data: bytes, signature: Signature, rows: int | None) -> dict[str, NDArray[Any]]:
    """Return numbers as the only output, whether in one line or in a line for each row."""
    (spec,) = signature.outputs
    cells = data.decode().replace("\n", ",").strip(", \r").split(",")
    dtype = DTYPES[spec.datatype]
    read = _whole_number if np.issubdtype(dtype, np.integer) else float
    numbers = np.array([read(cell) for cell in cells], dtype)
    shape = list(spec.shape)
    if rows is not None and shape[:1] == [-1]:
        shape[0] = rows
    return {spec.name: numbers.reshape(shape)}


def _whole_number(cell: str) -> int:
    """Return an integer, which some algorithms write as a float, as in `1.0`."""
    with suppress(ValueError):
        return int(cell)  # all digits, which a float would not keep
    number = float(cell)
    if not number.is_integer():
        raise ValueError(f"{cell!r:.80} is not a whole number")
    return int(number)


def _fitting(name: str, arrays: Tensors, signature: Signature) -> NDArray[Any]:
    spec = next(output for output in signature.outputs if output.name == name)
    array = arrays.get(name)
    if array is None:
        raise AnswerError(f"its answer has no output {name!r:.80}")
    is_of_shape = array.ndim == len(spec.shape) and all(
        size in (-1, given) for size, given in zip(spec.shape, array.shape, strict=True)
    )
    if datatype_of(array) != spec.datatype or not is_of_shape:
        given = f"{datatype_of(array)}{list(array.shape)}"
        raise AnswerError(f"its answer has {given:.80} for output {spec!s:.200}")
    return array
