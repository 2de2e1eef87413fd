"""A push asks the original and the converted model about rows unlike the example."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from shearling.converters import onnx as onnx_converter
from shearling.errors import FormatError
from shearling.models.push import push_model
from shearling.models.verification import verify
from tests.support.bundles import ROWS, scaling_graph
from tests.support.datasets import BINARY, FRAME, X, classifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.registry.registry import Registry

ODD_ROWS: dict[str, Callable[[NDArray[Any]], Any]] = {
    "zeros": lambda rows: (rows == 0).any(axis=1),
    "numbers of the other sign": lambda rows: np.isclose(rows[:, 0], -X[0, 0]),
    "small numbers": lambda rows: ((rows != 0) & (abs(rows) < 1e-5)).any(axis=1),
    "large numbers": lambda rows: (rows > 500).any(axis=1),
    "large negative numbers": lambda rows: (rows < -500).any(axis=1),
    "equal numbers": lambda rows: np.isclose(rows, 1).all(axis=1),
}


@pytest.mark.parametrize("kind", ODD_ROWS)
def test_a_push_warns_of_rows_unlike_the_example_and_shows_one(
    registry: Registry, kind: str
) -> None:
    model = LinearRegression().fit(X, X[:, 0])
    original = model.predict
    model.predict = lambda rows: original(rows) + ODD_ROWS[kind](rows)
    with pytest.warns(UserWarning, match=rf"have {kind}.*for example for the row \[-?\d") as caught:
        push_model(model, "fraud", example=X, registry=registry)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("end", [np.iinfo(np.int64).min, np.iinfo(np.int64).max])
def test_the_ends_of_integers_are_asked_too(registry: Registry, end: int) -> None:
    frame = FRAME[["amount", "count"]]
    model = make_pipeline(
        ColumnTransformer([("numbers", "passthrough", ["amount", "count"])]), LinearRegression()
    ).fit(frame, X[:, 0])
    original = model.predict
    model.predict = lambda rows: original(rows) + (rows["count"] == end)
    with pytest.warns(UserWarning, match=f"have the integer {end}"):
        push_model(model, "fraud", example=frame, registry=registry)


def test_rows_that_only_the_original_refuses_are_shown_in_a_warning(registry: Registry) -> None:
    rows = np.exp(X)
    model = make_pipeline(PowerTransformer("box-cox"), LogisticRegression()).fit(rows, BINARY)
    with pytest.warns(UserWarning, match="have zeros: the original raises ValueError: The Box-Cox"):
        push_model(model, "fraud", example=rows, registry=registry)


def test_labels_are_compared_on_rows_beyond_the_example(registry: Registry) -> None:
    model = classifier(LogisticRegression())
    original = model.predict
    model.predict = lambda rows: original(rows) ^ (len(rows) > len(X))
    with pytest.warns(UserWarning, match=r"recombine its values: output label\[\d+\] is"):
        push_model(model, "fraud", example=X, registry=registry)


def test_another_label_is_accepted_where_the_scores_of_the_original_tie(
    registry: Registry,
) -> None:
    rows, labels = load_breast_cancer(return_X_y=True)
    rows = rows.astype(np.float32)
    forest = RandomForestClassifier(4, random_state=0).fit(rows[:400], labels[:400])
    first = forest.predict

    def last_of_the_best(rows: NDArray[Any]) -> NDArray[Any]:
        best: NDArray[Any] = 1 - forest.predict_proba(rows)[:, ::-1].argmax(axis=1)
        return best

    assert (last_of_the_best(rows[400:]) != first(rows[400:])).any()
    forest.predict = last_of_the_best
    push_model(forest, "fraud", example=rows[400:], registry=registry)


def test_a_difference_on_most_rows_is_not_explained_with_rounding(registry: Registry) -> None:
    model = LinearRegression().fit(X, X[:, 0])
    original = model.predict
    model.predict = lambda rows: original(rows) * 3
    with pytest.raises(FormatError) as caught:
        push_model(model, "fraud", example=X, registry=registry)
    assert "the converter does not know a setting of the model" in str(caught.value)
    assert "float32" not in str(caught.value)


def test_a_difference_at_splits_is_explained_with_rounding(registry: Registry) -> None:
    rows, target = load_diabetes(return_X_y=True)
    model = HistGradientBoostingRegressor(max_iter=20).fit(rows, target)
    with pytest.raises(FormatError, match="fit the model on float32 data"):
        push_model(model, "fraud", example=rows, registry=registry)


def test_an_output_that_nothing_was_compared_with_is_not_served(tmp_path: Path) -> None:
    graph = scaling_graph()
    graph.graph.node.add(op_type="Neg", input=["Y"], output=["Z"])
    graph.graph.output.add().CopyFrom(graph.graph.output[0])
    graph.graph.output[1].name = "Z"
    converted = onnx_converter.convert(graph, ROWS, tmp_path)
    assert converted.signature.output_names == ("Y", "Z")
    half = replace(converted, expected={"Z": converted.expected["Z"]})
    manifest = verify(half, "fraud", tmp_path, rtol=0, atol=0, metadata={}).manifest
    assert manifest.signature.output_names == ("Z",)


def test_a_model_of_which_no_output_was_compared_is_refused(tmp_path: Path) -> None:
    converted = onnx_converter.convert(scaling_graph(), ROWS, tmp_path)
    with pytest.raises(FormatError, match=r"no answers to compare .* \(Y\), so nothing was"):
        verify(replace(converted, expected={}), "fraud", tmp_path, rtol=0, atol=0, metadata={})
