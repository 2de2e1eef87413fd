"""Pushing models: what converts answers as the original does, what does not says why."""

from __future__ import annotations

import itertools
import socket
import uuid
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
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
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.svm import SVC, LinearSVC

from shearling.bundle.digests import digest_of
from shearling.bundle.manifest import Environment, Manifest
from shearling.converters import onnx as onnx_converter
from shearling.converters import sklearn as sklearn_format
from shearling.errors import (
    BundleError,
    EnvironmentMismatchError,
    FormatError,
    InvalidRefError,
    InvalidRequestError,
    ModelNotFoundError,
    RegistryError,
    ReleaseError,
    ShearlingError,
    StoreError,
)
from shearling.formats.base import LoadSettings, load_bundle
from shearling.models.load import LoadedModel, load_model
from shearling.models.model_version import ModelVersion
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from shearling.storage.blobs import blob_key
from tests.support.bundles import ROWS, scaling_bundle, scaling_graph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

#: What skl2onnx is to write at most.
OPSET = {"": 18, "ai.onnx.ml": 3}
RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(60, 4)).astype(np.float32)
BINARY = (X[:, 0] > 0).astype(int)
TWO_LABELS = np.stack([BINARY, (X[:, 1] > 0).astype(int)], axis=1)
NUMBERS = 2 * X[:, 0] + X[:, 1]
WORDS = np.array(["no", "yes"], object)[BINARY]
TEXTS = ["a good day", "a bad day", "so good", "very bad indeed"] * 10
SENTIMENT = [1, 0] * 20
FRAME = pd.DataFrame(
    {"amount": X[:, 0].astype(np.float64), "count": np.arange(60), "country": WORDS}
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's own cache is not what is tested."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def registry() -> Registry:
    return Registry(f"memory://{uuid.uuid4().hex}")


def layers(count: int = 2, width: int = 512) -> onnx.ModelProto:
    """A graph of matrices of 1 MiB each: they become external data."""
    random = np.random.default_rng(1)
    names = ["X", *(f"h{i}" for i in range(count - 1)), "Y"]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [before, f"w{i}"], [after])
            for i, (before, after) in enumerate(itertools.pairwise(names))
        ],
        "layers",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", width])],
        [
            numpy_helper.from_array(
                (random.normal(size=(width, width)) / width).astype(np.float32), f"w{i}"
            )
            for i in range(count)
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


# scikit-learn


def classifier(model: Any, labels: Any = BINARY) -> Any:
    return model.fit(X, labels)


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
    expected = np.stack(model.predict_proba(X), axis=1)  # of rows, targets, classes
    np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)


def test_targets_of_different_numbers_of_classes_are_refused(registry: Registry) -> None:
    labels = np.stack([BINARY, np.arange(60) % 3], axis=1)
    model = RandomForestClassifier(5, random_state=0).fit(X, labels)
    with pytest.raises(FormatError, match=r"different numbers of classes \(2, 3\)"):
        push_model(model, "fraud", example=X, registry=registry)


def test_a_size_that_a_conversion_declares_wrongly_is_left_open(registry: Registry) -> None:
    model = RandomForestRegressor(5, random_state=0).fit(X, X[:, :3])
    push_model(model, "fraud", example=X, registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert loaded.signature.outputs[0].shape == (-1, -1)
    np.testing.assert_allclose(loaded.predict(X)["prediction"], model.predict(X), rtol=1e-4)


def test_trees_after_a_scaler_split_as_the_original(registry: Registry) -> None:
    rows, labels = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)  # on a grid: many values are those that trees split at
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


def test_missing_strings_are_imputed_where_they_are_empty(registry: Registry) -> None:
    frame = FRAME[["country"]].copy()
    frame.loc[::5, "country"] = ""
    fill = SimpleImputer(missing_values="", strategy="most_frequent")
    model = make_pipeline(fill, OneHotEncoder(), LogisticRegression()).fit(frame, BINARY)
    push_model(model, "fraud", example=frame, registry=registry)
    answers = load_model("fraud", registry=registry).predict(frame)
    assert answers["label"].tolist() == model.predict(frame).tolist()


def test_a_target_encoder_is_no_classifier(registry: Registry) -> None:
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
def test_a_vector_is_answered_as_one(registry: Registry, model: Any, output: str) -> None:
    push_model(model, "fraud", example=X[:20], registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert loaded.predict(X)[output].shape == (60,)
    assert {spec.name: spec.shape for spec in loaded.signature.outputs}[output] == (-1,)


def test_a_gaussian_process_is_a_regressor(registry: Registry) -> None:
    model = GaussianProcessRegressor().fit(X, NUMBERS)
    push_model(model, "fraud", example=X[:20], registry=registry)
    answers = load_model("fraud", registry=registry).predict(X)
    np.testing.assert_allclose(answers["prediction"].ravel(), model.predict(X), atol=1e-3)


def test_a_conversion_of_which_nothing_can_be_compared_is_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sklearn_format, "_ask", lambda *_: None)  # as for outputs of other names
    with pytest.raises(FormatError, match="nothing that its conversion could be compared with"):
        push_model(classifier(LogisticRegression()), "fraud", example=X, registry=registry)


