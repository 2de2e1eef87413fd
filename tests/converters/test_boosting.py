"""Gradient boosting of LightGBM and XGBoost, pushed as ONNX."""

from __future__ import annotations

import builtins
import re
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from scipy.sparse import csr_matrix
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from xgboost import XGBClassifier, XGBRegressor

import shearling as sdk
from shearling.errors import FormatError, InvalidRequestError
from shearling.registry.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@pytest.fixture(params=[LGBMClassifier, XGBClassifier], ids=["LightGBM", "XGBoost"])
def classifier(request: pytest.FixtureRequest) -> Any:
    return request.param(n_estimators=10, verbosity=0)


@pytest.fixture(params=[LGBMRegressor, XGBRegressor], ids=["LightGBM", "XGBoost"])
def regressor(request: pytest.FixtureRequest) -> Any:
    return request.param(n_estimators=10, verbosity=0)


@pytest.fixture
def registry() -> Registry:
    return Registry(f"memory://{uuid.uuid4().hex}")


def pushed(model: Any, rows: Any, registry: Registry) -> Mapping[str, NDArray[Any]]:
    """Push with a few rows as the example, and return the bundle's answers to all rows."""
    sdk.push_model(model, "trees", example=rows[:20], registry=registry)
    return sdk.load_model("trees", registry=registry).predict(rows)


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
def test_a_classifier_gives_its_labels_and_probabilities(
    classifier: Any, load: Any, registry: Registry
) -> None:
    rows, labels = load(return_X_y=True)
    rows = rows.astype(np.float32)
    classifier.fit(rows, labels)
    answers = pushed(classifier, rows, registry)
    assert np.array_equal(answers["label"], classifier.predict(rows))
    np.testing.assert_allclose(answers["probabilities"], classifier.predict_proba(rows), atol=1e-5)


def test_a_regressor_gives_its_predictions(regressor: Any, registry: Registry) -> None:
    rows, values = load_diabetes(return_X_y=True)
    rows = rows.astype(np.float32)
    regressor.fit(rows, values)
    answers = pushed(regressor, rows, registry)
    np.testing.assert_allclose(answers["prediction"].ravel(), regressor.predict(rows), rtol=1e-4)


def test_missing_values_take_the_branch_that_was_learnt(
    classifier: Any, registry: Registry
) -> None:
    rows, labels = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)
    rows[::3, 2] = np.nan
    classifier.fit(rows, labels)
    answers = pushed(classifier, rows, registry)
    np.testing.assert_allclose(answers["probabilities"], classifier.predict_proba(rows), atol=1e-5)


def test_a_frame_with_spaces_in_column_names_is_accepted_and_the_model_is_not_changed(
    classifier: Any, registry: Registry
) -> None:
    frame, labels = load_iris(return_X_y=True, as_frame=True)
    classifier.fit(frame, labels)
    names = list(classifier.feature_names_in_)
    assert np.array_equal(pushed(classifier, frame, registry)["label"], classifier.predict(frame))
    assert list(classifier.feature_names_in_) == names


def test_a_boosting_model_may_be_the_last_step_of_a_pipeline(
    classifier: Any, registry: Registry
) -> None:
    frame = pd.DataFrame(
        {"age": np.arange(120.0) % 60, "country": ["de", "fr", "us"] * 40, "income": [1.0, 2] * 60}
    )
    labels = (frame["age"] > 30).to_numpy().astype(int)
    encoder = make_column_transformer(
        (StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["country"])
    )
    pipeline = make_pipeline(encoder, classifier).fit(frame, labels)
    assert np.array_equal(pushed(pipeline, frame, registry)["label"], pipeline.predict(frame))


def test_the_same_model_is_the_same_version(classifier: Any, registry: Registry) -> None:
    rows, labels = load_iris(return_X_y=True)
    classifier.fit(rows, labels)
    versions = [
        sdk.push_model(classifier, "trees", example=rows[:5], registry=registry) for _ in range(2)
    ]
    assert [version.version for version in versions] == [1, 1]


