"""Convert values to tensors of a datatype and refuse values that would lose information.

A tensor is a numpy array of the type that `DTYPES` maps its datatype to. A BYTES tensor is an
array of `str` objects, as in ONNX Runtime; of pictures it is one of `bytes` objects.
"""

from __future__ import annotations

import reprlib
import struct
from base64 import b64decode
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec

#: Datatype -> format character of `struct`.
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

#: A 64-bit float of at least this magnitude may be a rounded integer.
EXACT = 2**53

#: The sizes of an array are smaller.
_SIZE_LIMIT = 2**63


def missing_hint(spec: TensorSpec) -> str:
    """Return the end of the message about a missing value that an input does not accept."""
    if spec.datatype == "BYTES":
        return "; fill the value first, with a string that the model knows"
    return (
        "; only inputs of floats accept missing values: fill the value first, or push the model "
        f"with an example in which {spec.name!r:.80} contains floats"
    )


#: Limits the length and depth at which messages show a caller's values.
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60
_REPR.maxlevel = 3


def shown(value: object) -> str:
    """Format a caller's value for a message, cut to 80 characters."""
    if value is None:
        return "null"
    try:
        return f"{_REPR.repr(value):.80}"
    except ValueError:  # Python formats no integer of more than 4,300 digits
        return f"a value of type {type(value).__name__}"


