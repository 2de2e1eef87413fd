"""Convert arrays, DataFrames and dicts of arrays to the named tensors of a signature."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.categories import check_categories
from shearling.tensors.conversion import check_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec


def is_frame(value: object) -> bool:
    """Return whether a value is a DataFrame, without importing pandas."""
    return hasattr(value, "columns") and hasattr(value, "to_numpy")


def named_arrays(value: Any) -> dict[str, NDArray[Any]] | None:
    """Return the arrays of a dict or DataFrame by name, or None for any other value.

    A column of a DataFrame becomes an array of shape [rows, 1].
    """
    if isinstance(value, dict):
        return {str(name): as_array(array, f"input {name!r}") for name, array in value.items()}
    if is_frame(value):
        return {str(name): value[name].to_numpy().reshape(-1, 1) for name in column_names(value)}
    return None


def column_names(frame: Any) -> list[Any]:
    """Return a DataFrame's column names.

    Raises:
        InvalidRequestError: two columns have the same name.
    """
    names = list(frame.columns)
    seen = set[str]()
    for name in map(str, names):
        if name in seen:
            raise InvalidRequestError(f"duplicate column name {name!r}")
        seen.add(name)
    return names


def as_matrix(frame: Any, columns: Sequence[Any] = ()) -> NDArray[Any]:
    """Return a DataFrame as an array of shape [rows, columns]; booleans become 0 and 1.

    Args:
        frame: a DataFrame.
        columns: names of the columns to take, in order; all columns by default.
    """
    names = columns or column_names(frame)
    if not names:
        raise InvalidRequestError("the DataFrame has no columns")
    return np.column_stack([frame[name].to_numpy() for name in names])


def columns_of(example: Any, specs: Sequence[TensorSpec]) -> list[str]:
    """Return the column names of the DataFrame that is a model's only input.

    The list is empty for several inputs, for other values than a DataFrame, for the numbers from 0
    on that pandas gives columns without names, and if a name is neither a string nor a number.
    """
    if len(specs) != 1 or not is_frame(example):
        return []
    names = column_names(example)
    is_numbered = names == list(range(len(names)))
    are_names = all(isinstance(name, str | Real) for name in names)
    return [str(name) for name in names] if are_names and not is_numbered else []


def has_rows(rows: Mapping[str, NDArray[Any]], specs: Sequence[TensorSpec]) -> bool:
    """Return whether all inputs have the same, variable number of rows."""
    counts = {array.shape[:1] for array in rows.values()}
    return len(counts) == 1 and () not in counts and all(spec.shape[:1] == (-1,) for spec in specs)


def check_rows(example: Any) -> None:
    """Refuse an example without rows, since the push verifies the model on the example.

    Raises:
        InvalidRequestError: the example is not an array or has no rows; the message has the name
            and the shape of the input.
    """
    if example is None:
        raise InvalidRequestError("example is None: pass a few rows that the model can answer")
    arrays = named_arrays(example)
    arrays = {"": as_array(example, "example")} if arrays is None else arrays
    for name, array in arrays.items():
        # One of several inputs may be empty, as the cache of a decoder's first step is.
        if array.shape[:1] == (0,) or (array.size == 0 and len(arrays) == 1):
            where = f"input {name!r}" if name else "it"
            raise InvalidRequestError(
                f"example has no rows: {where} has shape {list(array.shape)}: pass at least one "
                "row, on which the push can verify the model"
            )
    if arrays and not any(array.size for array in arrays.values()):
        raise InvalidRequestError(
            "example has no rows: all of its inputs are empty: pass at least one row"
        )


def to_tensors(
    value: Any, specs: Sequence[TensorSpec], columns: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Convert a value to the tensors that the specs describe.

    Args:
        value: one array, or rows as lists, for a model with one input; a dict of arrays by input
            name; or a DataFrame, whose columns are the inputs or, for a model with one input of
            rank 2, the columns of that input. Pictures are paths, bytes of files, images of
            Pillow, or arrays of pixels; one of them alone is one row.
        specs: the inputs of a signature.
        columns: column names of the only input, if the model was pushed with a DataFrame. The
            columns of another DataFrame are put into this order and must have these names. Arrays
            are used unchanged.

    Raises:
        InvalidRequestError: the value does not match the specs; the message names the input.
    """
    names = [spec.name for spec in specs]
    if any(spec.content for spec in specs):
        from shearling.tensors.pictures import with_pictures

        value = with_pictures(value, specs)
    if is_frame(value) and len(specs) == 1 and names != [str(name) for name in value.columns]:
        value = _ordered_matrix(value, columns)
    arrays = named_arrays(value)
    if not specs and arrays != {}:
        raise InvalidRequestError(
            "the model's metadata list no inputs, so a value cannot be made a request: pass a "
            "whole request of the Open Inference Protocol to the model's `call`"
        )
    if arrays is None:
        if len(specs) > 1:
            raise InvalidRequestError(
                f"the model has {len(specs)} inputs: pass a dict of arrays, or a DataFrame, with "
                f"{', '.join(map(str, specs))}"
            )
        arrays = {names[0]: as_array(value, f"input {names[0]!r}")}
    if missing := [str(spec) for spec in specs if spec.name not in arrays]:
        raise InvalidRequestError(f"inputs: missing {', '.join(missing)}")
    if unknown := [name for name in arrays if name not in names]:
        raise InvalidRequestError(
            f"inputs: {unknown[0]!r} is not an input of the model; it takes "
            f"{', '.join(map(str, specs))}"
        )
    tensors = {spec.name: _to_tensor(arrays[spec.name], spec) for spec in specs}
    check_categories(tensors, specs, columns)
    return tensors