def test_a_boosting_model_may_be_part_of_an_ensemble(registry: Registry) -> None:
    rows, labels = load_iris(return_X_y=True)
    members = [("one", XGBClassifier(n_estimators=5)), ("other", XGBClassifier(n_estimators=9))]
    model = VotingClassifier(members, voting="soft").fit(rows, labels)
    assert np.array_equal(pushed(model, rows, registry)["label"], model.predict(rows))


def test_a_boosting_model_fitted_by_a_search_may_have_column_names(registry: Registry) -> None:
    frame, labels = load_iris(return_X_y=True, as_frame=True)
    search = GridSearchCV(XGBClassifier(n_estimators=5), {"max_depth": [2]}, cv=2)
    search.fit(frame, labels)
    assert np.array_equal(pushed(search, frame, registry)["label"], search.predict(frame))
    assert search.best_estimator_.get_booster().feature_names == list(frame.columns)


def test_a_boosting_model_that_is_not_fitted_is_refused(
    classifier: Any, registry: Registry
) -> None:
    with pytest.raises(FormatError, match="is not fitted: call fit first"):
        sdk.push_model(classifier, "trees", example=np.zeros((1, 2)), registry=registry)


def test_without_onnxmltools_the_error_names_the_extra_to_install(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, labels = load_iris(return_X_y=True)
    model = XGBClassifier(n_estimators=2).fit(rows, labels)
    original = builtins.__import__

    def without(module: str, *arguments: Any, **options: Any) -> Any:
        if module.startswith("onnxmltools"):
            raise ImportError(module)
        return original(module, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(FormatError, match=r"pip install 'shearling\[boosting\]'"):
        sdk.push_model(model, "trees", example=rows[:5], registry=registry)


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        (XGBClassifier(n_estimators=2), "pass a dense array that has NaN where the matrix has no"),
        (LGBMClassifier(n_estimators=2, verbosity=-1), r"pass its \.toarray\(\)"),
    ],
    ids=["XGBoost", "LightGBM"],
)
def test_a_sparse_example_is_refused_with_the_dense_form_that_is_answered_alike(
    registry: Registry, model: Any, hint: str
) -> None:
    dense = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    dense[dense < 0] = 0
    sparse = csr_matrix(dense)
    model.fit(sparse, np.arange(200) % 2)
    with pytest.raises(InvalidRequestError, match=hint):
        sdk.push_model(model, "trees", example=sparse, registry=registry)
    if isinstance(model, XGBClassifier):
        dense[dense == 0] = np.nan
    answer = pushed(model, dense, registry)["probabilities"]
    np.testing.assert_allclose(answer, model.predict_proba(sparse), atol=1e-5)


def test_zeros_of_a_sparse_step_are_missing_to_xgboost(registry: Registry) -> None:
    texts = ["a good film", "a bad film", "dogs and cats", "cats"] * 20
    model = make_pipeline(TfidfVectorizer(dtype=np.float32), XGBClassifier(n_estimators=5))
    model.fit(texts, [1, 0, 1, 0] * 20)
    sdk.push_model(model, "trees", example=texts[:8], registry=registry)
    rows = ["", "good cats", "dogs", "bad film bad"]
    answer = sdk.load_model("trees", registry=registry).predict(rows)["probabilities"]
    np.testing.assert_allclose(answer, model.predict_proba(rows), atol=1e-5)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
@pytest.mark.filterwarnings("ignore:the converted model agrees.*rows that have:UserWarning")
@pytest.mark.parametrize(
    "model",
    [
        LGBMRegressor(n_estimators=9, verbosity=-1, min_child_samples=3),
        XGBRegressor(n_estimators=9, enable_categorical=True),
    ],
    ids=["LightGBM", "XGBoost"],
)
def test_pandas_categories_are_refused_with_the_codes_that_are_answered_alike(
    registry: Registry, model: Any
) -> None:
    random = np.random.default_rng(0)
    letters = np.array([*"abcdefgh", None])
    colours, sizes = (pd.Categorical(random.choice(letters, 300)) for _ in range(2))
    example = pd.DataFrame({2024: random.normal(size=300), 2025: colours, 2026: sizes})
    model.fit(example, example[2024] + colours.codes % 3 + 5 * (colours.codes < 0))
    with pytest.raises(FormatError, match="2025 has pandas' type category") as refusal:
        sdk.push_model(model, "trees", example=example, registry=registry)
    hint = re.search(r"as the example: (.*), and send", str(refusal.value))
    assert hint
    codes = eval(hint[1], {"example": example})
    answer = pushed(model, codes, registry)["prediction"]
    np.testing.assert_allclose(answer.ravel(), model.predict(example), rtol=1e-4)


