"""CatBoost's models, pushed as ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoost, CatBoostClassifier, CatBoostRanker, CatBoostRegressor
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import shearling as sdk
from shearling.errors import FormatError
from tests.torch.modules import inputs_of, outputs_of, pushed

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4)).astype(np.float32)
X[::7, 1] = np.nan
NUMBERS = np.abs(X[:, 0])
IS_HIGH, IS_WIDE = X[:, 0] > 0, X[:, 2] > 0
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
TABLE = pd.DataFrame({"size": X[:, 0], "colour": np.where(IS_HIGH, "red", "blue")})


def classifier(**settings: Any) -> Any:
    return CatBoostClassifier(iterations=10, verbose=0, allow_writing_files=False, **settings)


def regressor(**settings: Any) -> Any:
    return CatBoostRegressor(iterations=10, verbose=0, allow_writing_files=False, **settings)


@pytest.mark.parametrize(
    ("settings", "target", "classes", "outputs"),
    [
        ({}, IS_HIGH.astype(int), (0, 1), ["label INT64[-1]", "probabilities FP32[-1, 2]"]),
        ({}, IS_HIGH, (False, True), ["label INT64[-1]", "probabilities FP32[-1, 2]"]),
        ({}, np.where(IS_HIGH, 7, 3), (3, 7), ["label INT64[-1]", "probabilities FP32[-1, 2]"]),
        ({}, IS_HIGH * 1.0, (0.0, 1.0), ["label INT64[-1]", "probabilities FP32[-1, 2]"]),
        (
            {},
            np.where(IS_HIGH, "stays", "leaves"),
            ("leaves", "stays"),
            ["label BYTES[-1]", "probabilities FP32[-1, 2]"],
        ),
        ({}, THREE, (0, 1, 2), ["label INT64[-1]", "probabilities FP32[-1, 3]"]),
        (
            {},
            np.array(["a", "b", "c"])[THREE],
            ("a", "b", "c"),
            ["label BYTES[-1]", "probabilities FP32[-1, 3]"],
        ),
        (
            {"loss_function": "MultiClassOneVsAll"},
            THREE,
            (0, 1, 2),
            ["label INT64[-1]", "probabilities FP32[-1, 3]"],
        ),
        (
            {"loss_function": "MultiLogloss"},
            np.c_[IS_HIGH, IS_WIDE, ~IS_WIDE].astype(int),
            (0, 1, 2),
            ["label INT64[-1, 3]", "probabilities FP32[-1, 3]"],
        ),
        (
            {"loss_function": "CrossEntropy"},
            IS_HIGH * 0.5,
            (0, 1),
            ["label INT64[-1]", "probabilities FP32[-1, 2]"],
        ),
        (
            {"grow_policy": "Lossguide"},
            THREE,
            (0, 1, 2),
            ["label INT64[-1]", "probabilities FP32[-1, 3]"],
        ),
    ],
    ids=[
        "integers", "booleans", "other integers", "floats", "texts", "three", "three texts",
        "one against all", "several labels", "soft labels", "leaf by leaf",
    ],
)  # fmt: skip
def test_a_classifier_gives_its_labels_and_probabilities(
    settings: Any, target: Any, classes: Any, outputs: list[str], registry: Registry
) -> None:
    original = classifier(**settings).fit(X, target)
    model = pushed(original, X[:50], registry)
    answers = model.predict(X)
    assert outputs_of(model) == outputs
    assert model.manifest.signature.classes["probabilities"] == classes
    assert list(map(type, model.manifest.signature.classes["probabilities"])) == [
        type(name) for name in classes
    ]
    assert np.array_equal(answers["label"].ravel(), np.ravel(original.predict(X)))
    np.testing.assert_allclose(answers["probabilities"], original.predict_proba(X), atol=1e-6)


def test_a_threshold_of_the_probability_decides_the_label(registry: Registry) -> None:
    original = classifier().fit(X, IS_HIGH)
    original.set_probability_threshold(0.7)
    labels = pushed(original, X[:50], registry).predict(X)["label"]
    assert np.array_equal(labels, original.predict(X))
    assert not np.array_equal(labels, original.predict_proba(X)[:, 1] > 0.5)


@pytest.mark.parametrize(
    "loss",
    [
        "RMSE",
        "MAE",
        "Quantile:alpha=0.3",
        "Poisson",
        "Tweedie:variance_power=1.5",
        "RMSEWithUncertainty",
        "MultiQuantile:alpha=0.1,0.9",
    ],
)
def test_a_regressor_gives_its_predictions(loss: str, registry: Registry) -> None:
    original = regressor(loss_function=loss).fit(X, NUMBERS)
    answer = pushed(original, X[:50], registry).predict(X)["prediction"]
    np.testing.assert_allclose(answer, original.predict(X), atol=1e-5)


def test_a_regressor_of_several_targets_gives_them_all(registry: Registry) -> None:
    original = regressor(loss_function="MultiRMSE").fit(X, X[:, [0, 2]])
    model = pushed(original, X[:50], registry)
    assert outputs_of(model) == ["prediction FP32[-1, 2]"]
    np.testing.assert_allclose(model.predict(X)["prediction"], original.predict(X), atol=1e-6)


def test_a_ranker_and_the_plain_model_give_their_scores(registry: Registry) -> None:
    groups = np.repeat(np.arange(20), 10)
    settings = {"iterations": 10, "verbose": 0, "allow_writing_files": False}
    ranker = CatBoostRanker(**settings).fit(X, IS_HIGH.astype(int), group_id=groups)
    plain = CatBoost({"loss_function": "Logloss", **settings}).fit(X, IS_HIGH.astype(int))
    for original in (ranker, plain):
        answer = pushed(original, X[:50], registry).predict(X)["prediction"]
        np.testing.assert_allclose(answer, original.predict(X), atol=1e-6)


@pytest.mark.parametrize("policy", ["SymmetricTree", "Depthwise", "Lossguide"])
@pytest.mark.parametrize("mode", ["Min", "Max"])
def test_missing_values_take_the_branch_that_was_learnt(
    policy: str, mode: str, registry: Registry
) -> None:
    target = np.where(np.isnan(X[:, 1]), 5, X[:, 1])
    original = regressor(grow_policy=policy, nan_mode=mode).fit(X, target)
    model = pushed(original, X[:50], registry)
    (spec,) = model.manifest.signature.inputs
    assert spec.nullable
    np.testing.assert_allclose(model.predict(X)["prediction"], original.predict(X), atol=1e-5)


def test_a_model_that_splits_nothing_gives_its_constant(registry: Registry) -> None:
    original = regressor(grow_policy="Depthwise", min_data_in_leaf=500).fit(X, NUMBERS)
    answer = pushed(original, X[:50], registry).predict(X)["prediction"]
    np.testing.assert_allclose(answer, original.predict(X), atol=1e-6)


def test_rows_of_integers_are_numbers(registry: Registry) -> None:
    rows = RANDOM.integers(0, 9, (100, 3))
    original = regressor().fit(rows, rows[:, 0])
    answer = pushed(original, rows[:30], registry).predict(rows)["prediction"]
    np.testing.assert_allclose(answer, original.predict(rows), atol=1e-5)


def test_the_columns_of_a_table_are_found_by_name(registry: Registry) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    original = classifier().fit(frame, IS_HIGH)
    expected = original.predict_proba(frame)
    for example in (frame, frame[["d", "a", "c", "b"]], X):
        model = pushed(original, example[:50], registry)
        assert model.manifest.options["columns"] == ["a", "b", "c", "d"]
        turned = model.predict(frame[["b", "a", "d", "c"]])["probabilities"]
        np.testing.assert_allclose(turned, expected, atol=1e-6)


def test_a_model_from_a_file_is_pushed_like_the_one_that_was_saved(
    tmp_path: Path, registry: Registry
) -> None:
    original = classifier().fit(X, IS_HIGH)
    original.save_model(str(tmp_path / "model.cbm"))
    loaded = CatBoostClassifier().load_model(str(tmp_path / "model.cbm"))
    pin = pushed(original, X[:50], registry).pin
    assert pushed(loaded, X[:50], registry).pin == pin


def test_it_converts_in_a_pipeline_and_in_a_search(registry: Registry) -> None:
    search = GridSearchCV(classifier(), {"depth": [2, 3]}, cv=2)
    original = make_pipeline(StandardScaler(), search).fit(X, THREE)
    answers = pushed(original, X[:50], registry).predict(X)
    np.testing.assert_allclose(answers["probabilities"], original.predict_proba(X), atol=1e-5)


def test_columns_that_a_pipeline_encodes_are_inputs(registry: Registry) -> None:
    encoder = make_column_transformer((OneHotEncoder(), ["colour"]), remainder="passthrough")
    model = pushed(make_pipeline(encoder, classifier()).fit(TABLE, IS_WIDE), TABLE, registry)
    assert inputs_of(model) == ["size FP32[-1, 1]", "colour BYTES[-1, 1]"]


def text_classifier() -> Any:
    texts = pd.DataFrame({"text": np.where(IS_HIGH, "a good film", "a bad film")})
    return classifier(text_features=["text"]).fit(texts, IS_HIGH.astype(int))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: classifier(cat_features=["colour"]).fit(TABLE, IS_WIDE),
            "with cat_features ('colour') cannot be converted to ONNX",
        ),
        (text_classifier, "with text_features ('text') cannot be converted to ONNX"),
        (
            lambda: make_pipeline(
                "passthrough", classifier(cat_features=["colour"])
            ).fit(TABLE, IS_WIDE),
            "with cat_features ('colour') cannot be converted to ONNX",
        ),
        (classifier, "CatBoostClassifier is not fitted: call fit first"),
        (regressor, "CatBoostRegressor is not fitted: call fit first"),
        (
            lambda: classifier().fit(X[:, :2], np.where(IS_HIGH, 1.0, 0.5)),
            "are fractions such as 0.5, which a graph cannot return: fit it on integers or texts",
        ),
    ],
    ids=["categories", "texts", "in a pipeline", "unfitted", "unfitted regressor", "fractions"],
)  # fmt: skip
def test_what_cannot_be_converted_is_refused_by_name(
    make: Any, message: str, registry: Registry
) -> None:
    with pytest.raises(FormatError) as caught:
        sdk.push_model(make(), "trees", example=TABLE[:20], registry=registry)
    assert message in str(caught.value)
