"""Conversion of JSON values to arrays, with a check of every value before the array is created.

numpy converts any list: for a string of 60,000 characters among 60,000 numbers it creates an array
of 14 GB. Here an array never takes more memory than its datatype needs.
"""

from __future__ import annotations

from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.conversion import EXACT, missing_hint, packed, shown
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec

#: Maximum dimensions of a numpy array.
_DIMENSIONS = 64

#: Maximum elements of a request: elements of one byte in a body of 6 MB.
_MOST_ELEMENTS = 6 * 2**20

_FLOATS = {int, float, bool, type(None)}  # null is NaN
_INTEGERS = {int, float, bool}  # JavaScript and pandas have integers as 2.0
_TRUTHS = {int, bool}


def array_of(data: list[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Convert a list from JSON to an array for `check_array`.

    Args:
        data: a flat or nested list.
        spec: the input that the values are for.
        place: field or input name that error messages begin with.

    Raises:
        InvalidRequestError: the rows have different lengths, or a value is not of the datatype.
    """
    values, shape = _flattened(data, place)
    quick = packed(values, spec.datatype, shape)
    return array_of_values(values, shape, spec, place) if quick is None else quick


def array_of_values(
    values: list[Any], shape: list[int], spec: TensorSpec, place: str
) -> NDArray[Any]:
    """Convert a flat list to an array of a shape, with the checks that `packed` omits.

    Args:
        values: flat list.
        shape: shape with as many elements.
        spec: the input that the values are for.
        place: field or input name that error messages begin with.

    Raises:
        InvalidRequestError: a value is not of the datatype.
    """
    dtype = DTYPES[spec.datatype]
    try:
        array = _ARRAYS.get(dtype.kind, _integers)(values, dtype)
    except OverflowError as error:
        if dtype.kind == "f":
            raise InvalidRequestError(f"{place}: {error}") from error
        array = None
    if array is None:
        raise InvalidRequestError(f"{place}: {_first_misfit(values, shape, spec)}")
    return array.reshape(shape)


def check_empty(shape: Sequence[int], place: str) -> None:
    """Refuse a shape without elements whose other sizes are very large.

    The model's outputs may have these sizes without the zero, and take gigabytes.

    Args:
        shape: shape without elements.
        place: field of the tensor that error messages begin with.

    Raises:
        InvalidRequestError: the product of the other sizes is above the limit.
    """
    if prod(size for size in shape if size) > _MOST_ELEMENTS:
        raise InvalidRequestError(
            f"{place}.shape: {shown(shape)} has no elements, and the product of its other sizes "
            f"is above {_MOST_ELEMENTS:,}"
        )


def _flattened(data: list[Any], place: str) -> tuple[list[Any], list[int]]:
    """Flatten nested lists and return their shape; a list next to other values is a value."""
    values, shape = data, [len(data)]
    while values and type(values[0]) is list and len(shape) < _DIMENSIONS:
        if set(map(type, values)) != {list}:
            break
        if len(set(map(len, values))) > 1:
            raise InvalidRequestError(f"{place}: the rows have different lengths")
        shape.append(len(values[0]))
        values = list(chain.from_iterable(values))
    return values, shape


def _strings(values: list[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    if set(map(type, values)) - {str, bytes}:  # bytes, which Parquet has, are refused later
        return None
    array = np.empty(len(values), dtype)
    array[:] = values
    return array


def _floats(values: list[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    del dtype  # `convert` rounds, and checks the range
    return None if set(map(type, values)) - _FLOATS else np.array(values, np.float64)


def _integers(values: list[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    kinds = set(map(type, values))
    if kinds - _INTEGERS or (float in kinds and not all(map(_is_integer, values))):
        return None
    return np.fromiter(map(int, values) if float in kinds else values, dtype, len(values))


def _truths(values: list[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    if set(map(type, values)) - _TRUTHS:
        return None
    array = np.fromiter(values, np.uint8, len(values))
    return array.astype(dtype) if array.max(initial=0) <= 1 else None


#: Kind of numpy type -> function that converts a list; all other kinds are integers.
_ARRAYS: dict[str, Callable[[list[Any], np.dtype[Any]], NDArray[Any] | None]] = {
    "O": _strings,
    "f": _floats,
    "b": _truths,
}


def _is_integer(value: object) -> bool:
    return type(value) is not float or (abs(value) < EXACT and value.is_integer())


def _first_misfit(values: list[Any], shape: list[int], spec: TensorSpec) -> str:
    """Describe the first value that is not of the datatype, with its position."""
    dtype = DTYPES[spec.datatype]
    make = _ARRAYS.get(dtype.kind, _integers)

    def fits(value: object) -> bool:
        try:
            return make([value], dtype) is not None
        except OverflowError:
            return False

    place, value = next((place, value) for place, value in enumerate(values) if not fits(value))
    index = [int(i) for i in np.unravel_index(place, shape)]
    said = shown(value) if len(values) == 1 else f"{shown(value)} at {index}"
    if dtype.kind == "f":
        return f"{said} is not a number"
    is_missing = value is None or value != value  # noqa: PLR0124 - NaN alone differs from itself
    hint = missing_hint(spec) if is_missing else ""
    kind = "a string" if is_missing and spec.datatype == "BYTES" else spec.datatype
    return f"{said} is not {kind}{hint}"
