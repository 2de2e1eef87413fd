"""Tensors in memory: their datatypes, how values become them without loss, and their bytes.

A tensor is a numpy array of its datatype; BYTES is an array of `str` objects, as ONNX Runtime has
it.
"""

from __future__ import annotations

import reprlib
import struct
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec

#: Numbers in `struct`'s words.
_CODES = {
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP32": "f",
    "FP64": "d",
}

#: From it on a float of 64 bits may be an integer rounded.
_EXACT = 2**53

#: What a caller sent is shown short, however long or deep it is.
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60
_REPR.maxlevel = 3


def shown(value: object) -> str:
    """Return a caller's value for a message: short, however large or deep it is."""
    return f"{_REPR.repr(value):.80}"


def check_array(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Return the array in the datatype of its spec, if that loses nothing but float precision.

    Raises:
        InvalidRequestError: datatype, shape or a value does not fit.
    """
    check_shape(list(array.shape), spec, place)
    return convert(array, spec, place).reshape(array.shape)


def array_of(data: list[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Return JSON's values as an array that `check_array` takes.

    Raises:
        InvalidRequestError: its rows have different lengths.
    """
    try:
        array = np.array(data, object) if spec.datatype == "BYTES" else np.asarray(data)
    except ValueError as error:
        raise InvalidRequestError(f"{place}: rows of different lengths") from error
    reads_otherwise = (
        # A small and a very large integer are floats to numpy,
        (spec.datatype.startswith("UINT") and array.dtype.kind == "f")
        # and beside one string all numbers are strings.
        or array.dtype.kind == "U"
    )
    return np.array(data, object) if reads_otherwise else array


def packed(data: list[Any], datatype: str, shape: list[int]) -> NDArray[Any] | None:
    """Return a flat list of JSON's numbers as an array; None if it is not one that fits.

    `struct` is the quickest way from a list to an array, and refuses whatever would be rounded to
    an integer, wrapped or overflow; what it refuses, `array_of` and `convert` look at closely. An
    integer beyond 2^53 it reads as a float of 64 bits first, and so may round it twice.
    """
    code, count = _CODES.get(datatype), len(data)
    if code is None or not count or count != prod(shape):
        return None
    array = np.empty(shape, DTYPES[datatype])
    try:
        struct.pack_into(f"<{count}{code}", array.data, 0, *data)
    except (struct.error, OverflowError):
        return None
    return array


def differing_row_counts(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return how many rows each tensor has, in words; empty if all have the same number."""
    counts = {name: len(array) for name, array in tensors.items()}
    if len(set(counts.values())) <= 1:
        return ""
    return ", ".join(f"{count} of {name!r}" for name, count in counts.items())


def is_unicode(text: str) -> bool:
    """Say whether a string has an encoding."""
    # JSON can spell half of a surrogate pair, which no encoding has.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_shape(shape: object, spec: TensorSpec, place: str) -> list[int]:
    """Return a shape that fits a spec.

    Raises:
        InvalidRequestError: it is none, or does not fit.
    """
    wanted = spec.shape
    if type(shape) is list and len(shape) == len(wanted):
        # A generator, and `strict`, take half of a microsecond of every request.
        for size, one in zip(shape, wanted):  # noqa: B905
            if type(size) is not int or size < 0 or one not in (-1, size):
                break
        else:
            return shape
    raise InvalidRequestError(f"{place}.shape: {_why_not(shape, spec)}")


def _why_not(shape: object, spec: TensorSpec) -> str:
    if type(shape) is not list or any(type(size) is not int or size < 0 for size in shape):
        return f"{shown(shape)} is not a list of sizes"
    wanted = list(spec.shape)
    pairs = zip(shape, wanted[1:], strict=False)
    is_row = len(shape) == len(wanted) - 1 and all(one in (-1, size) for size, one in pairs)
    remedy = (
        f"a single row has shape {[1, *shape]}" if is_row and wanted[0] == -1 else "-1 is any size"
    )
    return f"{shape} does not fit {wanted} of input {spec.name!r} ({remedy})"


def convert(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Return values in the datatype of a spec, or raise InvalidRequestError with one that fails."""
    dtype = DTYPES[spec.datatype]
    if array.dtype == dtype and dtype.kind != "O":
        return check_missing(array, spec, place)
    if array.size == 0:
        return array.astype(dtype)
    match dtype.kind:
        case "O" if all(map(_is_string, array.ravel())):
            return array.astype(object)
        case "b" if _are_truths(array):
            return array.astype(dtype)
        case "f":
            return check_missing(_to_float(array, dtype, place), spec, place)
        case "i" | "u" if _are_integers(array) and _in_range(array, dtype):
            return array.astype(dtype)
    raise InvalidRequestError(f"{place}: {_first_misfit(array, spec)}")


def check_missing(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Return an input's values, or raise InvalidRequestError if one lacks that must not."""
    if spec.nullable or array.dtype.kind != "f" or not (lacking := np.isnan(array)).any():
        return array
    where = f" at {np.argwhere(lacking)[0].tolist()}" if array.size > 1 else ""
    raise InvalidRequestError(
        f"{place}: the value{where} is missing, and the model takes no missing values in input "
        f"{spec.name!r}: fill it first, or push the model with an imputer in its pipeline"
    )


def _to_float(array: NDArray[Any], dtype: np.dtype[Any], place: str) -> NDArray[Any]:
    # JSON knows no NaN: null stands for it, in requests as in answers.
    if array.dtype.kind == "O" and all(map(_is_number, array.ravel())):
        try:
            array = array.astype(np.float64)
        except OverflowError as error:
            raise InvalidRequestError(f"{place}: {error}") from error
    if array.dtype.kind not in "fiub":
        raise InvalidRequestError(f"{place}: {_first(array, _is_number)} is not a number")
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError as error:
        largest = array.ravel()[np.nanargmax(np.where(np.isinf(array), 0, np.abs(array)))]
        raise InvalidRequestError(f"{place}: {largest} is out of range for {dtype}") from error


def _is_number(element: object) -> bool:
    return element is None or type(element) in (int, float, bool)


def _first_misfit(array: NDArray[Any], spec: TensorSpec) -> str:
    """Say which element is the first that has no form in a datatype, and why."""
    dtype = DTYPES[spec.datatype]

    def fits(element: object) -> bool:
        if dtype.kind == "O":
            return _is_string(element)
        if dtype.kind == "b":
            return _is_truth(element)
        return _is_integer(element) and _in_range(np.array([element]), dtype)

    said = f"{_first(array, fits)} is not {spec.datatype}"
    # NaN alone differs from itself.
    if any(element is None or element != element for element in array.ravel()):  # noqa: PLR0124
        return (
            f"{said}; only floats may be missing: fill it first, or push the model with an example "
            f"in which {spec.name!r} is of floats"
        )
    return said


def _first(array: NDArray[Any], fits: Callable[[object], bool]) -> str:
    """Show the first element that does not fit, and where it is if there are others.

    If each would fit, it is the kind of the array that does not: as a moment is an integer.
    """
    values = [(index, _python(element)) for index, element in np.ndenumerate(array)]
    index, element = next((each for each in values if not fits(each[1])), values[0])
    return shown(element) if array.size == 1 else f"{shown(element)} at {list(index)}"


def _python(element: Any) -> object:
    return element.item() if isinstance(element, np.generic) else element


def _are_truths(array: NDArray[Any]) -> bool:
    kind = array.dtype.kind
    if kind in "iu":
        return bool(np.isin(array, (0, 1)).all())
    return kind == "b" or (kind == "O" and all(map(_is_truth, array.ravel())))


def _is_truth(element: object) -> bool:
    return type(element) in (bool, int) and element in (0, 1)


def _is_string(element: object) -> bool:
    return isinstance(element, str) and is_unicode(element)


def _are_integers(array: NDArray[Any]) -> bool:
    """Say whether all elements are integers, be it as floats: pandas and JavaScript have 2.0."""
    kind = array.dtype.kind
    if kind == "f":
        doubles = array.astype(np.float64)
        return bool((np.abs(doubles) < _EXACT).all() and (doubles == np.trunc(doubles)).all())
    return kind in "iub" or (kind == "O" and all(map(_is_integer, array.ravel())))


def _is_integer(element: object) -> bool:
    if type(element) is float:
        return abs(element) < _EXACT and element.is_integer()
    return type(element) in (int, bool)


def _in_range(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(int(array.min()) >= limits.min and int(array.max()) <= limits.max)
