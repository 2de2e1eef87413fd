"""Importing models of MLflow: each flavour, the input example, the origin, and what is refused."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

import cloudpickle
import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression
from skops import io

import shearling as sdk
from shearling.errors import FormatError, InvalidRequestError, StoreError
from shearling.models.mlflow_example import example_of
from shearling.models.mlflow_folder import MlflowModel
from tests.support.bundles import scaling_graph
from tests.support.cli import error, output, run
from tests.support.mlflow_models import (
    MODEL,
    RUN,
    logged_array,
    logged_frame,
    mlflow_folder,
)

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry

X = np.random.default_rng(5).normal(size=(80, 3)).astype(np.float32)
Y = np.where(X.sum(axis=1) > 0, 1, 0)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
SKLEARN = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}


def sklearn_folder(tracking: Path) -> Path:
    folder = mlflow_folder(tracking, {"sklearn": SKLEARN})
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(LogisticRegression().fit(FRAME, Y)))
    logged_frame(folder, FRAME[:9])
    return folder


def skops_folder(tracking: Path) -> Path:
    skops = {"pickled_model": "model.skops", "serialization_format": "skops"}
    folder = mlflow_folder(tracking, {"sklearn": skops})
    io.dump(LogisticRegression().fit(X, Y), folder / "model.skops")
    logged_array(folder, X[:9])
    return folder


def onnx_folder(tracking: Path) -> Path:
    # The scikit-learn flavour has no file: the graph is preferred.
    folder = mlflow_folder(tracking, {"sklearn": SKLEARN, "onnx": {"data": "model.onnx"}})
    onnx.save(scaling_graph(), folder / "model.onnx")
    logged_array(folder, X[:9, :2])
    return folder


def xgboost_folder(tracking: Path, model: Any) -> Path:
    kind = f"{type(model).__module__}.{type(model).__name__}"
    flavor = {"data": "model.ubj", "model_class": kind, "model_format": "ubj"}
    folder = mlflow_folder(tracking, {"xgboost": flavor})
    model.save_model(folder / "model.ubj")
    logged_array(folder, X[:9])
    return folder


def labels(registry: Registry) -> list[Any]:
    answers = sdk.load_model("fraud", registry=registry).predict(X)
    found: list[Any] = np.asarray(answers["label"]).tolist()
    return found


def test_a_graph_is_pushed_before_any_other_flavour(tmp_path: Path, registry: Registry) -> None:
    version = sdk.import_model(onnx_folder(tmp_path), "fraud", registry=registry)
    answers = sdk.load_model(str(version.pin), registry=registry).predict(X[:, :2])
    assert np.asarray(answers[next(iter(answers))]).tolist() == (2 * X[:, :2]).tolist()


def test_an_estimator_in_a_file_of_skops_needs_no_pickle(
    tmp_path: Path, registry: Registry
) -> None:
    sdk.import_model(skops_folder(tmp_path), "fraud", registry=registry)
    assert labels(registry) == LogisticRegression().fit(X, Y).predict(X).tolist()


def test_a_pickled_estimator_asks_for_allow_pickle(tmp_path: Path, registry: Registry) -> None:
    folder = sklearn_folder(tmp_path)
    with pytest.raises(FormatError, match=r"model\.pkl is a pickle, .* pass allow_pickle=True"):
        sdk.import_model(folder, "fraud", registry=registry)
    sdk.import_model(folder / "MLmodel", "fraud", allow_pickle=True, registry=registry)
    assert labels(registry) == LogisticRegression().fit(X, Y).predict(X).tolist()


def test_native_files_of_xgboost_are_no_pickles(tmp_path: Path, registry: Registry) -> None:
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y)
    sdk.import_model(xgboost_folder(tmp_path, model), "fraud", registry=registry)
    assert labels(registry) == np.asarray(model.predict(X)).tolist()


def test_a_booster_becomes_the_estimator_of_its_objective(
    tmp_path: Path, registry: Registry
) -> None:
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y)
    sdk.import_model(xgboost_folder(tmp_path, model.get_booster()), "fraud", registry=registry)
    assert labels(registry) == np.asarray(model.predict(X)).tolist()


def test_a_pickled_estimator_of_lightgbm_is_pushed(tmp_path: Path, registry: Registry) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(X, Y)
    flavor = {"data": "model.pkl", "model_class": "lightgbm.sklearn.LGBMClassifier"}
    folder = mlflow_folder(tmp_path, {"lightgbm": flavor})
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    sdk.import_model(folder, "fraud", example=X, allow_pickle=True, registry=registry)
    assert labels(registry) == np.asarray(model.predict(X)).tolist()


def test_the_record_has_the_run_and_its_metrics(tmp_path: Path, registry: Registry) -> None:
    folder = skops_folder(tmp_path)
    sdk.import_model(folder, "fraud", metadata={"auc": 0.5}, registry=registry)
    details = registry.versions("fraud")[0].details
    assert details["mlflow"]["run_id"] == RUN
    assert details["mlflow"]["model_uuid"] == MODEL
    # What the caller says comes first.
    assert details["metrics"] == {"auc": 0.5, "val/loss": 0.1}


def test_the_input_example_has_the_types_of_the_signature(tmp_path: Path) -> None:
    rows = pd.DataFrame({"amount": [1.0, 2.0], "count": [3, 4], "city": ["Oslo", "Bergen"]})
    folder = mlflow_folder(tmp_path, {})
    logged_frame(folder, rows)
    found = example_of(MlflowModel.open(folder))
    assert [str(kind) for kind in found.dtypes] == ["float64", "int64", "object"]
    assert found.to_numpy().tolist() == rows.to_numpy().tolist()
    logged_array(folder, X[:2])
    array = example_of(MlflowModel.open(folder))
    assert (array.dtype, array.tolist()) == (np.float32, X[:2].tolist())


def test_a_model_without_an_input_example_asks_for_one(tmp_path: Path, registry: Registry) -> None:
    folder = mlflow_folder(tmp_path, {"sklearn": SKLEARN})
    with pytest.raises(InvalidRequestError, match=r"^example: .* without one: pass example=X"):
        sdk.import_model(folder, "fraud", registry=registry)


@pytest.mark.parametrize("content", ["[", "3", '{"columns": ["a"]}', '{"data": {"a": 1}}'])
def test_a_damaged_input_example_is_refused(
    content: str, tmp_path: Path, registry: Registry
) -> None:
    folder = sklearn_folder(tmp_path)
    (folder / "input_example.json").write_text(content)
    with pytest.raises(FormatError, match=r"input_example\.json (has no rows|is not valid JSON)"):
        sdk.import_model(folder, "fraud", allow_pickle=True, registry=registry)


def test_a_function_of_ones_own_asks_for_cloudpickle(tmp_path: Path, registry: Registry) -> None:
    pyfunc = {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"}
    folder = mlflow_folder(tmp_path, {"python_function": pyfunc})
    with pytest.raises(FormatError, match=r"push_model.*format='cloudpickle'"):
        sdk.import_model(folder, "fraud", example=X, allow_pickle=True, registry=registry)


def test_a_flavour_that_is_not_read_is_named(tmp_path: Path, registry: Registry) -> None:
    folder = mlflow_folder(tmp_path, {"spark": {}})
    with pytest.raises(FormatError, match=r"python_function, spark\): expected one of onnx, skl"):
        sdk.import_model(folder, "fraud", example=X, registry=registry)


@pytest.mark.parametrize("path", ["../secret.pkl", "/etc/passwd", "", ".", 3, None, "a\0b", "no"])
def test_a_path_that_is_not_in_the_folder_is_refused(
    path: object, tmp_path: Path, registry: Registry
) -> None:
    folder = mlflow_folder(tmp_path, {"sklearn": {"pickled_model": path}})
    (folder.parent / "secret.pkl").write_bytes(cloudpickle.dumps(3))
    with pytest.raises(FormatError, match=r"MLmodel: flavors\.sklearn\.pickled_model"):
        sdk.import_model(folder, "fraud", example=X, allow_pickle=True, registry=registry)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, registry: Registry) -> None:
    folder = mlflow_folder(tmp_path, {"sklearn": SKLEARN})
    (tmp_path / "secret.pkl").write_bytes(cloudpickle.dumps(3))
    (folder / "model.pkl").symlink_to(tmp_path / "secret.pkl")
    with pytest.raises(FormatError, match="is not a path inside of the folder"):
        sdk.import_model(folder, "fraud", example=X, allow_pickle=True, registry=registry)


DAMAGED = {
    "empty": b"",
    "list": b"- flavors",
    "no flavors": b"run_id: a",
    "flavors of texts": b"flavors: {sklearn: model.pkl}",
    "no YAML": b"flavors: [",
    "bytes": b"\xff\xfe\x00",
    "object": b"flavors: !!python/object/apply:os.getcwd []",
    "aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nflavors: {sklearn: {c: *b}}",
    "deep": b"[" * 20_000,
    "huge": b"#" * 1_000_001,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "MLmodel").write_bytes(DAMAGED[damage])
    with pytest.raises(FormatError, match="MLmodel"):
        sdk.import_model(tmp_path, "fraud", example=X, registry=registry)


def test_a_folder_without_the_file_is_refused(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(FormatError, match="has no file MLmodel"):
        sdk.import_model(tmp_path, "fraud", example=X, registry=registry)


def test_what_push_model_takes_is_imported_too(tmp_path: Path, registry: Registry) -> None:
    onnx.save(scaling_graph(), tmp_path / "model.onnx")
    version = sdk.import_model(
        tmp_path / "model.onnx", "fraud", example=X[:, :2], registry=registry
    )
    assert version.version == 1


def test_a_pickle_that_fails_is_refused_in_one_sentence(tmp_path: Path, registry: Registry) -> None:
    folder = sklearn_folder(tmp_path)
    (folder / "model.pkl").write_bytes(b"no pickle")
    with pytest.raises(FormatError, match=r"the pickle 'model\.pkl' cannot be loaded"):
        sdk.import_model(folder, "fraud", allow_pickle=True, registry=registry)


def test_a_uri_needs_mlflow_skinny(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(FormatError, match=r"needs mlflow-skinny: pip install mlflow-skinny"):
        sdk.import_model("models:/fraud/7", "fraud", registry=registry)


def test_a_uri_is_fetched_and_recorded(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow itself is not installed here: its two functions are replaced."""
    folder = skops_folder(tmp_path)

    def download_artifacts(artifact_uri: str, dst_path: str) -> str:
        assert dst_path
        if artifact_uri != "models:/fraud/7":
            raise RuntimeError("no such model")
        return str(folder)

    mlflow: Any = types.ModuleType("mlflow")
    mlflow.MlflowClient = lambda: None
    artifacts: Any = types.ModuleType("mlflow.artifacts")
    artifacts.download_artifacts = download_artifacts
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setitem(sys.modules, "mlflow.artifacts", artifacts)
    sdk.import_model("models:/fraud/7", "fraud", registry=registry)
    assert registry.versions("fraud")[0].details["mlflow"]["uri"] == "models:/fraud/7"
    with pytest.raises(StoreError, match=r"cannot fetch models:/fraud/8: no such model\."):
        sdk.import_model("models:/fraud/8", "fraud", registry=registry)


def test_the_command_imports_a_folder(
    tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import", str(sklearn_folder(tmp_path)), "--name", "fraud"]
    words += ["--registry", registry.store.uri]
    assert run(*words) == 1
    assert "pass --allow-pickle if" in error(capsys)
    assert run(*words, "--allow-pickle") == 0
    assert output(capsys).startswith("fraud:1 (onnx")
