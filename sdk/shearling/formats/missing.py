"""Missing values: which way they go in converted trees, and what an estimator says of them."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.example import Example
from shearling.inputs import is_frame, to_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shearling.bundle import TensorSpec
    from shearling.formats import Tensors

#: As many rows go through enough splits, and as many columns are asked for in a moment.
_ROWS = 16
_COLUMNS = 32

#: The attribute of ONNX's tree ensembles: 1 where a missing value goes the way of the condition.
_WAYS = "nodes_missing_value_tracks_true"


@contextmanager
def ways_kept() -> Iterator[None]:
    """Have skl2onnx write which way a missing value goes at each split of a tree.

    It sends all of them right, whichever way scikit-learn learned.
    """
    from skl2onnx.operator_converters import decision_tree, isolation_forest, random_forest

    add, populate = (
        decision_tree.add_tree_to_attribute_pairs,
        decision_tree.populate_tree_attributes,
    )

    def add_with_ways(pairs: Any, is_classifier: Any, tree: Any, *rest: Any, **named: Any) -> None:
        add(pairs, is_classifier, tree, *rest, **named)
        pairs[_WAYS][-tree.node_count :] = tree.missing_go_to_left.tolist()

    def populate_with_ways(model: Any, *rest: Any) -> Any:
        return populate(model, *rest) | {_WAYS: model.tree_.missing_go_to_left.tolist()}

    def put(add: Any, populate: Any) -> None:
        for module in (decision_tree, isolation_forest, random_forest):
            module.add_tree_to_attribute_pairs = add
        decision_tree.populate_tree_attributes = populate

    put(add_with_ways, populate_with_ways)
    try:
        yield
    finally:
        put(add, populate)


def answers(
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
    asked = {}
    for spec in specs:
        if spec.datatype.startswith("FP"):
            lacking = (_without(rows[:_ROWS], column) for column in _columns(rows, spec.name))
            found = [_ask(each, specs, ask) for each in lacking]
            asked[spec.name] = [example for example in found if example is not None]
    return asked


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
    else:
        lacking = rows.astype(np.result_type(rows, np.float32))
        lacking[:, column] = np.nan
    return lacking


def _ask(rows: Any, specs: Sequence[TensorSpec], ask: Callable[[Any], Tensors]) -> Example | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Example(to_tensors(rows, specs), ask(rows))
        except Exception:  # noqa: BLE001 - an estimator's own
            return None
