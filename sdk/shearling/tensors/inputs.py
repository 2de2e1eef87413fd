"""Arrays, DataFrames and dicts of arrays, as the named tensors of a signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.conversion import check_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec


def is_frame(value: object) -> bool:
    """Say whether a value is a DataFrame, without importing pandas."""
    return hasattr(value, "columns") and hasattr(value, "to_numpy")


def named_arrays(value: Any) -> dict[str, NDArray[Any]] | None:
    """Return a dict's or DataFrame's arrays by name, or None for a single array.

    A column of a DataFrame becomes an array of shape [rows, 1].
    """
    if isinstance(value, dict):
        return {str(name): as_array(array, f"input {name!r}") for name, array in value.items()}
    if is_frame(value):
        return {str(name): value[name].to_numpy().reshape(-1, 1) for name in column_names(value)}
    return None


def column_names(frame: Any) -> list[Any]:
    """Return a DataFrame's columns.

    Raises:
        InvalidRequestError: a name stands there twice.
    """
    names = list(frame.columns)
    seen = set[str]()
    for name in map(str, names):
        if name in seen:
            raise InvalidRequestError(f"column {name!r} stands there twice")
        seen.add(name)
    return names


def as_matrix(frame: Any, columns: Sequence[Any] = ()) -> NDArray[Any]:
    """Return a DataFrame's columns side by side; truth beside numbers is 0 and 1."""
    names = columns or column_names(frame)
    if not names:
        raise InvalidRequestError("the DataFrame has no columns")
    return np.column_stack([frame[name].to_numpy() for name in names])


def columns_of(example: Any, specs: Sequence[TensorSpec]) -> list[str]:
    """Return the names of the columns that one input is made of; empty if no names were given.

    Numbers are none: pandas writes them where nobody gave names.
    """
    if len(specs) != 1 or not is_frame(example):
        return []
    names = column_names(example)
    return [str(name) for name in names] if all(isinstance(name, str) for name in names) else []


def check_rows(example: Any) -> None:
    """Refuse an example that is no array, or one without rows: it would prove nothing.

    Raises:
        InvalidRequestError: the message names the input and its shape.
    """
    if example is None:
        raise InvalidRequestError("example: None is no rows: pass a few that the model can answer")
    arrays = named_arrays(example)
    arrays = {"": as_array(example, "example")} if arrays is None else arrays
    for name, array in arrays.items():
        # Of several inputs one may hold nothing, as the cache of a first step does.
        if array.shape[:1] == (0,) or (array.size == 0 and len(arrays) == 1):
            where = f"input {name!r}" if name else "it"
            raise InvalidRequestError(
                f"example has no rows: {where} has shape {list(array.shape)}, and nothing would "
                "prove the model: pass at least one row"
            )
    if arrays and not any(array.size for array in arrays.values()):
        raise InvalidRequestError("example has no rows: all of its inputs are empty")


def to_tensors(
    value: Any, specs: Sequence[TensorSpec], columns: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Return a value as the tensors that the specs describe.

    Args:
        value: one array, or rows as lists, for a model with one input; a dict of arrays by input
            name; or a DataFrame, whose columns are the inputs or, for a model with one input of
            rank 2, the columns of that input.
        specs: the inputs of a signature.
        columns: of the only input, if the model was pushed with a DataFrame: another DataFrame is
            put into their order, and refused if it has others. Arrays are taken as they are.

    Raises:
        InvalidRequestError: it does not fit; the message names the input.
    """
    names = [spec.name for spec in specs]
    if is_frame(value) and len(specs) == 1 and names != [str(name) for name in value.columns]:
        value = _in_order(value, columns)
    arrays = named_arrays(value)
    if arrays is None:
        if len(specs) > 1:
            raise InvalidRequestError(
                f"the model has {len(specs)} inputs: pass a dict of arrays, or a DataFrame, with "
                f"{', '.join(map(str, specs))}"
            )
        arrays = {names[0]: as_array(value, f"input {names[0]!r}" if names else "the input")}
    if missing := [str(spec) for spec in specs if spec.name not in arrays]:
        raise InvalidRequestError(f"inputs: missing {', '.join(missing)}")
    if unknown := [name for name in arrays if name not in names]:
        raise InvalidRequestError(
            f"inputs: {unknown[0]!r} is not an input of the model; it takes "
            f"{', '.join(map(str, specs))}"
        )
    return {spec.name: _fit(arrays[spec.name], spec) for spec in specs}


def as_array(value: Any, what: str) -> NDArray[Any]:
    """Return a value as an array.

    Raises:
        InvalidRequestError: it is none; the message begins with `what`.
    """
    if hasattr(value, "toarray"):  # of scipy's, which numpy takes for a single object
        raise InvalidRequestError(
            f"{what}: a {type(value).__name__} is sparse, and a tensor is not: pass its .toarray()"
        )
    try:
        return np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise InvalidRequestError(f"{what}: rows of different lengths") from error
        raise InvalidRequestError(f"{what} is not an array: {error}") from error


def check_strings(array: NDArray[Any], what: str) -> None:
    """Refuse an array of objects that are not all strings.

    Raises:
        InvalidRequestError: the message has the first that is none, and its row.
    """
    place = next((i for i, one in enumerate(array.ravel()) if not isinstance(one, str)), None)
    if place is None:
        return
    found = array.ravel()[place]
    row = int(np.unravel_index(place, array.shape)[0]) if array.ndim else 0
    if found is None or found is np.ma.masked or _is_missing(found):
        raise InvalidRequestError(
            f"{what}: row {row} is {found!r}: a string has no missing values: fill them first, as "
            "by frame.fillna('')"
        )
    raise InvalidRequestError(f"{what}: row {row} is {found!r:.80}, which is not a string")


def _is_missing(value: object) -> bool:
    if isinstance(value, float):
        return value != value  # noqa: PLR0124 - as only NaN is
    return type(value).__name__ in ("NAType", "NaTType")  # of pandas, which is not imported here


def _in_order(frame: Any, columns: Sequence[str]) -> NDArray[Any]:
    """Return a DataFrame as one array, its columns by name where names are known."""
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


def _fit(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    if array.dtype.kind == "U":
        array = array.astype(object)
    elif array.dtype.kind == "b" and spec.datatype not in ("BOOL", "BYTES"):
        array = array.astype(np.uint8)  # as every numeric library reads it
    elif array.dtype.kind == "O" and spec.datatype == "BYTES":
        check_strings(array, f"input {spec.name!r}")
    if array.ndim == len(spec.shape) - 1 and array.ndim == 1 and spec.shape[-1] == 1:
        array = array.reshape(-1, 1)  # a column
    return check_array(array, spec, f"input {spec.name!r}")
