"""Correct how skl2onnx converts the missing values and thresholds of scikit-learn's trees."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: ONNX's attribute of tree nodes: 1 if a missing value takes the branch of the true condition.
_MISSING_LEFT = "nodes_missing_value_tracks_true"


@contextmanager
def split_exactly() -> Iterator[None]:
    """Make skl2onnx convert trees so that each row takes the same branches as in scikit-learn.

    - A missing value takes the branch that the tree learned. skl2onnx alone sends all missing
      values right.
    - The thresholds of histogram-based trees are rounded down to 32 bits, like those of other
      trees. Rounded up, a threshold would send the next larger value left.
    """
    from skl2onnx.operator_converters import decision_tree, isolation_forest, random_forest

    add = decision_tree.add_tree_to_attribute_pairs
    populate = decision_tree.populate_tree_attributes
    add_histogram = random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting

    def add_missing(pairs: Any, is_classifier: Any, tree: Any, *rest: Any, **named: Any) -> None:
        add(pairs, is_classifier, tree, *rest, **named)
        pairs[_MISSING_LEFT][-tree.node_count :] = tree.missing_go_to_left.tolist()

    def populate_missing(model: Any, *rest: Any) -> Any:
        return populate(model, *rest) | {_MISSING_LEFT: model.tree_.missing_go_to_left.tolist()}

    def add_rounded_down(*arguments: Any, **named: Any) -> None:
        *rest, _ = arguments  # the last one: whether to adjust thresholds
        add_histogram(*rest, True, **named)

    def put(add: Any, populate: Any, add_histogram: Any) -> None:
        for module in (decision_tree, isolation_forest, random_forest):
            module.add_tree_to_attribute_pairs = add
        decision_tree.populate_tree_attributes = populate
        random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting = add_histogram

    put(add_missing, populate_missing, add_rounded_down)
    try:
        yield
    finally:
        put(add, populate, add_histogram)
