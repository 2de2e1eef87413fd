"""A model of texts is made smaller on texts, and keeps its tokenizer."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from shearling.models.load import load_model
from shearling.models.optimisation_report import FAILED
from shearling.models.push import push_model
from shearling.models.quantize import quantize
from tests.support.text_models import TEXTS, encoder_folder, token_graph

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry

SENTENCES = [
    f"{one} {thing} {does} {how}"
    for one, thing, does, how in product(
        ["the", "a", "not"], ["cat", "film", "mat"], ["sat", "was"], ["good", "very bad", "!"]
    )
]


@pytest.fixture
def pushed(registry: Registry, tmp_path: Path) -> Registry:
    folder = encoder_folder(tmp_path / "st")
    onnx.save(token_graph(width=512), str(folder / "onnx" / "model.onnx"))
    push_model(folder, "embed", example=TEXTS, measure=False, registry=registry)
    return registry


def test_texts_judge_a_smaller_model_of_texts(pushed: Registry) -> None:
    report = quantize("embed:1", SENTENCES, recipe="int8", min_rows=20, registry=pushed)
    original, smaller = report.rows
    assert smaller.verdict != FAILED, smaller.reason
    assert smaller.size_bytes
    assert original.size_bytes
    assert smaller.size_bytes < original.size_bytes / 2
    assert smaller.quality is not None


def test_the_smaller_version_has_the_tokenizer_and_answers_texts(
    pushed: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether so small a model becomes faster is no matter here.
    monkeypatch.setattr("shearling.models.trial.gain_missing", lambda *_: "")
    report = quantize("embed:1", SENTENCES, recipe="fp16", min_rows=20, registry=pushed)
    assert report.version is not None
    before, after = (load_model(f"embed:{n}", registry=pushed) for n in (1, 2))
    assert after.manifest.options["tokenizer"] == before.manifest.options["tokenizer"]
    texts = [*TEXTS, "", "the cat " * 1000]
    expected = before.predict(texts)["embedding"]
    np.testing.assert_allclose(after.predict(texts)["embedding"], expected, atol=0.01)


def test_a_push_of_texts_can_be_quantised_at_once(registry: Registry, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "st")
    with pytest.warns(UserWarning, match="is published as it was pushed"):
        version = push_model(  # its matrices are too small
            folder,
            "embed",
            example=TEXTS,
            measure=False,
            quantize="int8",
            data=SENTENCES,
            registry=registry,
        )
    assert version.pin.version == 1
