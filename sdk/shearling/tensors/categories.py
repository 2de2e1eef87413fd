"""Refuse values that are not among the known categories of an input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import Scalar, TensorSpec

#: Known values that a message lists at most.
_MOST_SHOWN = 5

_MISSING = "a missing value"

#: Known texts, and characters of each, among which the nearest is looked for at most: comparing
#: texts is slow.
_MOST_COMPARED, _LONGEST_COMPARED = 2_000, 80


def check_categories(
    tensors: Mapping[str, NDArray[Any]],
    specs: Iterable[TensorSpec],
    columns: Sequence[str] = (),
    *,
    place: str = "inputs",
    first_row: int = 0,
) -> None:
    """Refuse a value that its column does not know.

    Args:
        tensors: valid arrays by input name.
        specs: the inputs of a signature that have known categories.
        columns: column names of the model's only input, if it has any.
        place: field that error messages begin with.
        first_row: number of the first row in error messages.

    Raises:
        InvalidRequestError: a value is unknown; the message has its row, its column, and the
            nearest known value.
    """
    for spec in specs:
        array = tensors[spec.name]
        for i, known in enumerate(spec.known):
            if known is None:
                continue
            column = array[..., i] if len(spec.shape) > 1 else array
            at = _first_unknown(column.ravel().tolist(), known)
            if at is None:
                continue
            row = first_row + (int(np.unravel_index(at, column.shape)[0]) if column.ndim else 0)
            raise InvalidRequestError(
                f"{place}: row {row}, {_column(spec, i, columns)}: "
                f"{_refusal(column.ravel()[at], spec, i)}",
                column=str(columns[i]) if columns else spec.name,
                value=shown(_item(column.ravel()[at])),
            )


def _first_unknown(values: list[Any], known: frozenset[Scalar]) -> int | None:
    if known.issuperset(values):
        return None
    accepts_nan = any(map(_is_nan, known))  # which no set finds
    return next(
        (
            at
            for at, value in enumerate(values)
            if value not in known and not (accepts_nan and _is_nan(value))
        ),
        None,
    )


def _column(spec: TensorSpec, i: int, columns: Sequence[str]) -> str:
    if len(spec.known) == 1:
        return f"column {columns[0] if columns else spec.name!r}"
    return f"column {columns[i]!r}" if columns else f"column {i} of input {spec.name!r}"


def _refusal(value: Any, spec: TensorSpec, i: int) -> str:
    known = (spec.categories or ())[i] or ()
    if isinstance(value, np.generic):  # which has the digits of its own type
        said = _MISSING if _is_nan(value) else str(value)
        value = value.item()
    else:
        said = shown(value)
    nearest = _nearest(value, known)
    hint = "" if nearest is None else f"; the nearest is {shown(nearest)}"
    some = ", ".join(_MISSING if _is_nan(one) else shown(one) for one in known[:_MOST_SHOWN])
    more = f" and {len(known) - _MOST_SHOWN} more" if len(known) > _MOST_SHOWN else ""
    return f"{said} is not a category that the model knows{hint} (it knows {some}{more})"


def _item(value: Any) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _nearest(value: Scalar, known: Sequence[Scalar]) -> Scalar | None:
    """Return the known number or similar text that is nearest to a value; None if there is none."""
    if isinstance(value, str):
        import difflib

        texts = {
            str(text)[:_LONGEST_COMPARED].strip().casefold(): text
            for text in known[:_MOST_COMPARED]
        }
        found = difflib.get_close_matches(value[:_LONGEST_COMPARED].strip().casefold(), texts, n=1)
        return texts[found[0]] if found else None
    numbers = [number for number in known if not isinstance(number, str) and not _is_nan(number)]
    if _is_nan(value) or not numbers:
        return None
    return min(numbers, key=lambda number: (abs(number - value), number))


def _is_nan(value: object) -> bool:
    return value != value  # noqa: PLR0124 - true for NaN only