def test_texts_are_cut_in_a_locale_that_functions_have_wherever_the_step_is(
    registry: Registry, cache: Path
) -> None:
    frame = pd.DataFrame({"text": TEXTS, "length": [float(len(text)) for text in TEXTS]})
    texts = ColumnTransformer([("text", TfidfVectorizer(), "text")], remainder="passthrough")
    model = GridSearchCV(make_pipeline(texts, LogisticRegression()), {}, cv=2)
    push_model(model.fit(frame, SENTIMENT), "mood", example=frame, registry=registry)
    load_model("mood", registry=registry)
    graph = blob_graph(registry.manifest(registry.resolve("mood")), cache)
    (normalizer,) = [node for node in graph.graph.node if node.op_type == "StringNormalizer"]
    assert {a.name: a.s for a in normalizer.attribute}["locale"] == b"C.UTF-8"


def test_clusters_are_labels(registry: Registry) -> None:
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
def test_the_scores_of_clusters_and_outliers_are_proven_too(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, model: Any, method: str
) -> None:
    push_model(model, "scores", example=X, registry=registry)
    answer = load_model("scores", registry=registry).predict(X)["scores"]
    scores = getattr(model, method)(X)
    np.testing.assert_allclose(answer.reshape(scores.shape), scores, atol=1e-5)
    monkeypatch.setattr(model, method, lambda _: scores + 1, raising=False)
    with pytest.raises(FormatError, match="does not answer as the original does"):
        push_model(model, "scores", example=X, registry=registry)


def mixed_pipeline() -> Any:
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["amount", "count"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["country"]),
        ]
    )
    return Pipeline([("columns", columns), ("model", LogisticRegression())]).fit(FRAME, WORDS)


def torch_module() -> object:
    """A model of PyTorch by all that is looked at; PyTorch itself is a gigabyte."""
    module = type("Module", (), {"__module__": "torch.nn.modules.module"})
    return type("Net", (module,), {})()


def test_the_columns_of_a_mixed_frame_are_inputs_by_name(registry: Registry) -> None:
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
    with pytest.raises(FormatError, match="column 'label' has the name of one of the model's out"):
        push_model(model, "fraud", example=frame, registry=registry)


def test_integers_and_floats_may_stand_beside_each_other_in_one_step(registry: Registry) -> None:
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


