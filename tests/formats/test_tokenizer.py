"""Texts become tokens in batches of bounded size, whatever the texts are."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.errors import FormatError
from shearling.formats.base import LoadSettings, load_bundle
from shearling.formats.tokenizer import TextPredictor, TextTokenizer, TokenizerSettings
from shearling.models.load import LoadedModel, load_model
from shearling.models.push import push_model
from tests.support.text_models import MAX_TOKENS, TEXTS, encoder_folder, token_vectors, tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.registry.registry import Registry

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=60)

#: What tokenizers, graphs and encodings may stumble over.
ODD_TEXTS = [
    "",
    " \t\n",
    "\0",
    "é 日本 🙂",
    "\u202e\u05e9\u05dc\u05d5\u05dd",
    "e\u0301",
    "x" * 5000,
    "the cat " * 20_000,
]


def settings(**changes: Any) -> TokenizerSettings:
    given: dict[str, Any] = {"input": "text", "path": "tokenizer.json", "max_tokens": MAX_TOKENS}
    return TokenizerSettings(**(given | changes))


def text_tokenizer(**changes: Any) -> TextTokenizer:
    return TextTokenizer(tokenizer(), settings(**changes), ["input_ids", "attention_mask"])


def ids_of(own: TextTokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each text, in the order of the texts."""
    found: dict[int, list[int]] = {}
    for places, tokens, _ in own.batches(texts):
        for row, place in enumerate(places):
            kept = tokens["attention_mask"][row].astype(bool)
            found[int(place)] = tokens["input_ids"][row][kept].tolist()
    return [found[place] for place in range(len(texts))]


def expected_ids(text: str, *, direction: str = "right") -> list[int]:
    """Return the tokens of a text, as the library gives them for the whole text."""
    made = tokenizer()
    made.enable_truncation(MAX_TOKENS, direction=direction)
    ids: list[int] = made.encode(text).ids
    return ids


@pytest.fixture
def model(registry: Registry, tmp_path: Path) -> LoadedModel:
    push_model(encoder_folder(tmp_path / "st"), "embed", example=TEXTS, registry=registry)
    return load_model("embed", registry=registry)


def test_a_text_is_answered_by_the_pooled_vectors_of_its_tokens(model: LoadedModel) -> None:
    texts = [*TEXTS, *ODD_TEXTS]
    means = np.stack([token_vectors(text).mean(axis=0) for text in texts])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(texts)["embedding"], expected, atol=1e-6)


def test_no_texts_have_an_answer_without_rows(model: LoadedModel) -> None:
    assert model.predict([])["embedding"].shape == (0, 8)


def test_texts_that_are_longer_than_the_limit_are_counted(model: LoadedModel) -> None:
    predictor = model.predictor
    assert isinstance(predictor, TextPredictor)
    texts = np.array(["a", "the " * (MAX_TOKENS - 2), "the " * (MAX_TOKENS - 1)], object)
    assert predictor.predict_counted({"text": texts}, ["embedding"])[1] == 1


@given(st.lists(ANY_TEXT, max_size=8))
def test_texts_have_the_tokens_that_the_library_gives_them(texts: list[str]) -> None:
    assert ids_of(text_tokenizer(), texts) == [expected_ids(text) for text in texts]


@given(ANY_TEXT, st.integers(1, 4000), ANY_TEXT)
def test_a_long_text_that_is_read_in_part_has_the_tokens_of_the_whole(
    word: str, times: int, end: str
) -> None:
    text = f"{word} " * times + end
    assert ids_of(text_tokenizer(), [text]) == [expected_ids(text)]


class Recording:
    """A tokenizer that notes how many characters it was given at most."""

    def __init__(self) -> None:
        self._own = tokenizer()
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def encode_batch_fast(self, texts: list[str]) -> Any:
        self.most = max(self.most, *map(len, texts))
        return self._own.encode_batch_fast(texts)


