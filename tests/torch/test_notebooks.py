"""The notebooks about PyTorch, Keras and CatBoost run from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import shearling as sdk
from tests.support.notebooks import executed, printed

if TYPE_CHECKING:
    from pathlib import Path


# The client's own dependencies warn; the notebook's cells run in another process.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning"),
]


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        (
            "pytorch",
            "digits",
            ["digits:1 (onnx, ", "accuracy 0.9", "src FP32[-1, -1, 16]", "(2, 5"],
        ),
        ("keras", "house", ["size FP32[-1, 2]", "price FP32[-1, 1]", "sold FP32[-1, 1]"]),
        ("catboost", "churn", ["churn:1 (onnx, ", "{'probabilities': (False, True)}"]),
    ],
)
def test_the_notebook_pushes_a_model_that_answers_as_the_original(
    name: str, model: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(printed(executed(f"notebooks/{name}.ipynb", tmp_path, monkeypatch)))
    assert all(words in text for words in expected), text
    difference = text.partition("largest difference ")[2].split()[0]
    assert float(difference) < 1e-4
    assert sdk.load_model(model).pin.version == 1
