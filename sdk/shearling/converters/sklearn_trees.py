"""scikit-learn's trees, of which skl2onnx leaves out what decides few rows, and those silently."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The attribute of ONNX's tree ensembles: 1 where a missing value goes the way of the condition.
_WAYS = "nodes_missing_value_tracks_true"


@contextmanager
def split_exactly() -> Iterator[None]:
    """Have skl2onnx convert trees so that each row goes the way that it goes in the original.

    - A missing value goes the way that the tree learned: skl2onnx sends all of them right.
    - A threshold of histogram-based trees is rounded down to 32 bits, as that of other trees is:
      rounded up, it would send the next value left.
    """
    from skl2onnx.operator_converters import decision_tree, isolation_forest, random_forest

    add = decision_tree.add_tree_to_attribute_pairs
    populate = decision_tree.populate_tree_attributes
    add_histogram = random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting

    def add_with_ways(pairs: Any, is_classifier: Any, tree: Any, *rest: Any, **named: Any) -> None:
        add(pairs, is_classifier, tree, *rest, **named)
        pairs[_WAYS][-tree.node_count :] = tree.missing_go_to_left.tolist()

    def populate_with_ways(model: Any, *rest: Any) -> Any:
        return populate(model, *rest) | {_WAYS: model.tree_.missing_go_to_left.tolist()}

    def add_rounded_down(*given: Any, **named: Any) -> None:
        *rest, _ = given  # whether thresholds are adjusted
        add_histogram(*rest, True, **named)

    def put(add: Any, populate: Any, add_histogram: Any) -> None:
        for module in (decision_tree, isolation_forest, random_forest):
            module.add_tree_to_attribute_pairs = add
        decision_tree.populate_tree_attributes = populate
        random_forest.add_tree_to_attribute_pairs_hist_gradient_boosting = add_histogram

    put(add_with_ways, populate_with_ways, add_rounded_down)
    try:
        yield
    finally:
        put(add, populate, add_histogram)