def as_array(value: Any, what: str) -> NDArray[Any]:
    """Convert a value to an array.

    Raises:
        InvalidRequestError: it cannot be converted; the message begins with `what`.
    """
    if hasattr(value, "toarray"):  # scipy's sparse matrices, which numpy treats as one object
        raise InvalidRequestError(
            f"{what}: sparse data is not supported ({type(value).__name__}): pass its .toarray()"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise InvalidRequestError(f"{what}: the rows have different lengths") from error
        raise InvalidRequestError(f"{what} is not an array: {error}") from error
    if array.dtype.kind == "U" and isinstance(value, list | tuple):
        texts = np.asarray(value, object)  # an array of characters has no NUL at a text's end
        if all(isinstance(text, str) for text in texts.ravel()):
            return texts
    return array


def check_strings(array: NDArray[Any], what: str) -> None:
    """Refuse an array of objects that are not all strings.

    Raises:
        InvalidRequestError: an element is not a string; the message has its row.
    """
    place = next((i for i, value in enumerate(array.ravel()) if not isinstance(value, str)), None)
    if place is None:
        return
    element = array.ravel()[place]
    row = int(np.unravel_index(place, array.shape)[0]) if array.ndim else 0
    if element is np.ma.masked or is_missing(element):
        raise InvalidRequestError(
            f"{what}: row {row} is {element!r}, but inputs of strings accept no missing values: "
            "fill them first, for example with frame.fillna('')"
        )
    raise InvalidRequestError(f"{what}: row {row} is {element!r:.80}, which is not a string")


def is_missing(value: object) -> bool:
    """Return whether a value is None, NaN, or a missing value of pandas."""
    if isinstance(value, float):
        return value != value  # noqa: PLR0124 - true for NaN only
    return value is None or type(value).__name__ in (
        "NAType",
        "NaTType",
    )  # by name, so as not to import pandas


def _ordered_matrix(frame: Any, columns: Sequence[str]) -> NDArray[Any]:
    """Return a DataFrame as one array, in the order of `columns` if there are any."""
    if not columns:
        return as_matrix(frame)
    given = {str(name): name for name in column_names(frame)}
    known_names = set(columns)
    known = f"the model was pushed with columns {', '.join(columns)}"
    if missing := [name for name in columns if name not in given]:
        raise InvalidRequestError(f"column {missing[0]!r} is missing: {known}")
    if unknown := [name for name in given if name not in known_names]:
        raise InvalidRequestError(f"column {unknown[0]!r} is unknown: {known}")
    return as_matrix(frame, [given[name] for name in columns])


def _to_tensor(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    if array.dtype.kind == "U":
        array = array.astype(object)
    elif array.dtype.kind == "b" and spec.datatype not in ("BOOL", "BYTES"):
        array = array.astype(np.uint8)  # numeric libraries read booleans as 0 and 1
    elif array.dtype.kind == "O" and spec.datatype == "BYTES" and not spec.content:
        check_strings(array, f"input {spec.name!r}")
    if array.ndim == len(spec.shape) - 1 and array.ndim == 1 and spec.shape[-1] == 1:
        array = array.reshape(-1, 1)  # one column
    return check_array(array, spec, f"input {spec.name!r}")
