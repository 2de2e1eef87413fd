"""Convert CatBoost's models, as parts of what skl2onnx converts, from the trees that it writes.

CatBoost's own ONNX export knows neither labels that are booleans or integers other than 0, 1 and so
on, nor several targets, nor classes that are scored one against all.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters.graph_builder import GraphBuilder, set_float_output
from shearling.converters.skl2onnx_registry import Converter
from shearling.errors import FormatError
from shearling.tensors.inputs import is_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: Losses of classifiers by what turns scores into probabilities; with others it is the softmax.
_BY_SIGMOID = ("MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy")

#: Losses of classifiers of several labels at once.
_OF_LABELS = ("MultiLogloss", "MultiCrossEntropy")

_INTEGER = 7


def is_catboost(part: object) -> bool:
    """Return whether CatBoost made an estimator's class."""
    return type(part).__module__.partition(".")[0] == "catboost"


def check_convertible(parts: Iterable[Any]) -> None:
    """Refuse CatBoost's models that encode columns themselves.

    Raises:
        FormatError: the message names the columns, and says what to do.
    """
    # A meta-estimator fits copies and leaves the model it was given unfitted.
    for part in (part for part in parts if is_catboost(part) and part.is_fitted()):
        for setting, places in {
            "cat_features": part.get_cat_feature_indices(),
            "text_features": part.get_text_feature_indices(),
            "embedding_features": part.get_embedding_feature_indices(),
        }.items():
            names = ", ".join(repr(part.feature_names_[place]) for place in places)
            if names:
                raise FormatError(
                    f"{type(part).__name__} with {setting} ({names:.200}) cannot be converted to "
                    "ONNX: CatBoost encodes these columns by statistics of its own. Encode them in "
                    "a pipeline (OrdinalEncoder, OneHotEncoder, TfidfVectorizer) and fit without "
                    f"{setting}, or pass format='cloudpickle' (a pickle runs code when it is "
                    "loaded, so the function must allow pickles)"
                )


def fitted_names(model: Any) -> list[str]:
    """Return the names of the columns that a model was fitted on; none if they were numbered."""
    names = [str(name) for name in model.feature_names_]
    return names if names != [str(place) for place in range(len(names))] else []


def in_fitted_order(model: Any, example: Any) -> Any:
    """Return a table with its columns in the order in which CatBoost reads them."""
    if not is_catboost(model) or not is_frame(example) or not model.is_fitted():
        return example
    names = fitted_names(model)
    is_same = sorted(names) == sorted(map(str, example.columns))
    return example[names] if is_same and list(example.columns) != names else example


def converters(parts: Iterable[object]) -> dict[type, Converter]:
    """Return the converters for skl2onnx, if a model contains a model of CatBoost."""
    if not any(map(is_catboost, parts)):
        return {}
    from catboost import CatBoost, CatBoostClassifier, CatBoostRanker, CatBoostRegressor

    scores = Converter(convert=_convert_scores, shapes=_set_scores)
    return {
        CatBoostClassifier: Converter(
            convert=_convert_classifier, shapes=_set_classes, is_classifier=True
        ),
        CatBoostRegressor: scores,
        CatBoostRanker: scores,
        CatBoost: scores,
    }


