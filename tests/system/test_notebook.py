"""The example notebook runs from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

import shearling as sdk
from tests.support.terraform_cli import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path


# The client's own dependencies warn; the notebook's cells run in another process.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_the_quickstart_notebook_pushes_a_model_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", str(tmp_path / "registry"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(REPOSITORY / "examples" / "quickstart.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    shown = [
        output.get("data", {}).get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    printed = [
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"
    ]
    assert len(printed) == 1
    assert printed[0].startswith("cancer:1 (onnx, ")
    assert "already in the registry, nothing uploaded" in printed[0]
    assert any("<table>" in html and "cancer" in html for html in shown)
    assert sdk.load_model("cancer:prod").pin.version == 1
