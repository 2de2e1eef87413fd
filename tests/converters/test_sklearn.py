"""Converted scikit-learn models answer like the originals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC

from shearling.converters import sklearn as sklearn_format
from shearling.errors import (
    FormatError,
    InvalidRequestError,
)
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph
from tests.support.datasets import (
    BINARY,
    FRAME,
    RANDOM,
    TWO_LABELS,
    WORDS,
    X,
    classifier,
    load_pinned,
    mixed_pipeline,
)

if TYPE_CHECKING:
    from shearling.registry.registry import Registry


NUMBERS = 2 * X[:, 0] + X[:, 1]


TEXTS = ["a good day", "a bad day", "so good", "very bad indeed"] * 10


SENTIMENT = [1, 0] * 20


@pytest.mark.parametrize(
    "model",
    [
        classifier(LogisticRegression()),
        classifier(LogisticRegression(), WORDS),
        classifier(LogisticRegression(), np.digitize(X[:, 0], [-0.5, 0.5])),
        classifier(RandomForestClassifier(5, random_state=0)),
        classifier(GradientBoostingClassifier(n_estimators=3)),
        classifier(HistGradientBoostingClassifier(max_iter=3)),
        classifier(GaussianNB()),
        classifier(KNeighborsClassifier()),
        classifier(
            VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft")
        ),
        classifier(make_pipeline(StandardScaler(), LogisticRegression())),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_classifier_answers_with_its_labels_and_probabilities(
    registry: Registry, model: Any
) -> None:
    push_model(model, "fraud", example=X, registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert [spec.name for spec in loaded.signature.outputs] == ["label", "probabilities"]
    answers = loaded.predict(X)
    assert answers["label"].tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [classifier(SVC()), classifier(LinearSVC()), classifier(SGDClassifier(random_state=0))],
    ids=lambda model: type(model).__name__,
)
def test_a_classifier_without_probabilities_answers_with_its_labels(
    registry: Registry, model: Any
) -> None:
    push_model(model, "fraud", example=X, registry=registry)
    answers = load_model("fraud", registry=registry).predict(X)
    assert answers["label"].tolist() == model.predict(X).tolist()


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression().fit(X, NUMBERS),
        LinearRegression().fit(X, np.stack([NUMBERS, -NUMBERS], axis=1)),
        RandomForestRegressor(5, random_state=0).fit(X, NUMBERS),
        HistGradientBoostingRegressor(max_iter=3).fit(X, NUMBERS),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_regressor_answers_with_its_prediction(registry: Registry, model: Any) -> None:
    push_model(model, "price", example=X, registry=registry)
    answer = load_model("price", registry=registry).predict(X)["prediction"]
    expected = model.predict(X)
    np.testing.assert_allclose(answer.reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)


def test_a_transformer_answers_with_its_output(registry: Registry) -> None:
    model = PCA(2).fit(X)
    push_model(model, "pca", example=X, registry=registry)
    answer = load_model("pca", registry=registry).predict(X)["output"]
    np.testing.assert_allclose(answer, model.transform(X), atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0),
        KNeighborsClassifier(),
        MultiOutputClassifier(LogisticRegression()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_several_targets_are_answered_row_by_row(registry: Registry, model: Any) -> None:
    model.fit(X, TWO_LABELS)
    push_model(model, "fraud", example=X[:20], registry=registry)
    answers = load_model("fraud", registry=registry).predict(X)
    assert np.array_equal(answers["label"], model.predict(X))
    expected = np.stack(model.predict_proba(X), axis=1)  # shape [rows, targets, classes]
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)


def test_targets_of_different_numbers_of_classes_are_refused(registry: Registry) -> None:
    labels = np.stack([BINARY, np.arange(60) % 3], axis=1)
    model = RandomForestClassifier(5, random_state=0).fit(X, labels)
    with pytest.raises(FormatError, match=r"different numbers of classes \(2, 3\)"):
        push_model(model, "fraud", example=X, registry=registry)


def test_a_wrongly_declared_output_size_becomes_variable(registry: Registry) -> None:
    model = RandomForestRegressor(5, random_state=0).fit(X, X[:, :3])
    push_model(model, "fraud", example=X, registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert loaded.signature.outputs[0].shape == (-1, -1)
    np.testing.assert_allclose(loaded.predict(X)["prediction"], model.predict(X), rtol=1e-4)


def test_trees_after_a_scaler_split_like_the_original(registry: Registry) -> None:
    rows, labels = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)  # on a grid, so that many values equal a split
    forest = RandomForestClassifier(50, random_state=0)
    model = make_pipeline(StandardScaler(), forest).fit(rows, labels)
    push_model(model, "iris", example=rows, registry=registry)
    answers = load_model("iris", registry=registry).predict(rows)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=1e-5)


def test_histogram_based_trees_split_between_neighbouring_floats(registry: Registry) -> None:
    steps = RANDOM.integers(0, 8, (600, 3))
    rows = (1 + steps * np.finfo(np.float32).eps).astype(np.float32)
    model = HistGradientBoostingRegressor(max_iter=10).fit(rows, steps.sum(axis=1))
    push_model(model, "steps", example=rows, registry=registry)
    answers = load_model("steps", registry=registry).predict(rows)
    np.testing.assert_allclose(answers["prediction"].ravel(), model.predict(rows), rtol=1e-4)


def test_empty_strings_are_imputed(registry: Registry) -> None:
    frame = FRAME[["country"]].copy()
    frame.loc[::5, "country"] = ""
    fill = SimpleImputer(missing_values="", strategy="most_frequent")
    model = make_pipeline(fill, OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(
        frame, BINARY
    )
    push_model(model, "fraud", example=frame, registry=registry)
    answers = load_model("fraud", registry=registry).predict(frame)
    assert answers["label"].tolist() == model.predict(frame).tolist()


def test_a_target_encoder_is_not_a_classifier(registry: Registry) -> None:
    frame = FRAME[["country"]]
    model = TargetEncoder(random_state=0).fit(frame, BINARY)
    push_model(model, "fraud", example=frame, registry=registry)
    answers = load_model("fraud", registry=registry).predict(frame)
    np.testing.assert_allclose(answers["output"], model.transform(frame), rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "output"),
    [
        (LinearRegression().fit(X, NUMBERS), "prediction"),
        (IsolationForest(n_estimators=5, random_state=0).fit(X), "label"),
        (IsolationForest(n_estimators=5, random_state=0).fit(X), "scores"),
    ],
)
def test_a_vector_stays_a_vector(registry: Registry, model: Any, output: str) -> None:
    push_model(model, "fraud", example=X[:20], registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert loaded.predict(X)[output].shape == (60,)
    assert {spec.name: spec.shape for spec in loaded.signature.outputs}[output] == (-1,)


def test_a_gaussian_process_is_a_regressor(registry: Registry) -> None:
    model = GaussianProcessRegressor().fit(X, NUMBERS)
    push_model(model, "fraud", example=X[:20], registry=registry)
    answers = load_model("fraud", registry=registry).predict(X)
    np.testing.assert_allclose(answers["prediction"].ravel(), model.predict(X), atol=1e-3)


def test_a_conversion_without_comparable_outputs_is_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The estimator has no method for any output.
    monkeypatch.setattr(sklearn_format, "_estimator_answer", lambda *_: None)
    with pytest.raises(FormatError, match="no method whose results can be compared with"):
        push_model(classifier(LogisticRegression()), "fraud", example=X, registry=registry)


def test_cluster_numbers_are_labels(registry: Registry) -> None:
    model = KMeans(2, n_init=1, random_state=0).fit(X)
    push_model(model, "groups", example=X, registry=registry)
    answer = load_model("groups", registry=registry).predict(X)["label"]
    assert answer.tolist() == model.predict(X).tolist()


@pytest.mark.parametrize(
    ("model", "method"),
    [
        (KMeans(2, n_init=1, random_state=0).fit(X), "transform"),
        (IsolationForest(n_estimators=9, random_state=0).fit(X), "decision_function"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_scores_of_clusters_and_outliers_are_verified_too(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, model: Any, method: str
) -> None:
    push_model(model, "scores", example=X, registry=registry)
    answer = load_model("scores", registry=registry).predict(X)["scores"]
    scores = getattr(model, method)(X)
    np.testing.assert_allclose(answer.reshape(scores.shape), scores, atol=1e-5)
    monkeypatch.setattr(model, method, lambda _: scores + 1, raising=False)
    with pytest.raises(FormatError, match="answers differ from the original's"):
        push_model(model, "scores", example=X, registry=registry)


def test_the_columns_of_a_mixed_frame_become_inputs_by_name(registry: Registry) -> None:
    model = mixed_pipeline()
    push_model(model, "fraud", example=FRAME, registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert [str(spec) for spec in loaded.signature.inputs] == [
        "amount FP32[-1, 1]",
        "count INT64[-1, 1]",
        "country BYTES[-1, 1]",
    ]
    rows = FRAME.iloc[:5]
    assert loaded.predict(rows)["label"].tolist() == model.predict(rows).tolist()
    by_name = {name: rows[name].to_numpy() for name in ("country", "count", "amount")}
    assert loaded.predict(by_name)["label"].tolist() == model.predict(rows).tolist()


def test_the_columns_of_a_mixed_frame_may_have_any_name(registry: Registry) -> None:
    names = {"amount": "amount (EUR)", "count": "1st count/day", "country": "country-code"}
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["amount (EUR)", "1st count/day"]),
            ("words", OneHotEncoder(), ["country-code"]),
        ]
    )
    frame = FRAME.rename(columns=names)
    model = make_pipeline(columns, LogisticRegression()).fit(frame, BINARY)
    push_model(model, "fraud", example=frame, registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert [spec.name for spec in loaded.signature.inputs] == list(names.values())
    answers = loaded.predict(frame)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(frame), atol=1e-5)


def test_a_column_with_the_name_of_an_output_is_refused_by_name(registry: Registry) -> None:
    frame = FRAME.rename(columns={"country": "label"})
    columns = ColumnTransformer([("words", OneHotEncoder(), ["label"])])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, BINARY)
    with pytest.raises(FormatError, match="column 'label' has the same name as one of the model's"):
        push_model(model, "fraud", example=frame, registry=registry)


def test_integers_and_floats_may_be_columns_of_one_step(registry: Registry) -> None:
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["count", "amount"]),
            ("words", OneHotEncoder(), ["country"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(FRAME, BINARY)
    push_model(model, "fraud", example=FRAME, registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert [spec.datatype for spec in loaded.signature.inputs] == ["FP32", "FP32", "BYTES"]
    answers = loaded.predict(FRAME)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(FRAME), atol=1e-5)


def test_a_frame_of_numbers_is_one_input(registry: Registry) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = LogisticRegression().fit(frame, BINARY)
    push_model(model, "fraud", example=frame, registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert [str(spec) for spec in loaded.signature.inputs] == ["X FP32[-1, 4]"]
    np.testing.assert_array_equal(loaded.predict(frame)["label"], loaded.predict(X)["label"])


def test_the_columns_of_one_input_are_selected_by_the_names_in_the_example(
    registry: Registry,
) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = LogisticRegression().fit(frame, BINARY)
    push_model(model, "fraud", example=frame, registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert loaded.manifest.options["columns"] == ["a", "b", "c", "d"]
    expected = loaded.predict(X)["probabilities"]
    reordered = loaded.predict(frame[["d", "b", "a", "c"]])["probabilities"]
    np.testing.assert_array_equal(reordered, expected)
    with pytest.raises(InvalidRequestError, match="column 'a' is missing"):
        loaded.predict(frame.rename(columns={"a": "z"}))


def test_an_array_has_no_column_names(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    assert "columns" not in registry.manifest(version.pin).options


def test_an_array_has_the_column_names_that_the_model_was_fitted_on(registry: Registry) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = LinearRegression().fit(frame, NUMBERS)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        version = push_model(model, "fraud", example=X, registry=registry)
    assert registry.manifest(version.pin).options["columns"] == list(frame.columns)
    reversed_columns = frame.iloc[:3, ::-1]
    answers = load_model("fraud", registry=registry).predict(reversed_columns)
    np.testing.assert_allclose(answers["prediction"].ravel(), model.predict(frame[:3]), rtol=1e-4)


def test_the_only_column_of_a_pickled_function_is_selected_by_its_name(registry: Registry) -> None:
    frame = pd.DataFrame({"amount": [1.0, 2.0]})
    version = push_model(
        lambda rows: rows["amount"], "echo", example=frame, format="cloudpickle", registry=registry
    )
    with pytest.raises(InvalidRequestError, match="column 'amount' is missing"):
        load_pinned(version, registry).predict(pd.DataFrame({"age": [1.0]}))


@pytest.mark.parametrize(
    "example", [TEXTS, np.array(TEXTS), np.array(TEXTS, object), pd.Series(TEXTS)]
)
def test_a_text_pipeline_takes_a_list_of_texts(registry: Registry, example: Any) -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, SENTIMENT)
    push_model(model, "mood", example=example, registry=registry)
    loaded = load_model("mood", registry=registry)
    assert (
        loaded.predict(["good", "bad"])["label"].tolist() == model.predict(["good", "bad"]).tolist()
    )


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("activation", ["relu", "logistic", "tanh", "identity"])
@pytest.mark.parametrize("targets", [X[:, 0], X[:, :3]])
def test_a_perceptron_answers_numbers_of_any_number_of_targets(
    registry: Registry, targets: Any, activation: str
) -> None:
    settings: dict[str, Any] = {"activation": activation, "max_iter": 5, "random_state": 0}
    model = MLPRegressor(hidden_layer_sizes=(8, 4), **settings).fit(X, targets)
    push_model(model, "numbers", example=X, registry=registry)
    answers = load_model("numbers", registry=registry).predict(X)["prediction"]
    np.testing.assert_allclose(answers.reshape(targets.shape), model.predict(X), rtol=1e-4)


def test_missing_numbers_stay_missing(registry: Registry) -> None:
    holes = X.copy()
    holes[::3, 0] = np.nan
    model = HistGradientBoostingClassifier(max_iter=3).fit(holes, BINARY)
    push_model(model, "fraud", example=holes, registry=registry)
    answers = load_model("fraud", registry=registry).predict(holes)
    assert answers["label"].tolist() == model.predict(holes).tolist()


def test_the_refusal_is_that_of_the_conversion_with_floats(registry: Registry) -> None:
    steps = [
        ("a", StandardScaler(), ["amount", "count"]),
        ("b", FunctionTransformer(np.rint), ["count"]),
    ]
    model = make_pipeline(ColumnTransformer(steps), LogisticRegression()).fit(FRAME, BINARY)
    with pytest.raises(FormatError, match="FunctionTransformer with func=rint cannot be converted"):
        push_model(model, "mixed", example=FRAME, registry=registry)
