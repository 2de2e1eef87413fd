"""Importing `.skops` files: what is trusted, and what a file must be."""

from __future__ import annotations

import pickle
import sys
import zipfile
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skops import io

import shearling as sdk
from shearling.errors import FormatError, InvalidRequestError
from tests.support.cli import error, output, run, write

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry

X = np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(int)
TRUSTED = ["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with nothing but what skops trusts."""
    path = tmp_path_factory.mktemp("files") / "pipeline.skops"
    io.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), path)
    return path


@pytest.fixture(scope="module")
def boosted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "boosted.skops"
    io.dump(xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(X, Y), path)
    return path


def test_a_file_of_an_estimator_is_pushed(pipeline: Path, registry: Registry) -> None:
    version = sdk.import_model(pipeline, "fraud", example=X, registry=registry)
    assert str(version).startswith("fraud:1 (onnx")
    answers = sdk.load_model("fraud", registry=registry).predict(X)
    assert answers["label"].tolist() == io.load(pipeline).predict(X).tolist()


def test_an_identical_model_is_the_same_version_as_when_it_is_pushed(
    pipeline: Path, registry: Registry
) -> None:
    pushed = sdk.push_model(io.load(pipeline), "fraud", example=X, registry=registry)
    imported = sdk.import_model(str(pipeline), "fraud", example=X, registry=registry)
    assert (imported.version, imported.digest) == (1, pushed.digest)


def test_types_that_are_not_trusted_are_listed_with_the_argument_to_pass(
    boosted: Path, registry: Registry
) -> None:
    with pytest.raises(FormatError) as refused:
        sdk.import_model(boosted, "fraud", example=X, trusted=TRUSTED[:1], registry=registry)
    assert f"types that are not trusted: {TRUSTED[1]}. " in str(refused.value)
    assert f"pass trusted={TRUSTED}" in str(refused.value)


def test_a_file_whose_types_are_trusted_is_pushed(boosted: Path, registry: Registry) -> None:
    sdk.import_model(boosted, "fraud", example=X, trusted=TRUSTED, registry=registry)
    assert sdk.load_model("fraud", registry=registry).predict(X)["label"].shape == (40,)


def test_nothing_is_loaded_of_a_file_that_is_not_trusted(
    tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "printing.skops"
    io.dump(FunctionTransformer(print), path)
    with pytest.raises(FormatError, match=r"not trusted: builtins\.print\."):
        sdk.import_model(path, "fraud", example=X, registry=registry)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("trusted", ["xgboost.core.Booster", True, [3], []])
def test_trusted_must_be_names(trusted: object, boosted: Path, registry: Registry) -> None:
    with pytest.raises(InvalidRequestError, match=r"^trusted .* is not a list of names of types"):
        sdk.import_model(boosted, "f", example=X, trusted=trusted, registry=registry)  # type: ignore[arg-type]


def empty_archive(path: Path) -> None:
    zipfile.ZipFile(path, "w").close()


def schema_of_a_list(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "[]")


DAMAGED = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no model"),
    "pickle": lambda path: path.write_bytes(pickle.dumps(LogisticRegression())),
    "archive": empty_archive,
    "schema": schema_of_a_list,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "model.skops"
    DAMAGED[damage](path)
    with pytest.raises(FormatError, match=r"model\.skops is not a file that skops can read"):
        sdk.import_model(path, "fraud", example=X, registry=registry)


def test_a_file_of_no_model_is_refused(tmp_path: Path, registry: Registry) -> None:
    io.dump({"weights": X}, tmp_path / "dict.skops")
    with pytest.raises(FormatError, match="no converter to ONNX for dict"):
        sdk.import_model(tmp_path / "dict.skops", "fraud", example=X, registry=registry)


def test_without_rows_the_example_is_asked_for(pipeline: Path, registry: Registry) -> None:
    with pytest.raises(InvalidRequestError, match=r"^example: .* pass example=X"):
        sdk.import_model(pipeline, "fraud", registry=registry)


def test_a_missing_file_is_named(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(FormatError, match=r"none\.skops does not exist"):
        sdk.import_model(tmp_path / "none.skops", "fraud", example=X, registry=registry)


def test_push_model_says_that_import_model_takes_the_file(
    pipeline: Path, registry: Registry
) -> None:
    with pytest.raises(FormatError, match="Pass it to import_model"):
        sdk.push_model(str(pipeline), "fraud", example=X, registry=registry)


@pytest.mark.parametrize("suffix", ["joblib", "pkl", "PICKLE"])
def test_a_pickle_is_refused_and_not_loaded(
    suffix: str, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / f"model.{suffix}"
    joblib.dump(LogisticRegression().fit(X, Y), path)
    with pytest.raises(FormatError, match=r"is a pickle, .* Save the model with skops\.io\.dump"):
        sdk.import_model(path, "fraud", example=X, registry=registry)


def test_without_skops_the_extra_is_named(
    pipeline: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(FormatError, match=r"pip install 'shearling\[imports\]'"):
        sdk.import_model(pipeline, "fraud", example=X, registry=registry)


# the command


def rows(tmp_path: Path) -> str:
    return write(tmp_path / "rows.csv", "\n".join(",".join(map(str, row)) for row in X))


def test_the_command_imports_a_file(
    boosted: Path, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import", str(boosted), "--name", "fraud", "--example", rows(tmp_path)]
    words += ["--registry", registry.store.uri]
    assert run(*words) == 1
    assert f"pass --trusted {' '.join(TRUSTED)}" in error(capsys)
    assert run(*words, "--trusted", *TRUSTED) == 0
    assert output(capsys).startswith("fraud:1 (onnx")


def test_the_command_push_says_that_import_takes_the_file(
    pipeline: Path, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["push", str(pipeline), "--name", "fraud", "--example", rows(tmp_path)]
    assert run(*words, "--registry", registry.store.uri) == 1
    assert "Run `shearling import` instead of `push`" in error(capsys)