def test_the_columns_of_one_input_are_taken_by_the_names_of_the_example(
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


def test_no_names_are_kept_of_an_array(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    assert "columns" not in registry.manifest(version.pin).options


def test_the_only_column_of_a_pickled_function_is_taken_by_its_name(registry: Registry) -> None:
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


def test_missing_numbers_stay_missing(registry: Registry) -> None:
    holes = X.copy()
    holes[::3, 0] = np.nan
    model = HistGradientBoostingClassifier(max_iter=3).fit(holes, BINARY)
    push_model(model, "fraud", example=holes, registry=registry)
    answers = load_model("fraud", registry=registry).predict(holes)
    assert answers["label"].tolist() == model.predict(holes).tolist()


# ONNX


def test_a_graph_and_its_file_are_the_same_bundle(registry: Registry, tmp_path: Path) -> None:
    onnx.save(scaling_graph(), tmp_path / "model.onnx")
    pins = {
        push_model(model, "fraud", example=ROWS, registry=registry).pin
        for model in (scaling_graph(), tmp_path / "model.onnx", str(tmp_path / "model.onnx"))
    }
    assert len(pins) == 1
    answers = load_model("fraud", registry=registry).predict(ROWS)
    np.testing.assert_array_equal(answers["Y"], 2 * ROWS)


def test_large_weights_become_external_data_named_by_their_digest(
    registry: Registry, cache: Path
) -> None:
    example = np.ones((2, 512), np.float32)
    push_model(layers(), "large", example=example, registry=registry)
    loaded = load_model("large", registry=registry)
    entry, weights, _ = loaded.manifest.files
    assert weights.path == weights.hex
    assert weights.size > 100 * entry.size
    graph = onnx.load(
        str(cache / "shearling" / "blobs" / "sha256" / entry.hex), load_external_data=False
    )
    locations = {
        item.value
        for tensor in graph.graph.initializer
        for item in tensor.external_data
        if item.key == "location"
    }
    assert locations == {weights.hex}
    expected = example
    for tensor in layers().graph.initializer:
        expected = expected @ numpy_helper.to_array(tensor)
    np.testing.assert_allclose(loaded.predict(example)["Y"], expected, rtol=1e-4, atol=1e-6)


def test_external_data_beside_a_file_is_the_same_bundle_as_one_file(
    registry: Registry, tmp_path: Path
) -> None:
    example = np.ones((2, 512), np.float32)
    whole = push_model(layers(), "large", example=example, registry=registry)
    onnx.save(layers(), tmp_path / "m.onnx", save_as_external_data=True, location="somewhere.data")
    beside = push_model(tmp_path / "m.onnx", "large", example=example, registry=registry)
    assert beside.pin == whole.pin
    assert beside.uploaded_bytes == 0


def branches(width: int = 512) -> onnx.ModelProto:
    """A graph whose weights are all inside of its two branches, 1 MiB each."""
    random = np.random.default_rng(2)

    def branch(kind: str) -> onnx.GraphProto:
        weights = (random.normal(size=(width, width)) / width).astype(np.float32)
        output = helper.make_tensor_value_info(kind, TensorProto.FLOAT, ["rows", width])
        held = numpy_helper.from_array(weights, f"{kind}_weights")
        product = helper.make_node("MatMul", ["X", held.name], [kind])
        if kind == "no":
            return helper.make_graph([product], kind, [], [output], [held])
        constant = helper.make_node("Constant", [], [held.name], value=held)
        return helper.make_graph([constant, product], kind, [], [output])

    choice = helper.make_node(
        "If", ["is_yes"], ["Y"], then_branch=branch("yes"), else_branch=branch("no")
    )
    graph = helper.make_graph(
        [choice],
        "branches",
        [
            helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", width]),
            helper.make_tensor_value_info("is_yes", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", width])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_weights_inside_of_branches_are_external_data_too(registry: Registry) -> None:
    rows = np.random.default_rng(3).normal(size=(2, 512)).astype(np.float32)
    for answer in (True, False):
        push_model(
            branches(), "choice", example={"X": rows, "is_yes": np.array(answer)}, registry=registry
        )
    loaded = load_model("choice", registry=registry)
    entry, weights, _ = loaded.manifest.files
    assert weights.size == 2 * 512 * 512 * 4
    assert entry.size < 10_000
    assert loaded.manifest.options["opset"] == {"ai.onnx": 17}
    yes = loaded.predict({"X": rows, "is_yes": np.array(True)})["Y"]
    no = loaded.predict({"X": rows, "is_yes": np.array(False)})["Y"]
    assert not np.allclose(yes, no)


def test_external_data_of_branches_beside_a_file_is_the_same_bundle_as_one_file(
    registry: Registry, tmp_path: Path
) -> None:
    example = {"X": np.ones((2, 512), np.float32), "is_yes": np.array(True)}
    whole = push_model(branches(), "choice", example=example, registry=registry)
    onnx.save(
        branches(),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="somewhere.data",
        convert_attribute=True,
    )
    assert (tmp_path / "m.onnx").stat().st_size < 10_000
    beside = push_model(tmp_path / "m.onnx", "choice", example=example, registry=registry)
    assert beside.pin == whole.pin


def test_weights_inside_of_branches_count_when_packing_is_decided(
    monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.setattr(onnx_converter, "MAPPED_BYTES", 1_500_000)
    example = {"X": np.ones((2, 512), np.float32), "is_yes": np.array(True)}
    version = push_model(branches(), "choice", example=example, registry=registry)
    assert registry.manifest(version.pin).options["prepack"] is False


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (scaling_graph, ROWS),
        (layers, np.ones((1, 512), np.float32)),
        (lambda: classifier(LogisticRegression()), X),
        (lambda: classifier(KNeighborsClassifier()), X),
        (lambda: classifier(HistGradientBoostingClassifier(max_iter=3, random_state=0)), X),
        (mixed_pipeline, FRAME),
    ],
    ids=["graph", "external", "logistic", "neighbours", "boosting", "pipeline"],
)
def test_a_second_push_of_the_same_model_uploads_nothing(
    registry: Registry, model: Callable[[], Any], example: Any
) -> None:
    first = push_model(model(), "fraud", example=example, registry=registry)
    before = sorted(registry.store.keys(""))
    again = push_model(model(), "fraud", example=example, registry=registry)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.uploaded_bytes == 0
    assert again.pin == first.pin
    assert sorted(registry.store.keys("")) == before


def test_a_model_that_was_retrained_is_a_new_version(registry: Registry) -> None:
    push_model(scaling_graph(2.0), "fraud", example=ROWS, registry=registry)
    other = push_model(scaling_graph(3.0), "fraud", example=ROWS, registry=registry)
    assert (other.version, other.is_new) == (2, True)


def test_a_graph_that_an_older_onnx_runtime_can_run_is_loaded_by_it(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    rewrite(registry, version, b'"onnxruntime":"', b'"onnxruntime":"9')
    np.testing.assert_array_equal(
        load_model("fraud", registry=registry).predict(ROWS)["Y"], 2 * ROWS
    )


@pytest.mark.parametrize(
    ("ir", "opsets", "reason"),
    [
        (99, {"": 17}, "Unsupported model IR version: 99"),
        (8, {"": 999}, r"Opset 999 .* for domain ai\.onnx is till"),
        (8, {"": 17, "ai.onnx.ml": 99}, r"Opset 99 .* for domain ai\.onnx\.ml is till"),
    ],
    ids=["ir", "opset", "other-opset"],
)
def test_a_graph_that_an_older_onnx_runtime_cannot_run_is_refused_with_the_reason(
    tmp_path: Path, ir: int, opsets: dict[str, int], reason: str
) -> None:
    graph = scaling_graph()
    graph.ir_version = ir
    del graph.opset_import[:]
    graph.opset_import.extend(helper.make_opsetid(*each) for each in opsets.items())
    bundle = scaling_bundle(tmp_path)
    name = bundle.manifest.file("model.onnx").hex
    (tmp_path / name).write_bytes(graph.SerializeToString())
    options = {**bundle.manifest.options, "onnxruntime": "99.1.0"}
    with pytest.raises(FormatError, match=reason) as caught:
        load_bundle(replace(bundle.manifest, options=options), tmp_path, LoadSettings())
    assert f"this is ONNX Runtime {onnxruntime.__version__}" in str(caught.value)
    assert "package with 99.1.0 or newer" in str(caught.value)
    assert "onnxruntime_src" not in str(caught.value)


def test_a_graph_asks_for_no_more_than_it_uses(registry: Registry, cache: Path) -> None:
    push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    manifest = load_model("fraud", registry=registry).manifest
    graph = blob_graph(manifest, cache)
    assert [(each.domain, each.version) for each in graph.opset_import] == [("", 17)]
    assert manifest.options["opset"] == {"ai.onnx": 17}


def blob_graph(manifest: Manifest, cache: Path) -> onnx.ModelProto:
    path = cache / "shearling" / "blobs" / "sha256" / manifest.file(manifest.entry).hex
    return onnx.load(str(path), load_external_data=False)


def test_a_format_of_the_future_is_refused_by_name(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    rewrite(registry, version, b'"format":"onnx"', b'"format":"wasm"')
    with pytest.raises(FormatError, match="format 'wasm' is not one of onnx, cloudpickle: upgrade"):
        load_model("fraud", registry=registry)


def rewrite(registry: Registry, version: ModelVersion, old: bytes, new: bytes) -> str:
    """Commit the version's manifest again with a change in it, as another Shearling might."""
    data = registry.store.read(blob_key(version.digest.removeprefix("sha256:")))
    assert data is not None
    assert old in data
    return commit(registry, version.model, data.replace(old, new))


# The example and what is recorded


def test_the_first_rows_are_published_and_all_prove_the_conversion(
    registry: Registry, cache: Path
) -> None:
    from shearling.bundle.example import Example

    push_model(classifier(LogisticRegression()), "fraud", example=X, registry=registry)
    manifest = load_model("fraud", registry=registry).manifest
    blob = cache / "shearling" / "blobs" / "sha256" / manifest.file(manifest.example.path).hex
    example = Example.from_bytes(blob.read_bytes())
    np.testing.assert_array_equal(example.inputs["X"], X[:8])
    assert example.outputs["label"].shape == (8,)


def test_metadata_is_of_the_model_and_measurements_are_of_the_push(registry: Registry) -> None:
    version = push_model(
        scaling_graph(), "fraud", example=ROWS, metadata={"auc": 0.5}, registry=registry
    )
    assert registry.manifest(version.pin).metadata == {"auc": "0.5"}
    details = registry.version(version.pin).details
    assert details["size_bytes"] == version.size_bytes
    assert details["pushed_by"]
    assert details["load_ms"] >= 0


def test_a_scalar_answer_is_one(registry: Registry) -> None:
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["X"], ["total"], keepdims=0)],
        "total",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor_value_info("total", TensorProto.FLOAT, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    push_model(model, "total", example=np.ones(3, np.float32), registry=registry)
    answer = load_model("total", registry=registry).predict(np.ones(5, np.float32))
    assert answer["total"] == 5.0


# What is refused


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
    assert "Nothing is published" in str(caught.value)
    assert registry.models() == []


def answers_small_rows_only(model: LogisticRegression) -> LogisticRegression:
    """Have a model answer otherwise than its conversion, but for the example's few rows."""
    original = model.predict_proba

    def predict_proba(rows: NDArray[Any]) -> NDArray[Any]:
        answers: NDArray[Any] = original(rows)
        return answers if len(rows) <= 20 else answers[:, ::-1]

    model.predict_proba = predict_proba
    return model


def test_rows_beyond_the_example_that_are_answered_otherwise_are_warned_of(
    registry: Registry,
) -> None:
    model = answers_small_rows_only(LogisticRegression().fit(X, BINARY))
    with pytest.warns(UserWarning, match="but not all rows that mix its values: output proba"):
        push_model(model, "fraud", example=X[:5], registry=registry)
    assert registry.models() == ["fraud"]


def test_classes_that_tie_are_no_difference(registry: Registry) -> None:
    rows, labels = load_breast_cancer(return_X_y=True)
    rows = rows.astype(np.float32)
    # An even number of trees, each sure of its class: some rows are between the two.
    model = RandomForestClassifier(100, random_state=0).fit(rows[:400], labels[:400])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        push_model(model, "fraud", example=rows[400:], registry=registry)
    (spec,) = load_model("fraud", registry=registry).signature.inputs
    assert spec.nullable


def test_rows_of_a_mixed_frame_beyond_the_example_are_asked_for_too(registry: Registry) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        push_model(mixed_pipeline(), "fraud", example=FRAME[:5], registry=registry)


class Shifting:
    """Answers one more after it was pickled."""

    def __reduce__(self) -> Any:
        return (lambda: lambda rows: rows + 1), ()

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows


def test_an_object_that_answers_differently_when_it_is_loaded_is_refused(
    registry: Registry,
) -> None:
    with pytest.raises(
        FormatError,
        match=r"\[0, 0\] is 2\.0, expected 1\.0 \(6 of 6 values differ\)\. Nothing is published",
    ) as caught:
        push_model(Shifting(), "odd", example=ROWS, format="cloudpickle", registry=registry)
    assert "ONNX" not in str(caught.value)
    assert registry.models() == []


def test_a_wider_tolerance_lets_a_difference_through(registry: Registry) -> None:
    version = push_model(
        Shifting(), "odd", example=ROWS, format="cloudpickle", atol=5.0, registry=registry
    )
    assert registry.manifest(version.pin).example.atol == 5.0


@pytest.mark.parametrize("tolerance", [-1.0, float("inf"), float("nan")])
def test_a_tolerance_that_no_reader_takes_is_refused(registry: Registry, tolerance: float) -> None:
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


def test_to_wait_where_nothing_serves_the_alias_is_refused_and_publishes_nothing(
    registry: Registry,
) -> None:
    with pytest.raises(ReleaseError, match=r"no function serves fraud:prod.*terraform apply"):
        push_model(
            scaling_graph(), "fraud", example=ROWS, alias="prod", wait=True, registry=registry
        )
    assert not list(registry.store.keys("models"))


def test_a_model_without_inputs_is_refused(registry: Registry) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["Y"])],
        "constant",
        [],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.ones(1, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BundleError, match=r"at least one tensor in 'signature\.inputs'"):
        push_model(model, "constant", example={}, registry=registry)
    assert not list(registry.store.keys("models"))


@pytest.mark.parametrize(
    ("model", "name", "arguments", "error", "message"),
    [
        (scaling_graph(), "Fraud", {}, InvalidRefError, "model 'Fraud': a name has 1 to 48"),
        (scaling_graph(), "", {}, InvalidRefError, "model ''"),
        (scaling_graph(), "fraud", {"alias": "latest"}, InvalidRefError, "alias 'latest'"),
        (scaling_graph(), "fraud", {"wait": True}, RegistryError, "pass alias=... with it"),
        (scaling_graph(), "fraud", {"format": "joblib"}, FormatError, "expected 'onnx' or 'cloud"),
        (scaling_graph(), "fraud", {"requirements": ["a==1"]}, FormatError, "ONNX needs none"),
        (scaling_graph(), "fraud", {"metadata": {"a": {1}}}, BundleError, "metadata.a"),
        (
            scaling_graph(),
            "fraud",
            {"example": np.ones((2, 3))},
            InvalidRequestError,
            "input 'X'.shape: [2, 3] does not fit [-1, 2]",
        ),
        (
            scaling_graph(),
            "fraud",
            {"example": {"Z": ROWS}},
            InvalidRequestError,
            "missing X FP32[-1, 2]",
        ),
        (
            scaling_graph(),
            "fraud",
            {"example": {"X": ROWS, "Z": ROWS}},
            InvalidRequestError,
            "'Z' is not an input of the model; it takes X FP32[-1, 2]",
        ),
        (
            scaling_graph(),
            "fraud",
            {"example": [["a", "b"]]},
            InvalidRequestError,
            "input 'X': 'a' at [0, 0] is not a number",
        ),
        (
            classifier(LogisticRegression()),
            "fraud",
            {"example": X[:, :2]},
            InvalidRequestError,
            "the model was fitted on 4 columns",
        ),
        (LogisticRegression(), "fraud", {"example": X}, FormatError, "is not fitted: call its fit"),
        (
            LogisticRegression,
            "fraud",
            {"example": X},
            FormatError,
            "model: LogisticRegression is a class: push an instance",
        ),
        (scaling_graph(), None, {}, InvalidRefError, "name None is not a string"),
        (scaling_graph(), 5, {}, InvalidRefError, "name 5 is not a string"),
        (scaling_graph(), "fraud", {"alias": 5}, InvalidRefError, "alias 5 is not a string"),
        (scaling_graph(), "fraud", {"metadata": [1]}, BundleError, "[1] is not a dict"),
        (
            scaling_graph(),
            "fraud",
            {"metadata": {"note": ["\ud800"]}},
            BundleError,
            "'\\ud800' is half a character, which UTF-8 cannot write in \"metadata.'note'\"",
        ),
        (scaling_graph(), "fraud", {"rtol": "x"}, InvalidRequestError, "rtol 'x' is not a finite"),
        (scaling_graph(), "fraud", {"atol": -1}, InvalidRequestError, "atol -1 is not a finite"),
        (scaling_graph(), "fraud", {"example": None}, InvalidRequestError, "None is no rows"),
        (
            scaling_graph(),
            "fraud",
            {"example": ROWS[:0]},
            InvalidRequestError,
            "example has no rows: it has shape [0, 2]",
        ),
        (
            lambda rows: rows,
            "fraud",
            {"format": "cloudpickle", "example": ROWS[:0]},
            InvalidRequestError,
            "example has no rows",
        ),
        (
            classifier(LogisticRegression()),
            "fraud",
            {"example": [[1, 2, 3, 4], [1, 2]]},
            InvalidRequestError,
            "example: rows of different lengths",
        ),
        (
            classifier(LogisticRegression()),
            "fraud",
            {"example": OneHotEncoder().fit_transform(X)},
            InvalidRequestError,
            "example: a csr_matrix is sparse, and a tensor is not: pass its .toarray()",
        ),
        (
            classifier(LogisticRegression()),
            "fraud",
            {"example": {"X": X}},
            InvalidRequestError,
            "'X' has shape [60, 4], and a dict has one column an entry: pass the array itself",
        ),
        (
            mixed_pipeline(),
            "fraud",
            {"example": FRAME.assign(country=np.array([None, *WORDS[1:]], object))},
            InvalidRequestError,
            "input 'country': row 0 is nan: a string has no missing values: fill them first, as by",
        ),
        (
            lambda frame: frame["country"],
            "fraud",
            {
                "format": "cloudpickle",
                "example": FRAME.assign(country=np.array([*WORDS[1:], None], object)),
            },
            InvalidRequestError,
            "example 'country': row 59 is nan: a string has no missing values: fill them",
        ),
        (
            DummyClassifier().fit(X, BINARY),
            "fraud",
            {"example": X},
            FormatError,
            "DummyClassifier does not convert to ONNX: skl2onnx knows no DummyClassifier - convert",
        ),
        (
            TunedThresholdClassifierCV(LogisticRegression(), cv=2).fit(X, BINARY),
            "fraud",
            {"example": X[:1]},
            FormatError,
            "does not convert to ONNX: push its estimator_, and hold its probabilities to the",
        ),
        (
            HistGradientBoostingClassifier(max_iter=3, categorical_features=[4]).fit(
                np.c_[X, np.arange(60) % 3], BINARY
            ),
            "fraud",
            {"example": np.c_[X, np.arange(60) % 3][:1]},
            FormatError,
            "with categorical_features does not convert to ONNX: encode them in a pipeline",
        ),
        (
            make_pipeline(
                SimpleImputer(strategy="most_frequent"), OneHotEncoder(), LogisticRegression()
            ).fit(FRAME[["country"]], BINARY),
            "fraud",
            {"example": FRAME[["country"]]},
            FormatError,
            "and fit with SimpleImputer(missing_values='', ...)",
        ),
        (
            make_pipeline(FunctionTransformer(np.abs), LogisticRegression()).fit(X, BINARY),
            "fraud",
            {"example": X},
            FormatError,
            "or pass format='cloudpickle'",
        ),
        (
            mixed_pipeline(),
            "fraud",
            {"example": FRAME.rename(columns={"country": "land"})},
            InvalidRequestError,
            "columns missing country and unknown land; the model was fitted on amount, count, coun",
        ),
        (object(), "fraud", {}, FormatError, "object has no conversion to ONNX here: convert it"),
        (
            torch_module(),
            "fraud",
            {},
            FormatError,
            "Net has no conversion to ONNX here: write",
        ),
        ("no-such-file.onnx", "fraud", {}, FormatError, "there is no file no-such-file.onnx"),
        ("model.joblib", "fraud", {}, FormatError, "model.joblib: the path of a model is that of"),
        (
            object(),
            "fraud",
            {"format": "cloudpickle"},
            FormatError,
            "has no `predict` and is not callable",
        ),
        (
            lambda rows: [object()],  # noqa: ARG005 - it is called with rows
            "fraud",
            {"format": "cloudpickle"},
            FormatError,
            "output 'output' is object, which is no tensor",
        ),
        (
            lambda rows: np.array([b"raw"]),  # noqa: ARG005
            "fraud",
            {"format": "cloudpickle"},
            FormatError,
            "output 'output' is |S3, which is no tensor",
        ),
        (
            lambda rows: rows.nothing,
            "fraud",
            {"format": "cloudpickle"},
            FormatError,
            "the model fails on the example: AttributeError",
        ),
        (
            lambda rows: rows,
            "fraud",
            {"format": "cloudpickle", "requirements": ["numpy>=2"]},
            FormatError,
            "'numpy>=2' is not pinned",
        ),
        (
            lambda rows: rows,
            "fraud",
            {"format": "cloudpickle", "example": np.array([1 + 2j])},
            FormatError,
            "example 'X' is complex128, which is no tensor",
        ),
    ],
)
def test_what_cannot_be_pushed_is_refused_clearly_and_nothing_is_published(
    registry: Registry,
    model: Any,
    name: str,
    arguments: dict[str, Any],
    *,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error) as caught:
        push_model(model, name, **{"example": ROWS, "registry": registry, **arguments})
    assert message in str(caught.value)
    assert not list(registry.store.keys("models"))


def test_what_cannot_be_pickled_says_so(registry: Registry) -> None:
    lock = socket.socket()
    with lock, pytest.raises(FormatError, match="cannot be pickled"):
        push_model(
            lambda rows: rows if lock else None,
            "fraud",
            example=ROWS,
            format="cloudpickle",
            registry=registry,
        )


def echo_graph(*shape: int | str) -> onnx.ModelProto:
    """A graph that answers with its input."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["X"], ["Y"])],
        "echo",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("rows", [1, "rows"])
def test_an_example_that_runs_at_every_start_must_be_small(
    registry: Registry, rows: int | str
) -> None:
    with pytest.raises(InvalidRequestError, match=r"example: 16\.0 MB with its answers"):
        push_model(
            echo_graph(rows, 2_000_000), "echo", example=np.ones((1, 2_000_000)), registry=registry
        )


def test_of_large_rows_fewer_are_published(registry: Registry) -> None:
    images = np.ones((8, 300_000), np.float32)
    push_model(echo_graph("rows", 300_000), "images", example=images, registry=registry)
    manifest = registry.manifest(registry.resolve("images"))
    size = manifest.file(manifest.example.path).size
    assert size == pytest.approx(2 * images[:1].nbytes, rel=0.01)  # the row and its answer


def test_an_output_of_several_tensors_is_called_that(registry: Registry) -> None:
    original = MultiOutputClassifier(LogisticRegression()).fit(X, TWO_LABELS)
    model = skl2onnx.to_onnx(original, X, options={"zipmap": False}, target_opset=OPSET)
    with pytest.raises(
        FormatError, match=r"is a seq\(tensor\(float\)\), .* several in one"
    ) as caught:
        push_model(model, "fraud", example=X, registry=registry)
    assert "ZipMap" not in str(caught.value)


def test_a_map_is_left_out_by_a_conversion_without_zipmap(registry: Registry) -> None:
    model = skl2onnx.to_onnx(classifier(LogisticRegression()), X, target_opset=OPSET)
    with pytest.raises(FormatError, match="without ZipMap"):
        push_model(model, "fraud", example=X, registry=registry)


def test_a_model_that_fails_on_its_example_says_so(registry: Registry) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "w"], ["Y"])],
        "loose",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", "columns"])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(np.ones((2, 1), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(FormatError, match="the model fails on the example: "):
        push_model(model, "loose", example=np.ones((2, 3)), registry=registry)


def test_what_is_no_onnx_file_says_so(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("no graph")
    with pytest.raises(FormatError, match="ONNX Runtime cannot load the model"):
        push_model(tmp_path / "model.onnx", "fraud", example=ROWS, registry=registry)


def test_a_registry_that_cannot_be_reached_is_said_before_the_work(
    monkeypatch: pytest.MonkeyPatch, aws_environment: dict[str, str]
) -> None:
    assert aws_environment
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(StoreError, match="cannot list models in s3://nowhere/at-all"):
            push_model(object(), "fraud", example=X, registry="s3://nowhere/at-all")


# Aliases


def test_a_push_with_an_alias_names_the_version_by_it_once(registry: Registry) -> None:
    first = push_model(scaling_graph(), "fraud", example=ROWS, alias="prod", registry=registry)
    assert first.alias == "prod"
    push_model(scaling_graph(), "fraud", example=ROWS, alias="prod", registry=registry)
    push_model(scaling_graph(3.0), "fraud", example=ROWS, alias="prod", registry=registry)
    assert [entry.version for entry in registry.history("fraud", "prod")] == [1, 2]


# Pickles


def test_a_function_is_pushed_with_the_environment_it_needs(registry: Registry) -> None:
    version = push_model(
        lambda rows: np.asarray(rows).sum(axis=1),
        "total",
        example=X,
        format="cloudpickle",
        registry=registry,
    )
    environment = registry.manifest(version.pin).environment
    assert environment is not None
    assert f"numpy=={np.__version__}" in environment.requirements
    assert f"cloudpickle=={cloudpickle.__version__}" in environment.requirements
    assert not any(each.startswith("shearling") for each in environment.requirements)
    loaded = load_pinned(version, registry)
    np.testing.assert_allclose(loaded.predict(X)["output"], X.sum(axis=1), rtol=1e-6)


def test_a_pickle_that_no_function_can_run_is_published_with_a_warning(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shearling.models.push.OLDEST_ON_AWS", (3, 99))
    with pytest.warns(UserWarning, match=r"a pickle of Python 3\.\d+ runs on no function of AWS"):
        pushed_pickle(registry)
    assert registry.models() == ["echo"]


def test_a_pickle_that_functions_can_run_is_published_without_a_warning(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shearling.models.push.OLDEST_ON_AWS", (3, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pushed_pickle(registry)


def test_an_object_with_predict_answers_by_name(registry: Registry) -> None:
    class Model:
        def predict(self, rows: NDArray[Any]) -> dict[str, Any]:
            return {"double": rows * 2, "kind": ["big" if row[0] > 0 else "small" for row in rows]}

    version = push_model(Model(), "both", example=X, format="cloudpickle", registry=registry)
    loaded = load_pinned(version, registry)
    assert [str(spec) for spec in loaded.signature.outputs] == [
        "double FP32[-1, 4]",
        "kind BYTES[-1]",
    ]
    answers = loaded.predict(X[:3])
    np.testing.assert_array_equal(answers["double"], X[:3] * 2)
    assert set(answers["kind"]) <= {"big", "small"}


def test_a_function_of_a_frame_gets_a_frame(registry: Registry) -> None:
    version = push_model(
        lambda frame: frame["amount"].where(frame["country"] == "yes", 0.0),
        "filter",
        example=FRAME,
        format="cloudpickle",
        registry=registry,
    )
    answer = load_pinned(version, registry).predict(FRAME.iloc[:4])["output"]
    wanted = FRAME["amount"].where(FRAME["country"] == "yes", 0.0)[:4]
    np.testing.assert_array_equal(answer, wanted)


def test_a_pickled_classifier_gives_its_probabilities_too(registry: Registry) -> None:
    model = classifier(LogisticRegression())
    version = push_model(model, "fraud", example=X, format="cloudpickle", registry=registry)
    answers = load_pinned(version, registry).predict(X)
    np.testing.assert_array_equal(answers["label"], model.predict(X))
    np.testing.assert_array_equal(answers["probabilities"], model.predict_proba(X))
    environment = registry.manifest(version.pin).environment
    assert environment is not None
    names = {each.partition("==")[0] for each in environment.requirements}
    assert {"scikit-learn", "scipy", "joblib", "threadpoolctl", "numpy"} <= names


def pushed_pickle(registry: Registry) -> ModelVersion:
    return push_model(
        lambda rows: rows, "echo", example=ROWS, format="cloudpickle", registry=registry
    )


def load_pinned(version: ModelVersion, registry: Registry) -> LoadedModel:
    return load_model(str(version.pin), allow_pickle=True, registry=registry)


def test_a_pickle_is_refused_unless_it_is_allowed(registry: Registry) -> None:
    version = pushed_pickle(registry)
    with pytest.raises(FormatError, match="is a pickle, which runs code when it is loaded: allow"):
        load_model(str(version.pin), registry=registry)


@pytest.mark.parametrize("ref", ["echo", "echo:1", "echo:prod"])
def test_a_pickle_is_refused_unless_it_is_pinned(registry: Registry, ref: str) -> None:
    version = pushed_pickle(registry)
    registry.set_alias("echo", "prod", 1)
    with pytest.raises(FormatError) as caught:
        load_model(ref, allow_pickle=True, registry=registry)
    assert f"load_model({str(version.pin)!r}, allow_pickle=True)" in str(caught.value)


def test_a_refused_pickle_has_run_no_code(registry: Registry, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    class Loud:
        def __reduce__(self) -> Any:
            return (lambda path: path.touch() or (lambda rows: rows)), (trace,)

        def __call__(self, rows: Any) -> Any:
            return rows

    version = push_model(Loud(), "loud", example=ROWS, format="cloudpickle", registry=registry)
    assert trace.exists()  # the push proves it by loading it
    trace.unlink()
    with pytest.raises(FormatError):
        load_model(str(version.pin), registry=registry)
    assert not trace.exists()
    load_pinned(version, registry)
    assert trace.exists()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (Environment(python="3.7", requirements=()), r"needs Python 3\.7 \(this is 3\.\d+\)"),
        (
            Environment(python="", requirements=("numpy==1.0.0",)),
            r"numpy==1\.0\.0 \(here: \d.*\).*: build its function package with `shearling package",
        ),
        (
            Environment(python="", requirements=("no-such-package==1",)),
            r"no-such-package==1 \(here: not installed\)",
        ),
    ],
)
def test_a_pickle_of_another_environment_is_refused_with_the_difference(
    registry: Registry, environment: Environment, message: str
) -> None:
    version = pushed_pickle(registry)
    was = registry.manifest(version.pin)
    assert was.environment is not None
    python = environment.python or was.environment.python
    wanted = Environment(python=python, requirements=environment.requirements)
    pin = recommit(registry, was, wanted)
    with pytest.raises(EnvironmentMismatchError, match=message):
        load_model(pin, allow_pickle=True, registry=registry)


def recommit(registry: Registry, manifest: Manifest, environment: Environment) -> str:
    data = replace(manifest, environment=environment).to_bytes()
    return commit(registry, manifest.model, data)


def commit(registry: Registry, model: str, manifest: bytes) -> str:
    digest = digest_of(manifest)
    registry.store.write(blob_key(digest.removeprefix("sha256:")), manifest)
    number, _ = registry.version_log(model).commit(digest, {})
    return f"{model}:{number}@{digest}"


# Loading


def test_a_blob_that_was_tampered_with_is_not_loaded(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    manifest = registry.manifest(version.pin)
    key = blob_key(manifest.file(manifest.entry).hex)
    data = registry.store.read(key)
    assert data is not None
    registry.store.write(key, bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(BundleError, match=r"model\.onnx .* is not what was pushed"):
        load_model("fraud", registry=registry)


def test_a_model_is_loaded_by_whatever_names_it_and_shows_itself(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, alias="prod", registry=registry)
    for ref in ("fraud", "fraud:1", "fraud:prod", str(version.pin)):
        loaded = load_model(ref, registry=registry)
        assert repr(loaded) == "<fraud:1 (X FP32[-1, 2]) -> (Y FP32[-1, 2])>"
        assert loaded.pin == version.pin
    with pytest.raises(ModelNotFoundError, match="the newest is 1"):
        load_model("fraud:2", registry=registry)


def test_inputs_that_do_not_fit_are_refused_before_the_model_sees_them(registry: Registry) -> None:
    push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    loaded = load_model("fraud", registry=registry)
    with pytest.raises(
        InvalidRequestError, match=r"input 'X'\.shape: \[3\] does not fit \[-1, 2\]"
    ):
        loaded.predict([1, 2, 3])


# What a push shows


def shown(**changes: Any) -> ModelVersion:
    from shearling.refs import Pin

    fields: dict[str, Any] = {
        "pin": Pin("fraud", 7, "sha256:" + "a" * 64),
        "is_new": True,
        "uploaded_bytes": 1_300_000,
        "size_bytes": 12_345_678,
        "format": "onnx",
        "alias": None,
        "registry": "s3://bucket/<prefix>",
    }
    return ModelVersion(**fields | changes)


def test_a_version_shows_itself_in_one_line() -> None:
    assert str(shown()) == "fraud:7 (onnx, 12.3 MB; 1.3 MB uploaded)"
    assert str(shown(is_new=False, uploaded_bytes=0, alias="prod")) == (
        "fraud:7 (onnx, 12.3 MB; the registry has it already, nothing uploaded, alias prod)"
    )


def test_a_version_shows_itself_as_a_table_in_a_notebook() -> None:
    table = shown(alias="prod")._repr_html_()
    assert table.startswith("<table>")
    for text in ("fraud", "<td>7</td>", "prod", "12.3 MB", "sha256:aaa", "s3://bucket/&lt;prefix"):
        assert text in table
    assert "<prefix>" not in table
