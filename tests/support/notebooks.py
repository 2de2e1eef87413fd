"""Run notebooks of the examples, and find what they print and show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient

if TYPE_CHECKING:
    import pytest

_EXAMPLES = Path(__file__).parents[2] / "examples"


def executed(name: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a notebook with a registry of its own, and return it with its outputs."""
    monkeypatch.setenv("SHEARLING_REGISTRY", str(directory / "registry"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(directory / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(directory / "ipython"))
    notebook = nbformat.read(_EXAMPLES / name, as_version=4)
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute(cwd=str(directory))
    return notebook


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def tables(notebook: Any) -> list[str]:
    found = (output.get("data", {}).get("text/html", "") for output in outputs(notebook))
    return [html for html in found if "<table>" in html]


def printed(notebook: Any) -> list[str]:
    return [output["text"] for output in outputs(notebook) if output.get("name") == "stdout"]