def check_array(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Convert an array to the datatype of its spec; only float precision may be lost.

    Args:
        array: the values.
        spec: the input that they are for.
        place: field or input name that error messages begin with.

    Raises:
        InvalidRequestError: the datatype, the shape or a value does not match the spec.
    """
    check_shape(list(array.shape), spec, place)
    return convert(array, spec, place).reshape(array.shape)


def packed(data: list[Any], datatype: str, shape: list[int]) -> NDArray[Any] | None:
    """Convert a flat list of numbers to an array; return None where that needs closer checks.

    `struct` is the fastest way from a list to an array. It refuses values that it would have to
    round to an integer, values out of range, and values of other types; the caller then uses
    `array_of` and `convert`. For a float datatype, `struct` first converts an integer above 2^53
    to a 64-bit float, which may round it twice.

    Args:
        data: the list.
        datatype: datatype of the Open Inference Protocol.
        shape: sizes of the array's dimensions.
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
    """Return text with the row count of each tensor; empty if all counts are equal."""
    counts = {name: len(array) for name, array in tensors.items()}
    if len(set(counts.values())) <= 1:
        return ""
    return ", ".join(f"{count} of {name!r}" for name, count in counts.items())


def is_unicode(text: str) -> bool:
    """Return whether a string can be encoded as UTF-8."""
    # JSON can contain half of a surrogate pair, which UTF-8 cannot encode.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_shape(shape: object, spec: TensorSpec, place: str) -> list[int]:
    """Return the shape if it matches the spec.

    Args:
        shape: the value of the request's `shape` field.
        spec: the input that it is for.
        place: field or input name that error messages begin with.

    Raises:
        InvalidRequestError: it is not a list of sizes, or does not match the spec.
    """
    wanted = spec.shape
    if type(shape) is list and len(shape) == len(wanted):
        # A generator expression and `strict` would add half a microsecond to every request.
        for size, expected in zip(shape, wanted):  # noqa: B905
            if type(size) is not int or not 0 <= size < _SIZE_LIMIT or expected not in (-1, size):
                break
        else:
            return shape
    raise InvalidRequestError(f"{place}.shape: {_shape_problem(shape, spec)}")


def _shape_problem(shape: object, spec: TensorSpec) -> str:
    if type(shape) is not list or not all(map(_is_size, shape)):
        return f"{shown(shape)} is not a list of sizes"
    wanted = list(spec.shape)
    pairs = zip(shape, wanted[1:], strict=False)
    is_row = len(shape) == len(wanted) - 1 and all(
        expected in (-1, size) for size, expected in pairs
    )
    remedy = (
        f"a single row has shape {shown([1, *shape])}"
        if is_row and wanted[0] == -1
        else "-1 is any size"
    )
    return f"{shown(shape)} does not fit {wanted} of input {spec.name!r} ({remedy})"


def _is_size(size: object) -> bool:
    return type(size) is int and 0 <= size < _SIZE_LIMIT


def convert(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Convert values to the datatype of a spec.

    Args:
        array: the values.
        spec: the input that they are for.
        place: field or input name that error messages begin with.

    Raises:
        InvalidRequestError: a value does not fit; the message has the first invalid value.
    """
    dtype = DTYPES[spec.datatype]
    if array.dtype == dtype and dtype.kind != "O":
        return check_limits(array, spec, place)
    if array.size == 0:
        return array.astype(dtype)
    match dtype.kind:
        case "O" if spec.content or _are_strings(array):
            return _decoded(array, place) if spec.content else array.astype(object)
        case "b" if _are_booleans(array):
            return array.astype(dtype)
        case "f":
            return check_limits(to_float(array, dtype, place), spec, place)
        case "i" | "u" if _are_integers(array) and _in_range(array, dtype):
            return array.astype(dtype)
    raise InvalidRequestError(f"{place}: {_value_problem(array, spec)}")


def _decoded(array: NDArray[Any], place: str) -> NDArray[Any]:
    """Return pictures as bytes; JSON and CSV carry them as base64.

    Raises:
        InvalidRequestError: an element is neither bytes nor base64.
    """
    pictures = np.empty(array.shape, object)
    for index, element in np.ndenumerate(array):
        where = f" at {[*index]}" if array.size > 1 else ""
        try:
            # A browser's data URL has the base64 after a comma.
            pictures[index] = (
                element
                if isinstance(element, bytes)
                else b64decode(element.rpartition(",")[2], validate=True)
            )
        except (AttributeError, ValueError) as error:
            raise InvalidRequestError(
                f"{place}: {shown(element)}{where} is not a picture in base64: {error!s:.100}"
            ) from error
    return pictures


def check_limits(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Return the values if the input accepts those of them that are missing or infinite.

    Raises:
        InvalidRequestError: a value is refused; the message has its position.
    """
    if (spec.nullable and not spec.finite) or array.dtype.kind != "f":
        return array
    if np.isfinite(array).all():
        return array
    missing, infinite = np.isnan(array), np.isinf(array)
    if not spec.nullable and missing.any():
        raise InvalidRequestError(
            f"{place}: the value{_position(missing)} is missing, but the model accepts no missing "
            f"values in input {spec.name!r}: fill it first, or push the model with an imputer in "
            "its pipeline"
        )
    if spec.finite and infinite.any():
        raise InvalidRequestError(
            f"{place}: the value{_position(infinite)} is {array.ravel()[infinite.argmax()]}, but "
            f"the model accepts no infinite values in input {spec.name!r}: replace it by a number"
        )
    return array


def _position(refused: NDArray[np.bool_]) -> str:
    """Return text with the index of the first refused value; empty if it is the only value."""
    index = [int(i) for i in np.unravel_index(refused.argmax(), refused.shape)]
    return f" at {index}" if refused.size > 1 else ""


def to_float(array: NDArray[Any], dtype: np.dtype[Any], place: str) -> NDArray[Any]:
    """Convert numbers to floats.

    Args:
        array: numbers; None is NaN.
        dtype: type of the floats.
        place: field or input name that error messages begin with.

    Raises:
        InvalidRequestError: a value is not a number, or is out of range.
    """
    # JSON has no NaN: requests and responses use null instead.
    if array.dtype.kind == "O" and all(map(_is_number, array.ravel())):
        try:
            array = array.astype(np.float64)
        except OverflowError as error:
            raise InvalidRequestError(f"{place}: {error}") from error
    if array.dtype.kind not in "fiub":
        raise InvalidRequestError(f"{place}: {_first_invalid(array, _is_number)} is not a number")
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError as error:
        largest = array.ravel()[np.nanargmax(np.where(np.isinf(array), 0, np.abs(array)))]
        raise InvalidRequestError(f"{place}: {largest} is out of range for {dtype}") from error


def _is_number(element: object) -> bool:
    return element is None or type(element) in (int, float, bool)


def _value_problem(array: NDArray[Any], spec: TensorSpec) -> str:
    """Return text with the first element that the datatype cannot represent, and the reason."""
    dtype = DTYPES[spec.datatype]

    def fits(element: object) -> bool:
        if dtype.kind == "O":
            return _is_string(element)
        if dtype.kind == "b":
            return _is_boolean(element)
        return _is_integer(element) and _in_range(np.array([element]), dtype)

    problem = f"{_first_invalid(array, fits)} is not {spec.datatype}"
    # Only NaN differs from itself.
    if any(element is None or element != element for element in array.ravel()):  # noqa: PLR0124
        return problem + missing_hint(spec)
    return problem


def _first_invalid(array: NDArray[Any], fits: Callable[[object], bool]) -> str:
    """Return text with the first invalid element, and its index if there are several elements.

    If every element is valid, the array's type is invalid: a datetime64 array, for example, has
    integer elements. Then the text has the first element.
    """
    values = ((index, _python(element)) for index, element in np.ndenumerate(array))
    otherwise = ((0,) * array.ndim, _python(array.ravel()[0]))
    index, element = next((item for item in values if not fits(item[1])), otherwise)
    return shown(element) if array.size == 1 else f"{shown(element)} at {list(index)}"


def _python(element: Any) -> object:
    return element.item() if isinstance(element, np.generic) else element


def _are_booleans(array: NDArray[Any]) -> bool:
    kind = array.dtype.kind
    if kind in "iuf":
        return bool(np.isin(array, (0, 1)).all())
    return kind == "b" or (kind == "O" and all(map(_is_boolean, array.ravel())))


def _is_boolean(element: object) -> bool:
    return type(element) in (bool, int, float) and element in (0, 1)


def _are_strings(array: NDArray[Any]) -> bool:
    if array.dtype.kind not in "OU":
        return False
    values = array.ravel().tolist()
    # Joining the strings and encoding them once is ten times as fast as one by one.
    return all(issubclass(kind, str) for kind in set(map(type, values))) and is_unicode(
        "".join(values)
    )


def _is_string(element: object) -> bool:
    return isinstance(element, str) and is_unicode(element)


def _are_integers(array: NDArray[Any]) -> bool:
    """Return whether all elements are integers; floats such as 2.0 count as integers.

    pandas and JavaScript store some integers as floats.
    """
    kind = array.dtype.kind
    if kind == "f":
        doubles = array.astype(np.float64)
        return bool((np.abs(doubles) < EXACT).all() and (doubles == np.trunc(doubles)).all())
    return kind in "iub" or (kind == "O" and all(map(_is_integer, array.ravel())))


def _is_integer(element: object) -> bool:
    if type(element) is float:
        return abs(element) < EXACT and element.is_integer()
    return type(element) in (int, bool)


def _in_range(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(int(array.min()) >= limits.min and int(array.max()) <= limits.max)
