"""Arrays, DataFrames and dicts of arrays, as the named tensors of a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.protocol import check_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shearling.bundle import TensorSpec


def is_frame(value: object) -> bool:
    """Say whether a value is a DataFrame, without importing pandas."""
    return hasattr(value, "columns") and hasattr(value, "to_numpy")


def named_arrays(value: Any) -> dict[str, NDArray[Any]] | None:
    """Return a dict's or DataFrame's arrays by name, or None for a single array.

    A column of a DataFrame becomes an array of shape [rows, 1].
    """
    if isinstance(value, dict):
        return {str(name): np.asarray(array) for name, array in value.items()}
    if is_frame(value):
        return {str(name): value[name].to_numpy().reshape(-1, 1) for name in value.columns}
    return None


def to_tensors(value: Any, specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """Return a value as the tensors that the specs describe.

    Args:
        value: one array, or rows as lists, for a model with one input; a dict of arrays by input
            name; or a DataFrame, whose columns are the inputs or, for a model with one input of
            rank 2, the columns of that input.
        specs: the inputs of a signature.

    Raises:
        InvalidRequestError: it does not fit; the message names the input.
    """
    names = [spec.name for spec in specs]
    if is_frame(value) and len(specs) == 1 and names != [str(name) for name in value.columns]:
        value = value.to_numpy()
    arrays = named_arrays(value)
    if arrays is None:
        if len(specs) > 1:
            raise InvalidRequestError(
                f"the model has {len(specs)} inputs: pass a dict of arrays, or a DataFrame, with "
                f"{', '.join(map(str, specs))}"
            )
        arrays = {names[0]: _as_array(value)}
    if missing := [str(spec) for spec in specs if spec.name not in arrays]:
        raise InvalidRequestError(f"inputs: missing {', '.join(missing)}")
    if unknown := [name for name in arrays if name not in names]:
        raise InvalidRequestError(
            f"inputs: {unknown[0]!r} is not an input of the model; it takes "
            f"{', '.join(map(str, specs))}"
        )
    return {spec.name: _fit(arrays[spec.name], spec) for spec in specs}


def _as_array(value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise InvalidRequestError(f"the input is not an array: {error}") from error


def _fit(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    if array.dtype.kind == "U":
        array = array.astype(object)
    elif array.dtype.kind == "b" and spec.datatype not in ("BOOL", "BYTES"):
        array = array.astype(np.uint8)  # as every numeric library reads it
    if array.ndim == len(spec.shape) - 1 and array.ndim == 1 and spec.shape[-1] == 1:
        array = array.reshape(-1, 1)  # a column
    return check_array(array, spec, f"input {spec.name!r}")
