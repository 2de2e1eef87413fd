"""The notebook about text models runs from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import shearling as sdk
from tests.support.notebooks import executed, printed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")


@pytest.mark.slow
def test_the_notebook_trains_and_serves_a_classifier_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEARLING_MEASURE", "0")
    (text,) = printed(executed("notebooks/text.ipynb", tmp_path, monkeypatch))
    good, bad = text.splitlines()[1:3]
    assert good.split()[0] == "good"
    assert bad.split()[0] == "bad"
    answers = sdk.load_model("mood").predict(["What a brilliant cast!"])
    assert answers["label"].tolist() == ["good"]
