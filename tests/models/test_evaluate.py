"""`push_model(..., evaluate=(X, y))`: metrics of the converted model, in its version's record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn import metrics
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from shearling.bundle.evaluation import Evaluation
from shearling.errors import InvalidRequestError
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.datasets import BINARY, FRAME, WORDS, X, echo_graph, mixed_pipeline

if TYPE_CHECKING:
    from shearling.registry.registry import Registry

TRAIN, TEST = slice(0, 40), slice(40, 60)


def recorded(registry: Registry, model: Any, example: Any, evaluate: Any) -> dict[str, Any]:
    version = push_model(model, "fraud", example=example, evaluate=evaluate, registry=registry)
    record: dict[str, Any] = registry.version(version.pin).details["evaluation"]
    assert version.evaluation == Evaluation(**record)
    return record


@pytest.mark.parametrize("labels", [BINARY, WORDS, np.digitize(X[:, 1], [-0.5, 0.5])])
def test_a_classifier_gets_the_metrics_of_scikit_learn(registry: Registry, labels: Any) -> None:
    model = LogisticRegression(C=0.01).fit(X[TRAIN], labels[TRAIN])
    record = recorded(registry, model, X[TRAIN], (X[TEST], labels[TEST]))
    expected = model.predict(X[TEST])
    scores = model.predict_proba(X[TEST])
    assert record["rows"] == 20
    assert record["metrics"] == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(labels[TEST], expected),
            "balanced_accuracy": metrics.balanced_accuracy_score(labels[TEST], expected),
            "f1_macro": metrics.f1_score(labels[TEST], expected, average="macro"),
            "log_loss": metrics.log_loss(labels[TEST], scores),
            "roc_auc": metrics.roc_auc_score(
                labels[TEST], scores if scores.shape[1] > 2 else scores[:, 1], multi_class="ovr"
            ),
        },
        abs=1e-4,
    )


def test_a_regressor_gets_the_metrics_of_numbers(registry: Registry) -> None:
    y = X[:, 0] * 2 + X[:, 1] ** 2
    model = LinearRegression().fit(X[TRAIN], y[TRAIN])
    record = recorded(registry, model, X[TRAIN], (X[TEST], y[TEST]))
    expected = model.predict(X[TEST])
    assert record["metrics"] == pytest.approx(
        {
            "r2": metrics.r2_score(y[TEST], expected),
            "mean_absolute_error": metrics.mean_absolute_error(y[TEST], expected),
            "root_mean_squared_error": metrics.root_mean_squared_error(y[TEST], expected),
        },
        abs=1e-4,
    )


def test_the_converted_model_is_evaluated_and_not_the_original(registry: Registry) -> None:
    """A split at a value that 32-bit floats do not have separates rows only in 64 bits."""
    rows = np.array([[1.0], [1.0 + 1e-12]] * 10)
    labels = np.array([0, 1] * 10)
    model = DecisionTreeClassifier().fit(np.array([[0.0], [2.0]]), [0, 1])
    record = recorded(registry, model, np.array([[0.0], [2.0]]), (rows, labels))
    assert record["metrics"]["accuracy"] == 0.5


def test_a_frame_is_evaluated_by_its_columns(registry: Registry) -> None:
    record = recorded(
        registry, mixed_pipeline(), FRAME, (FRAME[["country", "count", "amount"]], WORDS)
    )
    assert record["metrics"]["accuracy"] == 1.0


def test_scores_of_a_graph_are_classes_by_place(registry: Registry) -> None:
    labels = X.argmax(axis=1)
    record = recorded(registry, echo_graph("rows", 4), X, (X, labels))
    assert record["metrics"]["accuracy"] == 1.0
    assert "log_loss" not in record["metrics"]  # they are no probabilities


def sigmoid_graph(width: int) -> Any:
    """A net with one output, which is the sigmoid of a column of X."""
    rows = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 4])
    shape: list[str | int | None] = ["n", 1]
    answer = helper.make_tensor_value_info("p", TensorProto.FLOAT, shape[:width])
    nodes = [
        helper.make_node("Gather", ["X", "place"], ["logit"], axis=1),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
    ]
    place = helper.make_tensor("place", TensorProto.INT64, [1][: width - 1], [0])
    graph = helper.make_graph(nodes, "net", [rows], [answer], [place])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("kind", [np.int64, np.bool_, np.float32])
def test_one_sigmoid_is_the_probability_of_the_second_class(
    registry: Registry, width: int, kind: Any
) -> None:
    labels = X[:, 0] + X[:, 1] > 0
    record = recorded(registry, sigmoid_graph(width), X, (X, labels.astype(kind)))
    likely = 1 / (1 + np.exp(-X[:, 0]))
    assert record["metrics"] == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(labels, likely > 0.5),
            "balanced_accuracy": metrics.balanced_accuracy_score(labels, likely > 0.5),
            "f1_macro": metrics.f1_score(labels, likely > 0.5, average="macro"),
            "log_loss": metrics.log_loss(labels, likely),
            "roc_auc": metrics.roc_auc_score(labels, likely),
        },
        abs=1e-4,
    )


def test_one_sigmoid_with_numbers_is_a_number(registry: Registry) -> None:
    shares = np.linspace(0, 1, len(X))
    record = recorded(registry, sigmoid_graph(1), X, (X, shares))
    assert "r2" in record["metrics"]


def test_an_evaluation_is_not_part_of_the_manifest(registry: Registry) -> None:
    model = LogisticRegression().fit(X, BINARY)
    push_model(model, "fraud", example=X, registry=registry)
    again = push_model(model, "fraud", example=X, evaluate=(X, BINARY), registry=registry)
    assert not again.is_new
    assert again.evaluation is not None


def several_outputs() -> Any:
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "YZ"]
    nodes = [helper.make_node("Identity", ["X"], [name]) for name in "YZ"]
    rows = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph(nodes, "two", [rows], outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (X, r"expected rows and their labels, as in evaluate=\(X_test, y_test\)"),
        ((X, BINARY, X), "expected rows and their labels"),
        ((X, BINARY[:9]), r"evaluate: y has 9 values, but data has 60 rows"),
        ((X, None), r"evaluate: y is None"),
        ((X, np.where(BINARY == 1, np.nan, 0.0)), r"evaluate: y: row \d+ is missing: leave out"),
        ((X, [None, *BINARY[1:]]), r"evaluate: y: row \d+ is missing: leave out"),
        ((X, np.column_stack([BINARY, BINARY])), "no label is a class of the model"),
        (pd.DataFrame(X), "evaluate is a DataFrame of length 60: expected rows and their labels"),
        ((X[:, :2], BINARY), r"evaluate: input 'X'"),
        ((X, WORDS), "no label is a class of the model: y has 'yes', and the model 0"),
        ((X[:0], BINARY[:0]), "evaluate: there are no rows"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_published(
    registry: Registry, evaluate: Any, message: str
) -> None:
    model = LogisticRegression().fit(X, BINARY)
    with pytest.raises(InvalidRequestError, match=message):
        push_model(model, "fraud", example=X, evaluate=evaluate, registry=registry)
    assert registry.models() == []


def test_labels_may_be_objects_as_a_column_of_mixed_values_has_them(registry: Registry) -> None:
    model = LogisticRegression(C=0.01).fit(X, BINARY)
    record = recorded(registry, model, X, (X, BINARY.astype(object)))
    assert record["metrics"]["accuracy"] == metrics.accuracy_score(BINARY, model.predict(X))


def test_probabilities_below_zero_by_rounding_have_their_metrics(registry: Registry) -> None:
    """ONNX Runtime answers -1e-7 where all trees but a rounding error are for the other class."""
    rows, labels = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(20, random_state=1).fit(rows[::2], labels[::2])
    record = recorded(registry, model, rows[:20], (rows[1::2], labels[1::2]))
    likely = model.predict_proba(rows[1::2])[:, 1]
    served = load_model("fraud", registry=registry).predict(rows[1::2])
    assert served["probabilities"].min() < 0
    assert record["metrics"]["roc_auc"] == pytest.approx(
        metrics.roc_auc_score(labels[1::2], likely), abs=1e-3
    )


def test_numbers_of_another_shape_than_the_labels_are_refused(registry: Registry) -> None:
    targets = np.column_stack([X[:, 0], X[:, 1]])
    model = LinearRegression().fit(X, targets)
    with pytest.raises(InvalidRequestError, match=r"y: it has shape \[60\], .* \[60, 2\]"):
        push_model(model, "fraud", example=X, evaluate=(X, targets[:, 0]), registry=registry)


def test_several_outputs_do_not_tell_what_to_compare(registry: Registry) -> None:
    with pytest.raises(InvalidRequestError, match=r"several outputs \(Y, Z\)"):
        push_model(several_outputs(), "two", example=X, evaluate=(X, BINARY), registry=registry)


@pytest.mark.parametrize(
    "record",
    [
        None,
        7,
        {},
        {"rows": -1, "metrics": {}},
        {"rows": 2, "metrics": {"a": "b"}},
        {"rows": 2, "metrics": {"a": True}},
        {"rows": 2, "metrics": {str(i): 1 for i in range(99)}},
    ],
)
def test_an_invalid_record_is_no_evaluation(record: Any) -> None:
    assert Evaluation.from_details({"evaluation": record}) is None