@pytest.mark.parametrize("cut", ["right", "left"])
def test_of_a_word_of_megabytes_only_a_part_is_read(cut: str) -> None:
    texts = ["cat " + "x" * 3_000_000 + " cat", "\n" * 3_000_000]
    recording: Any = Recording()
    own = TextTokenizer(recording, settings(cut=cut), ["input_ids", "attention_mask"])
    batches = list(own.batches(texts))
    assert recording.most <= 2**18
    assert sum(truncated for _, _, truncated in batches) == 2
    assert sum(tokens["input_ids"].size for _, tokens, _ in batches) <= 2 * 5


def test_a_text_can_be_cut_at_its_beginning() -> None:
    text = "the " * 4000 + "cat sat"
    assert ids_of(text_tokenizer(cut="left"), [text]) == [expected_ids(text, direction="left")]
    assert expected_ids(text, direction="left") != expected_ids(text)


def test_a_prompt_precedes_each_text() -> None:
    texts = ["cat", ""]
    assert ids_of(text_tokenizer(prompt="a good "), texts) == [
        expected_ids("a good cat"),
        expected_ids("a good "),
    ]


@given(st.lists(st.sampled_from([*TEXTS, *ODD_TEXTS]), min_size=1, max_size=300))
def test_batches_are_bounded_and_have_every_text_once(texts: list[str]) -> None:
    batches = list(text_tokenizer().batches(texts))
    assert sorted(place for places, _, _ in batches for place in places) == [*range(len(texts))]
    assert all(tokens["input_ids"].size <= 1024 for _, tokens, _ in batches)


def test_texts_of_similar_length_share_a_batch() -> None:
    texts = ["a", "the " * 14] * 200
    widths = [tokens["input_ids"].shape[1] for _, tokens, _ in text_tokenizer().batches(texts)]
    assert widths == sorted(widths)
    assert widths[0] == 3


@cache
def cached_model(directory: Path) -> LoadedModel:
    registry = str(directory / "registry")
    push_model(encoder_folder(directory / "st"), "embed", example=TEXTS, registry=registry)
    return load_model("embed", registry=registry)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return cached_model(tmp_path_factory.mktemp("shared"))


@given(st.lists(ANY_TEXT | st.sampled_from(ODD_TEXTS), min_size=2, max_size=6))
def test_the_answer_to_a_text_does_not_depend_on_the_others(
    shared: LoadedModel, texts: list[str]
) -> None:
    together = shared.predict(texts)["embedding"]
    alone = np.concatenate([shared.predict([text])["embedding"] for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_function_without_the_library_names_the_command(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(FormatError, match="`shearling package runtime --with text`"):
        load_bundle(model.manifest, model._directory, LoadSettings())


def test_the_library_reads_texts_without_what_packages_leave_out(tmp_path: Path) -> None:
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    code = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from tokenizers import Tokenizer\n"
        "print(Tokenizer.from_file(sys.argv[1]).encode_batch_fast(['a cat'])[0].ids)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "tokenizer.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == expected_ids("a cat")


def test_a_file_that_is_no_tokenizer_is_refused(model: LoadedModel, tmp_path: Path) -> None:
    manifest = model.manifest
    wrong = replace(manifest.file("tokenizer.json"), digest="sha256:" + "0" * 64)
    (tmp_path / wrong.hex).write_text("{}")
    for file in manifest.files:
        if file.path != wrong.path:
            (tmp_path / file.hex).write_bytes((model._directory / file.hex).read_bytes())
    files = tuple(wrong if file.path == wrong.path else file for file in manifest.files)
    with pytest.raises(FormatError, match=r"tokenizers [\d.]+ cannot read tokenizer.json"):
        load_bundle(replace(manifest, files=files), tmp_path, LoadSettings())


def test_a_model_without_the_option_needs_no_tokenizer(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.bundles import ROWS, scaling_graph

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    answers: dict[str, NDArray[Any]] = load_model("fraud", registry=registry).predict(ROWS)
    np.testing.assert_array_equal(answers["Y"], 2 * ROWS)
