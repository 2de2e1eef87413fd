"""Preprocessing, simple estimators and what wraps them are served like the originals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier, VotingClassifier, VotingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import RFE, SelectKBest, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, LinearSVC

from shearling.errors import FormatError
from tests.support.datasets import BINARY, FRAME, WORDS, X, served

if TYPE_CHECKING:
    from shearling.models.load import LoadedModel

NUMBERS = 2 * X[:, 0] + X[:, 1]
NEW = np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32) * 2


def check(model: Any, loaded: LoadedModel, rows: Any) -> None:
    """Compare all outputs with what the original answers."""
    methods = {"label": "predict", "prediction": "predict", "output": "transform"}
    methods["probabilities"] = (
        "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
    )
    answers = loaded.predict(rows)
    assert answers
    for name, answer in answers.items():
        expected = getattr(model, methods[name])(rows)
        expected = expected.toarray() if hasattr(expected, "toarray") else np.asarray(expected)
        if name == "label" or expected.dtype.kind == "O":
            assert answer.tolist() == expected.tolist()
        else:
            np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        FeatureUnion([("a", StandardScaler()), ("b", PolynomialFeatures(2))]),
        FunctionTransformer(np.abs),
        make_pipeline(FunctionTransformer(np.abs), FunctionTransformer(np.log1p)),
        MaxAbsScaler(clip=True),
        SelectKBest(k=1),
        SequentialFeatureSelector(LogisticRegression(), n_features_to_select=2),
        SimpleImputer(missing_values=-1, add_indicator=True),
        ColumnTransformer([("a", StandardScaler(), [0, -1])]),
        ColumnTransformer([("a", StandardScaler(), slice(0, 2))], remainder="passthrough"),
        ColumnTransformer([("a", StandardScaler(), np.array([True, False, True, False]))]),
        ColumnTransformer([("a", StandardScaler(), [True, False, True, False])]),
    ],
    ids=str,
)
def test_a_transformer_answers_like_the_original(model: Any) -> None:
    rows = X.copy()
    rows[::5, 1] = -1
    model.fit(rows, BINARY)
    loaded = served(model, rows)
    check(model, loaded, rows)
    check(model, loaded, NEW)


@pytest.mark.parametrize(
    "columns",
    [
        ["amount", "count"],
        slice("amount", "count"),
        [0, -2],
        [True, True, False],
        make_column_selector(dtype_include="number"),
        lambda _: ["count"],
    ],
    ids=["names", "slice", "places", "mask", "selector", "function"],
)
def test_the_columns_of_a_frame_may_be_selected_in_any_way(columns: Any) -> None:
    model = ColumnTransformer([("numbers", StandardScaler(), columns)]).fit(FRAME)
    check(model, served(model, FRAME), FRAME)


@pytest.mark.filterwarnings("ignore:y contains no unlabeled samples:UserWarning")
@pytest.mark.parametrize(
    "model",
    [
        DummyClassifier(),
        DummyClassifier(strategy="constant", constant="yes"),
        NearestCentroid(),
        NearestCentroid(priors=[0.2, 0.8]),
        NearestCentroid(metric="manhattan"),
        make_pipeline(StandardScaler(), LinearSVC()),
        GridSearchCV(make_pipeline(StandardScaler(), LinearSVC()), {}, cv=2),
        RandomizedSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, n_iter=1, cv=2),
        make_pipeline(StandardScaler(), GridSearchCV(LogisticRegression(), {}, cv=2)),
        VotingClassifier(
            [("a", LogisticRegression()), ("b", RandomForestClassifier(3, random_state=0))],
            voting="soft",
            weights=[1, 3],
        ),
        RFE(LogisticRegression(), n_features_to_select=2),
        SelfTrainingClassifier(LogisticRegression()),
        make_sampling_pipeline(
            StandardScaler(), RandomOverSampler(random_state=0), LogisticRegression()
        ),
        SVC(),
        Perceptron(),
    ],
    ids=str,
)
def test_a_classifier_answers_like_the_original(model: Any) -> None:
    model.fit(X, WORDS)
    loaded = served(model, X)
    assert "label" in loaded.signature.output_names
    check(model, loaded, NEW)


@pytest.mark.filterwarnings("ignore:The provided functions:UserWarning")
@pytest.mark.parametrize(
    "model",
    [
        DummyRegressor(strategy="median"),
        *(KernelRidge(kernel=kernel) for kernel in ("linear", "rbf", "laplacian", "poly")),
        KernelRidge(kernel="sigmoid", gamma=0.1, alpha=10),
        VotingRegressor([("a", LinearRegression()), ("b", Ridge())], weights=[1, 3]),
        TransformedTargetRegressor(LinearRegression()),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        TransformedTargetRegressor(
            make_pipeline(StandardScaler(), Ridge()), transformer=StandardScaler()
        ),
        make_pipeline(StandardScaler(), TransformedTargetRegressor(transformer=MinMaxScaler())),
    ],
    ids=str,
)
def test_a_regressor_answers_like_the_original(model: Any) -> None:
    model.fit(X, np.abs(NUMBERS))
    check(model, served(model, X), X)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (DummyClassifier(strategy="uniform"), "strategy='uniform'.*draws random labels"),
        (KernelRidge(kernel="cosine"), "kernel='cosine'"),
        (FunctionTransformer(np.rint), "func=rint.*use one of np.abs"),
        (TransformedTargetRegressor(transformer=PowerTransformer()), "transformer=PowerTransfor"),
        (GridSearchCV(LogisticRegression(), {}, cv=2, refit=False), "refit=False has no best"),
    ],
    ids=str,
)
def test_what_cannot_be_converted_is_refused_by_name(model: Any, reason: str) -> None:
    model.fit(X, BINARY)
    with pytest.raises(FormatError, match=reason):
        served(model, X)


NARROW = np.arange(24).reshape(12, 2) % 11


@pytest.mark.parametrize(
    ("function", "dtype"),
    [
        (np.square, "int8"),
        (np.square, "uint16"),
        (np.square, "int32"),
        (np.square, "uint64"),
        (np.negative, "uint8"),
        (np.abs, "int8"),
        (np.exp, "uint8"),
        (np.log1p, "int8"),
    ],
)
def test_a_function_that_overflows_in_a_narrow_type_is_refused(function: Any, dtype: str) -> None:
    rows = NARROW.astype(dtype)
    model = make_pipeline(FunctionTransformer(function), StandardScaler()).fit(rows)
    for example in (rows, pd.DataFrame(rows, columns=["a", "b"])):
        with pytest.raises(FormatError, match=rf"func={function.__name__} .* of {dtype}: .*int64"):
            served(model, example)


@pytest.mark.parametrize(
    ("function", "dtype"), [(np.square, "int64"), (np.log1p, "int32"), (np.sqrt, "int16")]
)
def test_a_function_of_wide_results_is_answered_like_the_original(
    function: Any, dtype: str
) -> None:
    rows = NARROW.astype(dtype)
    model = FunctionTransformer(function).fit(rows)
    answers = served(model, rows).predict(rows * 100)
    np.testing.assert_allclose(answers["output"], model.transform(rows * 100), rtol=1e-5)


def test_the_fitted_estimators_are_not_changed() -> None:
    members = [("a", LogisticRegression()), ("b", LogisticRegression(C=0.1))]
    model = VotingClassifier(members, voting="soft", weights=[1, 3]).fit(X, BINARY)
    before = {name: value for name, value in vars(model).items() if name != "estimators_"}
    served(model, X)
    assert {name: vars(model)[name] for name in before} == before


def test_strings_are_imputed_where_a_request_can_say_that_they_are_missing() -> None:
    frame = FRAME[["country"]].assign(colour=["red", ""] * 30)
    model = SimpleImputer(missing_values="", strategy="most_frequent").fit(frame)
    check(model, served(model, frame), frame)


def test_strings_that_are_never_missing_pass_an_imputer() -> None:
    steps = (SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    model = make_pipeline(*steps, LogisticRegression()).fit(FRAME[["country"]], BINARY)
    check(model, served(model, FRAME[["country"]]), FRAME[["country"]])


def test_integers_before_an_imputer_may_be_missing() -> None:
    frame = FRAME[["amount", "count"]]
    columns = ColumnTransformer([("numbers", SimpleImputer(), ["count"])])
    model = make_pipeline(columns, LinearRegression()).fit(frame, NUMBERS)
    loaded = served(model, frame)
    check(model, loaded, frame.assign(count=[np.nan, 1.0] * 30))


@pytest.mark.parametrize("last", [LinearRegression(), LogisticRegression(), "passthrough"], ids=str)
def test_a_column_may_be_named_variable(last: Any) -> None:
    frame = FRAME.rename(columns={"amount": "variable"})
    model = make_pipeline(ColumnTransformer([("a", StandardScaler(), ["variable"])]), last)
    model.fit(frame, BINARY)
    check(model, served(model, frame), frame)


def test_a_polars_frame_is_an_example() -> None:
    frame = pl.DataFrame({name: FRAME[name].to_list() for name in FRAME})
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["amount"]), ("w", OneHotEncoder(), ["country"])]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(FRAME, WORDS)
    loaded = served(model, frame)
    assert [spec.name for spec in loaded.signature.inputs] == ["amount", "count", "country"]
    check(model, loaded, FRAME)


@pytest.mark.parametrize("step", [FunctionTransformer(), SelectKBest(k=1)])
def test_a_step_of_one_matrix_takes_columns_of_several_types_of_numbers(step: Any) -> None:
    frame = FRAME[["amount", "count"]]
    columns = ColumnTransformer([("n", StandardScaler(), ["amount"])])
    union = FeatureUnion([("all", step), ("chosen", columns)])
    model = make_pipeline(union, LogisticRegression()).fit(frame, WORDS)
    check(model, served(model, frame), frame)


def test_a_step_of_one_matrix_refuses_words_beside_numbers_with_the_reason() -> None:
    with pytest.raises(FormatError, match=r"^FunctionTransformer .* columns .* different types"):
        served(FunctionTransformer().fit(FRAME), FRAME)


def test_pandas_categories_are_strings_to_a_pipeline() -> None:
    frame = FRAME.assign(country=FRAME["country"].astype("category"))
    columns = ColumnTransformer([("w", OneHotEncoder(), ["country"])])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, WORDS)
    check(model, served(model, frame), frame)


def test_an_unfrozen_copy_answers_for_a_frozen_estimator() -> None:
    model = make_pipeline(FrozenEstimator(StandardScaler().fit(X)), LogisticRegression())
    check(model.fit(X, WORDS), served(model, X), NEW)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(WORDS, ("no", "yes")), (BINARY, (0, 1)), (BINARY > 0, (False, True))],
    ids=["words", "integers", "truths"],
)
def test_probabilities_are_named_by_the_classes_in_their_own_type(
    labels: Any, classes: tuple[Any, ...]
) -> None:
    named = served(LogisticRegression().fit(X, labels), X).signature.outputs[1].classes
    assert named == classes
    assert [type(one) for one in named or ()] == [type(one) for one in classes]


def test_probabilities_of_several_targets_are_named_by_target() -> None:
    labels = np.stack([BINARY, 2 + np.roll(BINARY, 1)], axis=1)
    loaded = served(RandomForestClassifier(3, random_state=0).fit(X, labels), X)
    assert loaded.signature.outputs[1].classes == ((0, 1), (2, 3))


def test_classes_of_several_targets_that_are_strings_are_refused_clearly() -> None:
    labels = np.stack([WORDS, np.roll(WORDS, 1)], axis=1)
    with pytest.raises(FormatError, match="classes of several targets must be integers: encode"):
        served(RandomForestClassifier(3, random_state=0).fit(X, labels), X)


def test_margins_between_pairs_of_classes_have_no_names() -> None:
    labels = np.arange(60) % 3
    model = SVC(decision_function_shape="ovo").fit(X, labels)
    assert all(spec.classes is None for spec in served(model, X).signature.outputs)


def test_a_pipeline_of_texts_and_a_linear_svc_is_converted() -> None:
    texts = ["a good film", "a bad film", "dogs", "cats"] * 5
    model = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts, [1, 0, 1, 0] * 5)
    check(model, served(model, texts), ["good dogs", "bad cats", "other"])


def test_an_estimator_of_a_frame_may_ignore_its_columns() -> None:
    model = DummyClassifier().fit(FRAME, WORDS)
    check(model, served(model, FRAME), FRAME)


def test_a_value_that_stays_missing_in_the_original_only_is_refused() -> None:
    with pytest.warns(UserWarning, match="if a value of 'X' is missing, the converted model's"):
        loaded = served(PowerTransformer().fit(X), X)
    assert not loaded.signature.inputs[0].nullable