@dataclass(slots=True)
class _Trees:
    """The attributes of ONNX's operator for a sum of trees, which grow tree by tree.

    Attributes:
        nodes: by attribute, an array for each tree.
        leaves: the same of the leaves, with the values of each target.
        count: the number of trees.
    """

    nodes: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    leaves: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    count: int = 0

    def add(self, features: Any, borders: Any, true: Any, false: Any, values: Any) -> None:
        """Add a tree, whose leaves stand where `true` is below 0.

        Args:
            features: for each node, the column that it compares.
            borders: for each node, the number that the column is to exceed.
            true: for each node, the node for larger numbers.
            false: for each node, the node for others.
            values: for each leaf, in the order of the nodes, a value for each target.
        """
        is_leaf = np.asarray(true) < 0
        ids = np.arange(len(is_leaf))
        tree = np.full(len(is_leaf), self.count)
        self.count += 1
        values = np.asarray(values, np.float32).reshape(is_leaf.sum(), -1)
        targets = values.shape[1]
        for name, array in {
            "treeids": tree,
            "nodeids": ids,
            "featureids": features,
            "values": np.asarray(borders, np.float32),
            "modes": np.where(is_leaf, "LEAF", "BRANCH_GT"),
            "truenodeids": np.where(is_leaf, 0, true),
            "falsenodeids": np.where(is_leaf, 0, false),
        }.items():
            self.nodes.setdefault(f"nodes_{name}", []).append(np.asarray(array))
        for name, array in {
            "treeids": np.repeat(tree[is_leaf], targets),
            "nodeids": np.repeat(ids[is_leaf], targets),
            "ids": np.tile(np.arange(targets), is_leaf.sum()),
            "weights": values.ravel(),
        }.items():
            self.leaves.setdefault(f"target_{name}", []).append(array)

    def attributes(self) -> dict[str, list[Any]]:
        """Return the attributes as lists."""
        both = {**self.nodes, **self.leaves}
        return {name: np.concatenate(arrays).tolist() for name, arrays in both.items()}


def _scores(graph: GraphBuilder) -> str:
    """Add the sum of a model's trees: a matrix with a column for each target or class."""
    model = _read_model(graph.estimator)
    columns = model["features_info"]["float_features"]
    scale, bias = model["scale_and_bias"]
    trees = _Trees()
    for tree in model.get("oblivious_trees", ()):
        _add_level_tree(trees, tree, columns)
    for tree in model.get("trees", ()):
        _add_nested_tree(trees, tree, columns)
    if not trees.count:
        trees.add([0], [0], [-1], [-1], [[0.0] * len(bias)])
    attributes = trees.attributes()
    missing = {
        column["flat_feature_index"]: int(column["nan_value_treatment"] == "AsTrue")
        for column in columns
    }
    return graph.add(
        "TreeEnsembleRegressor",
        graph.floats(),
        domain="ai.onnx.ml",
        n_targets=len(bias),
        base_values=[float(value) for value in bias],
        nodes_missing_value_tracks_true=[
            missing.get(place, 0) for place in attributes["nodes_featureids"]
        ],
        **attributes
        | {"target_weights": [float(scale * value) for value in attributes["target_weights"]]},
    )


