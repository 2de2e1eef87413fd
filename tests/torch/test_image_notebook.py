"""The notebook about networks of pictures runs from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import shearling as sdk
from tests.support.notebooks import executed, printed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")


@pytest.mark.slow
def test_the_notebook_trains_and_serves_a_network_of_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(printed(executed("notebooks/images.ipynb", tmp_path, monkeypatch)))
    assert "digits:1 (onnx, " in text
    assert float(text.rpartition("accuracy ")[2].split()[0]) > 0.9
    model = sdk.load_model("digits")
    (spec,) = model.signature.outputs
    assert spec.classes
    assert len(spec.classes) == 10
    assert model.predict([tmp_path / "three.jpg"])[spec.name].argmax() == 3
