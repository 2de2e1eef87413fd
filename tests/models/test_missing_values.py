"""A bundle answers missing values like the original model, or refuses them."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from shearling.converters import sklearn_trees as trees
from shearling.errors import FormatError, InvalidRequestError
from shearling.models.load import load_model
from shearling.models.push import push_model
from shearling.protocol.binary import raw_request
from shearling.protocol.csv_rows import parse_csv
from shearling.protocol.instances import parse_instances
from shearling.protocol.requests import parse_request
from shearling.registry.registry import Registry
from shearling.tensors.spec import Signature, TensorSpec
from shearling_runtime.apidocs.openapi import describe_api

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.models.load import LoadedModel

ROWS, TARGET = load_diabetes(return_X_y=True)
ROWS = ROWS.astype(np.float32)
LABELS = TARGET > 140
HOLES = np.where(np.random.default_rng(0).random(ROWS.shape) < 0.15, np.float32("nan"), ROWS)


@pytest.fixture
def registry() -> Registry:
    return Registry(f"memory://{uuid.uuid4().hex}")


def pushed(model: Any, example: Any, registry: Registry) -> LoadedModel:
    push_model(model, "fraud", example=example, registry=registry)
    return load_model("fraud", registry=registry)


@pytest.mark.parametrize("rows", [ROWS, HOLES], ids=["fitted-on-whole", "fitted-on-holes"])
@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(random_state=0),
        DecisionTreeRegressor(random_state=0),
        RandomForestClassifier(10, random_state=0),
        RandomForestRegressor(10, random_state=0),
        ExtraTreesClassifier(10, random_state=0),
        BaggingRegressor(n_estimators=3, random_state=0),
        IsolationForest(n_estimators=5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5),
        make_pipeline(SimpleImputer(), LogisticRegression()),
        StackingClassifier([("forest", RandomForestClassifier(5, random_state=0))]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_rows_with_missing_values_are_answered_like_the_original(
    model: Any, rows: Any, registry: Registry
) -> None:
    target = LABELS if hasattr(model, "classes_") or "Classifier" in str(model) else TARGET
    model.fit(rows, LABELS if "Logistic" in str(model) else target)
    # The example has no missing values, so the push itself must test them.
    answers = pushed(model, ROWS[:20], registry).predict(HOLES)
    given = answers["label"] if "label" in answers else answers["prediction"]
    np.testing.assert_allclose(given.ravel(), model.predict(HOLES).ravel(), rtol=1e-4)


def test_a_model_that_accepts_no_missing_values_refuses_them_and_names_the_place(
    registry: Registry,
) -> None:
    model = pushed(LogisticRegression().fit(ROWS, LABELS), ROWS[:20], registry)
    with pytest.raises(InvalidRequestError) as caught:
        model.predict(HOLES)
    row, column = np.argwhere(np.isnan(HOLES))[0]
    assert str(caught.value) == (
        f"input 'X': the value at [{row}, {column}] is missing, but the model accepts no missing "
        "values in input 'X': fill it first, or push the model with an imputer in its pipeline"
    )


REQUIRED = TensorSpec(name="X", datatype="FP32", shape=(-1, 2), nullable=False)
SIGNATURE = Signature(inputs=(REQUIRED,), outputs=(REQUIRED,))
NAN = np.array([[1, np.nan]], "<f4").tobytes()


def tensor(**fields: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], **fields}]}


@pytest.mark.parametrize(
    "ask",
    [
        lambda: parse_request(tensor(data=[1, None]), SIGNATURE),
        lambda: parse_request(tensor(data=[[1, None]]), SIGNATURE),
        lambda: parse_request(tensor(parameters={"binary_data_size": 8}), SIGNATURE, NAN),
        lambda: raw_request(NAN, SIGNATURE),
        lambda: parse_instances({"instances": [[1, None]]}, SIGNATURE),
        lambda: parse_csv("1,\n", SIGNATURE),
    ],
    ids=["flat", "nested", "binary", "raw", "instances", "csv"],
)
def test_a_missing_value_in_any_encoding_is_refused_by_inputs_that_do_not_accept_it(
    ask: Callable[[], object],
) -> None:
    with pytest.raises(InvalidRequestError, match="is missing, but the model accepts no"):
        ask()


def test_each_column_of_a_frame_is_tested_separately(registry: Registry) -> None:
    frame = pd.DataFrame(ROWS[:, :2], columns=["age", "sex"])
    filled = make_column_transformer((SimpleImputer(), ["age"]), remainder="passthrough")
    model = make_pipeline(filled, LogisticRegression()).fit(frame, LABELS)
    inputs = pushed(model, frame[:20], registry).signature.inputs
    assert {spec.name: spec.nullable for spec in inputs} == {"age": True, "sex": False}


def forget_the_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert trees without our correction, so that all missing values go right."""
    monkeypatch.setattr(trees, "split_exactly", nullcontext)


def test_a_conversion_that_differs_on_missing_values_is_pushed_with_a_warning_and_refuses_them(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_the_ways(monkeypatch)
    model = DecisionTreeRegressor(random_state=0).fit(HOLES, TARGET)
    with pytest.warns(UserWarning, match="if a value of 'X' is missing, the converted"):
        loaded = pushed(model, ROWS[:20], registry)
    with pytest.raises(InvalidRequestError, match="is missing"):
        loaded.predict(HOLES)


def test_an_example_with_missing_values_that_are_answered_differently_publishes_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_the_ways(monkeypatch)
    model = DecisionTreeRegressor(random_state=0).fit(HOLES, TARGET)
    with pytest.raises(FormatError, match="answers differ from the original's"):
        push_model(model, "fraud", example=HOLES, registry=registry)
    assert registry.models() == []


def test_the_openapi_document_allows_null_only_for_nullable_inputs() -> None:
    metadata = {"name": "fraud", "versions": ["1"]}
    document = describe_api(metadata, SIGNATURE)
    request = document["components"]["schemas"]["TensorRequest"]
    values = request["properties"]["inputs"]["items"]["properties"]["data"]["anyOf"][0]["items"]
    assert {"type": "null"} not in values["anyOf"]


def test_missing_values_are_tested_with_an_example_of_integers_too(registry: Registry) -> None:
    rows, labels = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(5, random_state=0).fit(rows.astype(np.float32), labels)
    loaded = pushed(model, rows[:20].astype(int), registry)
    assert all(spec.nullable for spec in loaded.signature.inputs)
