"""Rows that the example lacks, with the estimator's answers: missing values, resampled values."""

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

#: As many rows go through enough splits, and as many columns are asked for in a moment.
_ROWS = 16
_COLUMNS = 32

#: Of rows and columns.
_RANK = 2

#: A conversion that is wrong for few rows is wrong for one of so many.
_RESAMPLED = 512

#: Of wide rows fewer are asked for: as many as have so many values in all.
_VALUES = 4_000_000


def missing_value_examples(
    rows: Any, specs: Sequence[TensorSpec], ask: Callable[[Any], Tensors]
) -> dict[str, list[Example]]:
    """Return what an estimator says for rows that lack a value, for each input of floats.

    Args:
        rows: a DataFrame or an array of shape [rows, columns], as the estimator takes it.
        specs: the inputs: each is a column of the DataFrame, or the only one is all columns.
        ask: returns its answers by output, or raises what it likes.

    Returns:
        by input, the rows without one of its columns and their answers; no such rows if the
        estimator takes none.
    """
    rows = rows[: _fitting(_ROWS, _COLUMNS * np.size(rows[:1]))]
    columns = {
        spec.name: _columns(rows, spec.name) for spec in specs if spec.datatype.startswith("FP")
    }
    # All at once, for most estimators take all or none; to ask a large forest is slow.
    lacking = [_without(rows, column) for own in columns.values() for column in own]
    if lacking and (example := _ask(_joined(lacking), specs, ask)):
        return {name: [example] for name in columns}
    found = {
        name: [_ask(_without(rows, column), specs, ask) for column in own]
        for name, own in columns.items()
    }
    return {name: [each for each in own if each is not None] for name, own in found.items()}


def resampled_example(
    rows: Any, specs: Sequence[TensorSpec], ask: Callable[[Any], Tensors]
) -> Example | None:
    """Return what an estimator says for rows that take each value from any row of the example.

    Args:
        rows: a DataFrame or an array of shape [rows, columns], as the estimator takes it.
        specs: the inputs.
        ask: returns its answers by output, or raises what it likes.

    Returns:
        the rows and their answers; None if there is nothing to mix, or it does not take them.
    """
    if np.ndim(rows) != _RANK or len(rows) == 1:
        return None
    width = rows.shape[1]
    order = np.random.default_rng(0).integers(0, len(rows), (_fitting(_RESAMPLED, width), width))
    if not is_frame(rows):
        return _ask(np.take_along_axis(rows, order, axis=0), specs, ask)
    others = rows.iloc[order[:, 0]].reset_index(drop=True)
    for column, places in zip(rows.columns, order.T, strict=True):
        others[column] = rows[column].array.take(places)
    return _ask(others, specs, ask)


def _fitting(rows: int, width: int) -> int:
    """Return how many rows of so many values to ask for, `rows` at most."""
    return max(1, min(rows, _VALUES // max(1, width)))


def _columns(rows: Any, name: str) -> list[Any]:
    """Return which columns of the rows an input is made of, evenly chosen if there are many."""
    columns = list(rows.columns) if is_frame(rows) else list(range(rows.shape[1]))
    if is_frame(rows) and (own := [column for column in columns if str(column) == name]):
        return own
    return columns[:: -(-len(columns) // _COLUMNS)]


def _without(rows: Any, column: Any) -> Any:
    if is_frame(rows):
        lacking = rows.copy()
        lacking[column] = np.nan
        return lacking
    lacking = rows.astype(np.result_type(rows, np.float32))
    lacking[:, column] = np.nan
    return lacking


def _joined(parts: Sequence[Any]) -> Any:
    if not is_frame(parts[0]):
        return np.concatenate(parts)
    import pandas as pd

    return pd.concat(parts, ignore_index=True)


def _ask(rows: Any, specs: Sequence[TensorSpec], ask: Callable[[Any], Tensors]) -> Example | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Example(to_tensors(rows, specs), ask(rows))
        except Exception:  # noqa: BLE001 - an estimator's own
            return None
