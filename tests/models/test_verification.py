"""A push compares the converted model's answers with the original's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import (
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression

from shearling.errors import (
    FormatError,
    ShearlingError,
)
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.bundles import ROWS
from tests.support.datasets import BINARY, FRAME, X, mixed_pipeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.registry.registry import Registry


def test_a_conversion_that_answers_differently_is_refused_with_the_worst_difference(
    registry: Registry,
) -> None:
    model = LogisticRegression().fit(X, BINARY)

    def unfaithful(rows: NDArray[Any]) -> NDArray[Any]:
        answer = LogisticRegression.predict_proba(model, rows)
        answer[3] = [0.25, 0.75] if answer[3, 0] > 0.5 else [0.75, 0.25]
        wrong: NDArray[Any] = answer
        return wrong

    model.predict_proba = unfaithful
    with pytest.raises(
        FormatError,
        match=r"probabilities\[3, \d\] is 0\.\d+, expected 0\.\d5 \(2 of 120 values differ\)",
    ) as caught:
        push_model(model, "fraud", example=X, registry=registry)
    assert "Nothing was published" in str(caught.value)
    assert registry.models() == []


def answers_small_rows_only(model: LogisticRegression) -> LogisticRegression:
    """Make a model differ from its conversion except for the example's few rows."""
    original = model.predict_proba

    def predict_proba(rows: NDArray[Any]) -> NDArray[Any]:
        answers: NDArray[Any] = original(rows)
        return answers if len(rows) <= 20 else answers[:, ::-1]

    model.predict_proba = predict_proba
    return model


def test_a_push_warns_if_rows_beyond_the_example_are_answered_differently(
    registry: Registry,
) -> None:
    model = answers_small_rows_only(LogisticRegression().fit(X, BINARY))
    with pytest.warns(UserWarning, match="not on all rows that recombine its values: output proba"):
        push_model(model, "fraud", example=X[:5], registry=registry)
    assert registry.models() == ["fraud"]


def test_classes_that_tie_do_not_count_as_a_difference(registry: Registry) -> None:
    rows, labels = load_breast_cancer(return_X_y=True)
    rows = rows.astype(np.float32)
    # With an even number of trees that each vote for one class, some rows tie.
    model = RandomForestClassifier(100, random_state=0).fit(rows[:400], labels[:400])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        push_model(model, "fraud", example=rows[400:], registry=registry)
    (spec,) = load_model("fraud", registry=registry).signature.inputs
    assert spec.nullable


def test_rows_of_a_mixed_frame_are_recombined_too(registry: Registry) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        push_model(mixed_pipeline(), "fraud", example=FRAME[:5], registry=registry)


class Shifting:
    """A model whose answers are larger by one after it was pickled."""

    def __reduce__(self) -> Any:
        return (lambda: lambda rows: rows + 1), ()

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows


def test_an_object_that_answers_differently_when_it_is_loaded_is_refused(
    registry: Registry,
) -> None:
    with pytest.raises(
        FormatError,
        match=r"\[0, 0\] is 2\.0, expected 1\.0 \(6 of 6 values differ\)\. Nothing was published",
    ) as caught:
        push_model(Shifting(), "odd", example=ROWS, format="cloudpickle", registry=registry)
    assert "ONNX" not in str(caught.value)
    assert registry.models() == []


def test_a_wider_tolerance_accepts_a_difference(registry: Registry) -> None:
    version = push_model(
        Shifting(), "odd", example=ROWS, format="cloudpickle", atol=5.0, registry=registry
    )
    assert registry.manifest(version.pin).example.atol == 5.0


@pytest.mark.parametrize("tolerance", [-1.0, float("inf"), float("nan")])
def test_a_tolerance_that_no_reader_accepts_is_refused(
    registry: Registry, tolerance: float
) -> None:
    with pytest.raises(ShearlingError):
        push_model(
            lambda rows: ["a"] * len(rows),
            "words",
            example=ROWS,
            format="cloudpickle",
            rtol=tolerance,
            registry=registry,
        )
    assert not list(registry.store.keys("models"))