def _read_model(estimator: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
        path = Path(directory) / "model.json"
        estimator.save_model(str(path), format="json")
        model: dict[str, Any] = json.loads(path.read_bytes())
    return model


def _add_level_tree(trees: _Trees, tree: dict[str, Any], columns: list[dict[str, Any]]) -> None:
    """Add a tree that splits by the same column and border in all nodes of a level.

    The places of a leaf in binary says which splits are true; the last split is the first digit.
    So the nodes of a complete tree, level by level, have the leaves in their order.
    """
    splits = tree["splits"][::-1]
    inner = 2 ** len(splits) - 1
    levels = np.repeat(np.arange(len(splits)), 2 ** np.arange(len(splits)))
    features = np.array([_column(split, columns) for split in splits], int)
    borders = np.array([split["border"] for split in splits], float)
    leaves = np.full(inner + 1, -1)
    nodes = np.arange(inner)
    trees.add(
        np.r_[features[levels], np.zeros(inner + 1, int)],
        np.r_[borders[levels], np.zeros(inner + 1)],
        np.r_[2 * nodes + 2, leaves],
        np.r_[2 * nodes + 1, leaves],
        np.reshape(tree["leaf_values"], (inner + 1, -1)),
    )


def _add_nested_tree(trees: _Trees, tree: dict[str, Any], columns: list[dict[str, Any]]) -> None:
    """Add a tree whose nodes have splits of their own."""
    features: list[int] = []
    borders: list[float] = []
    ends: dict[bool, list[int]] = {True: [], False: []}
    values = []
    pending = [(tree, -1, False)]
    while pending:
        node, parent, is_true = pending.pop()
        place, split = len(features), node.get("split")
        if parent >= 0:
            ends[is_true][parent] = place
        features.append(_column(split, columns) if split else 0)
        borders.append(split["border"] if split else 0.0)
        for side in ends.values():
            side.append(-1)
        if split:
            pending += [(node["left"], place, False), (node["right"], place, True)]
        else:
            values.append(np.ravel(node["value"]))
    trees.add(features, borders, ends[True], ends[False], values)


def _column(split: dict[str, Any], columns: list[dict[str, Any]]) -> int:
    place: int = columns[split["float_feature_index"]]["flat_feature_index"]
    return place


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    model = graph.estimator
    scores = _scores(graph)
    loss = _loss(model)
    if loss in _OF_LABELS:
        probabilities = graph.add("Sigmoid", scores)
        is_true = graph.add("Greater", scores, graph.float_constant(0))
        label = graph.add("Cast", is_true, to=_INTEGER)
    elif _width(model) == 1:
        other = graph.add("Sigmoid", graph.add("Neg", scores))
        probabilities = graph.add("Concat", other, graph.add("Sigmoid", scores), axis=1)
        threshold = model.get_probability_threshold() or 0.5
        limit = graph.float_constant(np.log(threshold / (1 - threshold)))
        place = graph.add("Cast", graph.add("Greater", scores, limit), to=_INTEGER)
        label = _class_at(graph, place)
    else:
        link = "Sigmoid" if loss in _BY_SIGMOID else "Softmax"
        probabilities = graph.add(link, scores)
        label = _class_at(graph, graph.add("ArgMax", scores, axis=1, keepdims=1))
    graph.set_output(label, 0)
    graph.set_output(probabilities, 1)


def _class_at(graph: GraphBuilder, places: str) -> str:
    """Return the classes at places of shape [rows, 1], as a vector."""
    flat = graph.add("Reshape", places, graph.constant([-1]))
    return graph.add("Gather", graph.constant(_labels(graph.estimator)), flat)


def _labels(model: Any) -> NDArray[Any]:
    """Return the classes as a graph can: texts or integers.

    Raises:
        FormatError: the classes are fractions.
    """
    classes = np.asarray(model.classes_)
    if classes.dtype.kind in "OU":
        return classes.astype(object)
    labels = classes.astype(np.int64)
    if (labels != classes).any():
        raise FormatError(
            f"the classes of {type(model).__name__} are fractions such as {classes.flat[0]}, which "
            "a graph cannot return: fit it on integers or texts"
        )
    return labels


def _convert_scores(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    scores = _scores(graph)
    # What `predict` reads; rankers have no other answers than scores.
    kind = getattr(graph.estimator, "_get_default_prediction_type", lambda: "RawFormulaVal")()
    if kind == "Exponent":
        scores = graph.add("Exp", scores)
    elif kind == "RMSEWithUncertainty":  # the mean, and the logarithm of the deviation
        mean, deviation = (
            graph.add("Gather", scores, graph.constant([place]), axis=1) for place in (0, 1)
        )
        twice = graph.add("Mul", deviation, graph.float_constant(2))
        scores = graph.add("Concat", mean, graph.add("Exp", twice), axis=1)
    graph.set_output(scores)


def _set_scores(operator: Any) -> None:
    set_float_output(operator, _width(operator.raw_operator))


def _set_classes(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    model = operator.raw_operator
    rows = operator.inputs[0].get_first_dimension()
    width = _width(model)
    is_text = np.asarray(model.classes_).dtype.kind in "OU" and _loss(model) not in _OF_LABELS
    labels = [rows, width] if _loss(model) in _OF_LABELS else [rows]
    operator.outputs[0].type = (StringTensorType if is_text else Int64TensorType)(labels)
    operator.outputs[1].type = FloatTensorType([rows, max(width, 2)])


def _width(model: Any) -> int:
    """Return the number of scores of a row."""
    _, bias = model.get_scale_and_bias()
    return int(np.size(bias))


def _loss(model: Any) -> str:
    """Return the name of the loss that a model was trained with."""
    return str(model.get_all_params().get("loss_function", "")).partition(":")[0]
