"""Make more rows from the example, with missing or recombined values, and have them answered."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.bundle.example import Example
from shearling.tensors.inputs import is_frame, to_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shearling.formats.base import Tensors
    from shearling.tensors.spec import TensorSpec

#: Limits on rows and columns with missing values: enough rows to pass many splits, and few enough
#: columns to be answered quickly.
_ROWS = 16
_COLUMNS = 32

#: Dimensions of a table: rows and columns.
_RANK = 2

#: Number of recombined rows: enough to find a conversion that is wrong for a small share of rows.
_RESAMPLED = 512

#: The most values in all rows together. Fewer rows are made if they are wide.
_VALUES = 4_000_000


def missing_value_examples(
    rows: Any, specs: Sequence[TensorSpec], answer: Callable[[Any], Tensors]
) -> dict[str, list[Example]]:
    """Return the estimator's answers to rows with a missing value, for each float input.

    Args:
        rows: a DataFrame or an array of shape [rows, columns], in the form the estimator accepts.
        specs: the inputs. Each is one column of the DataFrame, or a single input has all columns.
        answer: returns the estimator's outputs by name; may raise any error.

    Returns:
        For each input name, rows in which one column of that input is missing, with the answers;
        an empty list if the estimator raises an error for missing values.
    """
    rows = rows[: _row_count(_ROWS, _COLUMNS * np.size(rows[:1]))]
    columns = {
        spec.name: _columns(rows, spec.name) for spec in specs if spec.datatype.startswith("FP")
    }
    # One call for all columns: most estimators accept missing values everywhere or nowhere, and
    # calling a large forest is slow.
    probes = [_without(rows, column) for own in columns.values() for column in own]
    if probes and (example := _answered(_joined(probes), specs, answer)):
        return {name: [example] for name in columns}
    examples = {
        name: [_answered(_without(rows, column), specs, answer) for column in own]
        for name, own in columns.items()
    }
    return {
        name: [example for example in own if example is not None] for name, own in examples.items()
    }


def resampled_example(
    rows: Any, specs: Sequence[TensorSpec], answer: Callable[[Any], Tensors]
) -> Example | None:
    """Return the estimator's answers to rows that take each value from a random row of the example.

    Args:
        rows: a DataFrame or an array of shape [rows, columns], in the form the estimator accepts.
        specs: the inputs.
        answer: returns the estimator's outputs by name; may raise any error.

    Returns:
        The rows and their answers; None if the example is a single row or not a table, or if the
        estimator raises an error for the recombined rows.
    """
    if np.ndim(rows) != _RANK or len(rows) == 1:
        return None
    width = rows.shape[1]
    order = np.random.default_rng(0).integers(0, len(rows), (_row_count(_RESAMPLED, width), width))
    if not is_frame(rows):
        return _answered(np.take_along_axis(rows, order, axis=0), specs, answer)
    resampled = rows.iloc[order[:, 0]].reset_index(drop=True)
    for column, places in zip(rows.columns, order.T, strict=True):
        resampled[column] = rows[column].array.take(places)
    return _answered(resampled, specs, answer)


def _row_count(rows: int, width: int) -> int:
    """Return how many rows of `width` values to make, at most `rows`."""
    return max(1, min(rows, _VALUES // max(1, width)))


def _columns(rows: Any, name: str) -> list[Any]:
    """Return the columns that an input consists of; a regular selection if there are many."""
    columns = list(rows.columns) if is_frame(rows) else list(range(rows.shape[1]))
    if is_frame(rows) and (own := [column for column in columns if str(column) == name]):
        return own
    return columns[:: -(-len(columns) // _COLUMNS)]


def _without(rows: Any, column: Any) -> Any:
    if is_frame(rows):
        probe = rows.copy()
        probe[column] = np.nan
        return probe
    probe = rows.astype(np.result_type(rows, np.float32))
    probe[:, column] = np.nan
    return probe


def _joined(parts: Sequence[Any]) -> Any:
    if not is_frame(parts[0]):
        return np.concatenate(parts)
    import pandas as pd

    return pd.concat(parts, ignore_index=True)


def _answered(
    rows: Any, specs: Sequence[TensorSpec], answer: Callable[[Any], Tensors]
) -> Example | None:
    """Return rows with the estimator's answers; None if it raises an error for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Example(to_tensors(rows, specs), answer(rows))
        except Exception:  # noqa: BLE001 - estimators raise errors of any class
            return None
