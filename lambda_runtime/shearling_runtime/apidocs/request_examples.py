"""Examples of a request's body for the OpenAPI description, from the bundle's example."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.protocol.csv_rows import write_csv
from shearling.protocol.requests import request_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.bundle.example import Example
    from shearling.tensors.spec import Signature, TensorSpec

#: Bytes of a picture in an example at most.
_PICTURE_BYTES = 20_000

#: Number of rows of an example, so that it stays readable.
_ROWS = 2


def request_examples(
    signature: Signature, example: Example, columns: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the examples of a request's body by content type, as OpenAPI defines them.

    Args:
        signature: inputs and outputs of the model.
        example: example of the bundle.
        columns: column names of the only input; empty if there are none.
    """
    if any(array.dtype == np.float16 for array in example.inputs.values()):
        return {}
    inputs = {
        spec.name: _first_rows(example.inputs[spec.name], spec)
        for spec in signature.inputs
        if spec.name in example.inputs
    }
    if any(spec.content for spec in signature.inputs):
        return _of_pictures(inputs)
    examples: dict[str, Any] = {"tensors": {"value": request_document(inputs)}}
    content: dict[str, dict[str, Any]] = {"application/json": {"examples": examples}}
    if all(spec.shape[:1] == (-1,) for spec in signature.inputs):
        if columns and inputs:
            (matrix,) = inputs.values()
            inputs = {name: matrix[:, [i]] for i, name in enumerate(columns)}
        lists = {name: _to_lists(array) for name, array in inputs.items()}
        rows = zip(*lists.values(), strict=True)
        instances = [dict(zip(lists, row, strict=True)) for row in rows]
        if instances:
            examples["instances"] = {"value": {"instances": instances}}
        if all(array.shape[1:] in ((), (1,)) for array in inputs.values()):
            table = io.StringIO(newline="")
            write_csv(table, inputs)
            content["text/csv"] = {"example": table.getvalue()}
    return content


def _of_pictures(inputs: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, Any]]:
    """Return the example of a request with one picture; none if its file is large."""
    ((name, pictures),) = inputs.items()
    smallest = np.array([min(pictures, key=len)], object)
    if len(smallest[0]) > _PICTURE_BYTES:
        return {}
    document = request_document({name: smallest})
    return {"application/json": {"examples": {"tensors": {"value": document}}}}


def _first_rows(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    return array[:_ROWS] if spec.shape[:1] == (-1,) else array


def _to_lists(array: NDArray[Any]) -> list[Any]:
    if array.dtype.kind == "f":
        missing = ~np.isfinite(array)
        array = array.astype(object)
        array[missing] = None  # JSON has no NaN
    if array.shape[1:] == (1,):
        array = array.ravel()
    values: list[Any] = np.asarray(array).tolist()
    return values
