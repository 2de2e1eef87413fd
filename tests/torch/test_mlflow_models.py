"""Importing models of MLflow with the flavours CatBoost and PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import catboost
import numpy as np
import pytest
import torch

import shearling as sdk
from shearling.errors import FormatError
from tests.support.mlflow_models import logged_array, mlflow_folder
from tests.torch.modules import X, perceptron

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry

PYTORCH = {"pytorch": {"model_data": "data", "pytorch_version": "2.13.0"}}


def answers(registry: Registry, rows: Any) -> Any:
    return sdk.load_model("fraud", registry=registry).predict(rows)


def test_native_files_of_catboost_are_no_pickles(tmp_path: Path, registry: Registry) -> None:
    model = catboost.CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False)
    model.fit(X, np.where(X[:, 0] > 0, 1, 0))
    flavor = {"data": "model.cb", "model_type": "CatBoostClassifier", "save_format": "cbm"}
    folder = mlflow_folder(tmp_path, {"catboost": flavor})
    model.save_model(str(folder / "model.cb"))
    logged_array(folder, X)
    sdk.import_model(folder, "fraud", registry=registry)
    assert answers(registry, X)["label"].tolist() == model.predict(X).tolist()


def test_a_class_that_the_library_does_not_have_is_refused(
    tmp_path: Path, registry: Registry
) -> None:
    flavor = {"data": "MLmodel", "model_type": "Pool"}
    folder = mlflow_folder(tmp_path, {"catboost": flavor})
    with pytest.raises(FormatError, match="catboost has no model of the class 'Pool'"):
        sdk.import_model(folder, "fraud", example=X, registry=registry)


def test_a_pickled_module_asks_for_allow_pickle(tmp_path: Path, registry: Registry) -> None:
    module = perceptron().eval()
    folder = mlflow_folder(tmp_path, PYTORCH)
    (folder / "data").mkdir()
    torch.save(module, folder / "data" / "model.pth")
    logged_array(folder, X)
    with pytest.raises(FormatError, match=r"model\.pth is a pickle, .* pass allow_pickle=True"):
        sdk.import_model(folder, "fraud", registry=registry)
    sdk.import_model(folder, "fraud", allow_pickle=True, registry=registry)
    expected = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(answers(registry, X)["output"], expected, atol=1e-5)


def test_an_exported_program_is_no_pickle(tmp_path: Path, registry: Registry) -> None:
    module = perceptron().eval()
    folder = mlflow_folder(tmp_path, PYTORCH)
    (folder / "data").mkdir()
    rows = torch.export.Dim("rows", min=1)
    program = torch.export.export(module, (torch.from_numpy(X),), dynamic_shapes=({0: rows},))
    torch.export.save(program, folder / "data" / "model.pt2")
    logged_array(folder, X)
    sdk.import_model(folder, "fraud", registry=registry)
    expected = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(
        answers(registry, X)[next(iter(answers(registry, X)))], expected, atol=1e-5
    )