def test_pandas_categories_behind_other_steps_are_refused_with_the_step_that_encodes_them(
    registry: Registry,
) -> None:
    colours = pd.Categorical(list("abc") * 20)
    frame = pd.DataFrame({"size": np.arange(60.0), "colour": colours})
    trees = XGBRegressor(n_estimators=2, enable_categorical=True)
    chosen = make_column_transformer(("passthrough", ["size", "colour"]))
    model = make_pipeline(chosen.set_output(transform="pandas"), trees).fit(frame, frame["size"])
    with pytest.raises(FormatError, match=r"a step that takes numbers gets .*OrdinalEncoder\(\)"):
        sdk.push_model(model, "trees", example=frame, registry=registry)
    encoder = make_column_transformer((OrdinalEncoder(), ["colour"]), remainder="passthrough")
    encoded = make_pipeline(encoder, XGBRegressor(n_estimators=2)).fit(frame, frame["size"])
    sdk.push_model(encoded, "trees", example=frame, registry=registry)


@pytest.mark.parametrize("kind", [LGBMClassifier, LGBMRegressor])
@pytest.mark.parametrize("missing", [[], [np.nan]], ids=["complete", "missing"])
@pytest.mark.parametrize("seed", range(3))
def test_lightgbm_categories_are_cut_to_whole_numbers_like_in_the_original(
    kind: Any, missing: list[float], seed: int, registry: Registry
) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(300, 4)).astype(np.float32)
    rows[:, [0, 2]] = random.integers(0, 6, (300, 2))
    labels = (rows[:, 0] % 3 == 1) ^ (rows[:, 2] % 2 == 0) | (rows[:, 1] > 0.7)
    if missing:
        rows[::9, 0] = np.nan
    model = kind(n_estimators=8, verbosity=-1).fit(rows, labels, categorical_feature=[0, 2])
    sdk.push_model(model, "trees", example=rows[:20], registry=registry)
    near = np.arange(-2, 8, dtype=np.float32)[:, None] + np.array(
        [0, 1e-6, 0.25, 0.5, 0.999], np.float32
    )
    values = [
        *near.ravel(), *np.nextafter(near, -np.inf, dtype=np.float32).ravel(), -0.0, 200.5, 70000,
        -1e9, 2**31 - 129, 2**31, 2**32 + 4096, 1e30, -1e30, *missing,
    ]  # fmt: skip
    asked = np.tile(rows[1:8], (len(values), 1))
    asked[:, 0] = np.repeat(values, 7)
    other = asked.copy()
    other[:, 2] = np.repeat(np.nan_to_num(values[::-1], nan=9), 7)
    loaded = sdk.load_model("trees", registry=registry)
    for batch in (asked, other):
        answers = loaded.predict(batch)
        if kind is LGBMClassifier:
            expected = model.predict_proba(batch)
            np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)
        else:
            np.testing.assert_allclose(
                answers["prediction"].ravel(), model.predict(batch), atol=1e-5
            )


def test_lightgbm_categories_that_32_bits_do_not_hold_are_refused(registry: Registry) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2))
    rows[:, 0] = np.arange(300) % 6 + 2**24 - 5
    model = LGBMRegressor(n_estimators=3, verbosity=-1).fit(
        rows, rows[:, 0] % 3, categorical_feature=[0]
    )
    with pytest.raises(FormatError, match="'Column_0' has the category 16777216"):
        sdk.push_model(model, "trees", example=rows, registry=registry)
