"""The example notebooks run from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import shearling as sdk
from tests.support.notebooks import executed, printed, tables

if TYPE_CHECKING:
    from pathlib import Path


# The client's own dependencies warn; the notebook's cells run in another process.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")


def test_the_quickstart_notebook_pushes_a_model_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = executed("quickstart.ipynb", tmp_path, monkeypatch)
    (text,) = printed(notebook)
    assert text.startswith("cancer:1 (onnx, ")
    assert "already in the registry, nothing uploaded" in text
    assert any("cancer" in html for html in tables(notebook))
    assert sdk.load_model("cancer:prod").pin.version == 1


@pytest.mark.slow
def test_the_notebook_of_optimisation_shows_what_each_step_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = executed("optimise.ipynb", tmp_path, monkeypatch)
    quantized = [html for html in tables(notebook) if "<td>int8-weights</td>" in html]
    assert len(quantized) == 2
    assert all("<td>taken</td>" in html for html in quantized)
    assert any("'parent': 'digits:1@sha256:" in text for text in printed(notebook))
    (distilled,) = [html for html in tables(notebook) if "<td>teacher</td>" in html]
    assert "<td>pushed</td>" in distilled
    assert sdk.load_model("digits-small").manifest.size < 12_000
    (compared,) = [html for html in tables(notebook) if "<svg" in html]
    assert "data accuracy" in compared


def test_the_notebook_of_imports_pushes_a_file_of_skops_once_its_types_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(printed(executed("notebooks/imports.ipynb", tmp_path, monkeypatch)))
    refused, _, imported = text.partition("tumours:1 (onnx, ")
    assert "trusted=['xgboost.core.Booster', 'xgboost.sklearn.XGBClassifier']" in refused
    assert "accuracy 0.9" in imported
    assert float(imported.partition("largest difference ")[2]) < 1e-5
