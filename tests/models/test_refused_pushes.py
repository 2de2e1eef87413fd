"""A push that must fail is refused with a clear message, and publishes nothing."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC

from shearling.errors import (
    BundleError,
    FormatError,
    InvalidRefError,
    InvalidRequestError,
    RegistryError,
    ReleaseError,
    StoreError,
)
from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph
from tests.support.datasets import (
    BINARY,
    FRAME,
    TWO_LABELS,
    WORDS,
    X,
    classifier,
    echo_graph,
    mixed_pipeline,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shearling.registry.registry import Registry


#: The newest opsets that skl2onnx may write.
OPSET = {"": 18, "ai.onnx.ml": 3}


def keras_model_on_another_backend() -> object:
    """A stand-in, because TensorFlow and JAX are a gigabyte each."""
    model = type("Model", (), {"__module__": "keras.src.models.model"})
    return type("Net", (model,), {})()


def test_waiting_for_an_alias_that_no_function_serves_is_refused_and_publishes_nothing(
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


#: Lists in lists, deeper than Python's own `repr` goes.
NESTED: list[Any] = []
for _ in range(3_000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("model", "name", "arguments", "error", "message"),
    [
        (scaling_graph(), "Fraud", {}, InvalidRefError, "model 'Fraud': a name has 1 to 48"),
        (scaling_graph(), "", {}, InvalidRefError, "model ''"),
        (scaling_graph(), "fraud", {"alias": "latest"}, InvalidRefError, "alias 'latest'"),
        (scaling_graph(), "fraud", {"wait": True}, RegistryError, "pass alias=... too"),
        (scaling_graph(), "fraud", {"format": "joblib"}, FormatError, "expected 'onnx' or 'cloud"),
        (
            scaling_graph(),
            "fraud",
            {"requirements": ["a==1"]},
            FormatError,
            "ONNX models need none",
        ),
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
        (LogisticRegression(), "fraud", {"example": X}, FormatError, "is not fitted: call fit"),
        (
            LogisticRegression,
            "fraud",
            {"example": X},
            FormatError,
            "model: LogisticRegression is a class: push a fitted instance",
        ),
        (scaling_graph(), None, {}, InvalidRefError, "name None is not a string"),
        (scaling_graph(), 5, {}, InvalidRefError, "name 5 is not a string"),
        (scaling_graph(), "fraud", {"alias": 5}, InvalidRefError, "alias 5 is not a string"),
        (scaling_graph(), "fraud", {"metadata": [1]}, BundleError, "[1] is not a dict"),
        (
            scaling_graph(),
            "fraud",
            {"metadata": {"auc": 0.5, "confusion": np.ones((1000, 1000))}},
            BundleError,
            "256.0 kB are allowed",
        ),
        (
            scaling_graph(),
            "fraud",
            {"metadata": {"auc": 0.5, "notes": "é" * 140_000}},
            BundleError,
            "in 'metadata.notes'",
        ),
        (scaling_graph(), "fraud", {"metadata": NESTED}, BundleError, "[...]]]] is not a dict"),
        (
            scaling_graph(),
            "fraud",
            {"metadata": {"note": ["\ud800"]}},
            BundleError,
            "'\\ud800' is a lone surrogate, which UTF-8 cannot encode in 'metadata.note[0]'",
        ),
        (scaling_graph(), "fraud", {"rtol": "x"}, InvalidRequestError, "rtol 'x' is not a finite"),
        (scaling_graph(), "fraud", {"atol": -1}, InvalidRequestError, "atol -1 is not a finite"),
        (scaling_graph(), "fraud", {"example": None}, InvalidRequestError, "example is None"),
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
            "example: the rows have different lengths",
        ),
        (
            classifier(LogisticRegression()),
            "fraud",
            {"example": OneHotEncoder().fit_transform(X)},
            InvalidRequestError,
            "example: sparse data is not supported (csr_matrix): pass its .toarray()",
        ),
        (
            classifier(LogisticRegression()),
            "fraud",
            {"example": {"X": X}},
            InvalidRequestError,
            "'X' has shape [60, 4], but each entry of a dict must be one column: pass an array",
        ),
        (
            mixed_pipeline(),
            "fraud",
            {"example": FRAME.assign(country=np.array([None, *WORDS[1:]], object))},
            InvalidRequestError,
            "input 'country': row 0 is nan, but inputs of strings accept no missing values: fill",
        ),
        (
            lambda frame: frame["country"],
            "fraud",
            {
                "format": "cloudpickle",
                "example": FRAME.assign(country=np.array([*WORDS[1:], None], object)),
            },
            InvalidRequestError,
            "example 'country': row 59 is nan, but inputs of strings accept no missing values",
        ),
        (
            LabelSpreading().fit(X, BINARY),
            "fraud",
            {"example": X},
            FormatError,
            "cannot be converted to ONNX: skl2onnx has no converter for LabelSpreading. You can",
        ),
        (
            TunedThresholdClassifierCV(LogisticRegression(), cv=2).fit(X, BINARY),
            "fraud",
            {"example": X[:1]},
            FormatError,
            "cannot be converted to ONNX: push its estimator_, and compare the probabilities",
        ),
        (
            HistGradientBoostingClassifier(max_iter=3, categorical_features=[4]).fit(
                np.c_[X, np.arange(60) % 3], BINARY
            ),
            "fraud",
            {"example": np.c_[X, np.arange(60) % 3][:1]},
            FormatError,
            "with categorical_features cannot be converted to ONNX: encode the columns in a",
        ),
        (
            make_pipeline(FunctionTransformer(np.rint), LogisticRegression()).fit(X, BINARY),
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
        (object(), "fraud", {}, FormatError, "no converter to ONNX for object: convert it"),
        (
            keras_model_on_another_backend(),
            "fraud",
            {},
            FormatError,
            'for Net: export it with model.export("model.onnx", format="onnx") and push the file',
        ),
        ("no-such-file.onnx", "fraud", {}, FormatError, "file no-such-file.onnx does not exist"),
        ("model.joblib", "fraud", {}, FormatError, "model.joblib is not an ONNX file"),
        ("model.pt", "fraud", {}, FormatError, "model.pt is not an ONNX file: load the model"),
        (
            LogisticRegression().fit(X, BINARY),
            "fraud",
            {"example": X, "dynamic": {"X": {1: "columns"}}},
            FormatError,
            "dynamic applies to PyTorch and Keras models only: leave it out",
        ),
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
            "output 'output' has type object: expected numbers",
        ),
        (
            lambda rows: np.array([b"raw"]),  # noqa: ARG005
            "fraud",
            {"format": "cloudpickle"},
            FormatError,
            "output 'output' has type |S3: expected numbers",
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
            "example 'X' has type complex128: expected numbers",
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


@pytest.mark.parametrize("settings", [{}, {"n_estimators": 3}, {"max_features": 2}], ids=str)
def test_a_conversion_without_an_answer_for_each_row_is_refused(
    registry: Registry, settings: dict[str, Any]
) -> None:
    classes = BINARY + (X[:, 1] > 0)
    model = BaggingClassifier(SVC(), random_state=0, **settings).fit(X, classes)
    with pytest.raises(FormatError, match=r"has shape \[.*The converter does not know the model"):
        push_model(model, "votes", example=X, registry=registry)
    assert not list(registry.store.keys("models"))


@pytest.mark.parametrize("columns", [np.asarray, np.ndarray.tolist])
def test_columns_of_different_lengths_are_refused_by_name(
    registry: Registry, columns: Callable[[Any], Any]
) -> None:
    example = {name: columns(X[:, place]) for place, name in enumerate("abcd")}
    example["b"] = columns(X[:5, 1])
    with pytest.raises(InvalidRequestError) as caught:
        push_model(classifier(LogisticRegression()), "fraud", example=example, registry=registry)
    assert f"numbers of rows ('a' has {len(X)}, 'b' has 5, 'c' has" in str(caught.value)


def test_an_object_that_cannot_be_pickled_is_refused(registry: Registry) -> None:
    lock = socket.socket()
    with lock, pytest.raises(FormatError, match="cannot be pickled"):
        push_model(
            lambda rows: rows if lock else None,
            "fraud",
            example=ROWS,
            format="cloudpickle",
            registry=registry,
        )


@pytest.mark.parametrize("rows", [1, "rows"])
def test_an_example_that_runs_at_every_start_must_be_small(
    registry: Registry, rows: int | str
) -> None:
    with pytest.raises(InvalidRequestError, match=r"example: 16\.0 MB with its answers"):
        push_model(
            echo_graph(rows, 2_000_000), "echo", example=np.ones((1, 2_000_000)), registry=registry
        )


def test_an_output_of_several_tensors_is_refused_with_that_reason(registry: Registry) -> None:
    original = MultiOutputClassifier(LogisticRegression()).fit(X, TWO_LABELS)
    model = skl2onnx.to_onnx(original, X, options={"zipmap": False}, target_opset=OPSET)
    with pytest.raises(
        FormatError, match=r"has type seq\(tensor\(float\)\), .* several tensors"
    ) as caught:
        push_model(model, "fraud", example=X, registry=registry)
    assert "ZipMap" not in str(caught.value)


def test_an_output_that_is_a_map_is_refused_with_the_hint_to_zipmap(registry: Registry) -> None:
    model = skl2onnx.to_onnx(classifier(LogisticRegression()), X, target_opset=OPSET)
    with pytest.raises(FormatError, match="without ZipMap"):
        push_model(model, "fraud", example=X, registry=registry)


def test_a_model_that_fails_on_its_example_is_refused(registry: Registry) -> None:
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


def test_a_file_that_is_not_onnx_is_refused(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("no graph")
    with pytest.raises(FormatError, match="ONNX Runtime cannot load the model"):
        push_model(tmp_path / "model.onnx", "fraud", example=ROWS, registry=registry)


def test_an_unreachable_registry_is_reported_before_the_conversion(
    monkeypatch: pytest.MonkeyPatch, aws_environment: dict[str, str]
) -> None:
    assert aws_environment
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(StoreError, match="cannot list models in s3://nowhere/at-all"):
            push_model(object(), "fraud", example=X, registry="s3://nowhere/at-all")
