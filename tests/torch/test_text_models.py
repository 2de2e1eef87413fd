"""Text models of Hugging Face's libraries, tiny and untrained, are served as they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Transformer,
)
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    pipeline,
)

from shearling.errors import FormatError
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.text_models import TEXTS, VOCABULARY, tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry

WIDTH, PLACES = 16, 32
ALL_TEXTS = [*TEXTS, "", "  ", "\0", "é 日本 🙂", "NOT Very", "the cat " * 500]
LABELS = {0: "bad", 1: "fair", 2: "good"}


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLING_MEASURE", "0")
    torch.manual_seed(0)


def fast_tokenizer() -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(),
        model_max_length=PLACES,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def config(kind: Any = BertConfig, **settings: Any) -> Any:
    sizes = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1}
    return kind(
        vocab_size=len(VOCABULARY),
        num_attention_heads=2,
        max_position_embeddings=PLACES,
        pad_token_id=0,
        initializer_range=0.5,  # so that answers differ
        **sizes,
        **settings,
    )


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    BertModel(config()).save_pretrained(folder)
    fast_tokenizer().save_pretrained(folder)
    return folder


def encoder(folder: Path, *modules: Any, **settings: Any) -> SentenceTransformer:
    return SentenceTransformer(
        modules=[Transformer(str(folder), max_seq_length=PLACES), *modules],
        device="cpu",
        **settings,
    )


def classifier(model: Any = None, **settings: Any) -> Any:
    labels = {"id2label": LABELS, "label2id": {name: key for key, name in LABELS.items()}}
    model = model or BertForSequenceClassification(config(**{**labels, **settings})).eval()
    return pipeline("text-classification", model=model, tokenizer=fast_tokenizer(), device="cpu")


def embeddings(model: Any, registry: Registry) -> Any:
    push_model(model, "embed", example=TEXTS, registry=registry)
    return load_model("embed", registry=registry).predict(ALL_TEXTS)["embedding"]


def test_a_sentence_transformer_is_served_as_it_encodes(
    bert_folder: Path, registry: Registry, tmp_path: Path
) -> None:
    model = encoder(bert_folder, Pooling(WIDTH, "mean"), Normalize())
    model.train()
    served = embeddings(model, registry)
    assert model.training  # as it was before
    np.testing.assert_allclose(served, model.encode(ALL_TEXTS), atol=1e-6)
    model.save(str(tmp_path / "saved"))
    again = push_model(tmp_path / "saved", "embed", example=TEXTS, registry=registry)
    assert again.pin.version == 1
    assert not again.is_new


def test_its_other_modules_prompt_dimensions_and_half_precision_are_served(
    bert_folder: Path, registry: Registry
) -> None:
    model = encoder(
        bert_folder,
        Pooling(WIDTH, ("cls", "max")),
        Dense(2 * WIDTH, 8),
        prompts={"query": "a film "},
        default_prompt_name="query",
        truncate_dim=5,
    ).half()
    served = embeddings(model, registry)
    assert next(model.parameters()).dtype == torch.float16  # as it was before
    assert (served.dtype, served.shape) == (np.float32, (len(ALL_TEXTS), 5))
    np.testing.assert_allclose(served, model.float().encode(ALL_TEXTS), atol=1e-5)


def test_a_pipeline_is_served_as_it_classifies(registry: Registry, tmp_path: Path) -> None:
    pipe = classifier()
    push_model(pipe, "mood", example=TEXTS, registry=registry)
    answers = load_model("mood", registry=registry).predict(ALL_TEXTS)
    found = pipe(ALL_TEXTS, truncation=True, top_k=None)
    assert answers["label"].tolist() == [row[0]["label"] for row in found]
    columns = [
        [{one["label"]: one["score"] for one in row}[name] for name in LABELS.values()]
        for row in found
    ]
    np.testing.assert_allclose(answers["probabilities"], columns, atol=1e-6)
    pipe.save_pretrained(str(tmp_path / "saved"))
    again = push_model(str(tmp_path / "saved"), "mood", example=TEXTS, registry=registry)
    assert not again.is_new


def test_several_independent_labels_have_a_probability_each(registry: Registry) -> None:
    pipe = classifier(problem_type="multi_label_classification")
    push_model(pipe, "topics", example=TEXTS, registry=registry)
    model = load_model("topics", registry=registry)
    assert model.signature.classes == {"probabilities": tuple(LABELS.values())}
    found = pipe(TEXTS, top_k=None)
    best = model.predict(TEXTS)["probabilities"].max(axis=1)
    np.testing.assert_allclose(best, [row[0]["score"] for row in found], atol=1e-6)


def test_a_regression_is_served_as_a_number(registry: Registry) -> None:
    settings = {"id2label": {0: "stars"}, "label2id": {"stars": 0}, "problem_type": "regression"}
    pipe = classifier(**settings)
    push_model(pipe, "stars", example=TEXTS, registry=registry)
    score = load_model("stars", registry=registry).predict(TEXTS)["score"]
    np.testing.assert_allclose(score, [row["score"] for row in pipe(TEXTS)], atol=1e-5)


def test_places_that_begin_after_padding_limit_the_tokens(registry: Registry) -> None:
    settings = {"id2label": LABELS, "label2id": {name: key for key, name in LABELS.items()}}
    model = RobertaForSequenceClassification(config(RobertaConfig, type_vocab_size=1, **settings))
    push_model(classifier(model), "mood", example=TEXTS, registry=registry)
    options = load_model("mood", registry=registry).manifest.options
    assert options["tokenizer"]["max_tokens"] == PLACES - 1


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: BertForSequenceClassification(config()), "alone reads tokens, not texts"),
        (
            lambda _: pipeline(
                "feature-extraction",
                model=BertModel(config()),
                tokenizer=fast_tokenizer(),
                device="cpu",
            ),
            "a pipeline for 'feature-extraction' is not supported",
        ),
        (str, "has a bare BertModel"),
        (lambda folder: CrossEncoder(str(folder), device="cpu"), "CrossEncoder scores pairs"),
        (
            lambda folder: encoder(
                folder,
                Pooling(WIDTH, "mean", include_prompt=False),
                prompts={"q": "a "},
                default_prompt_name="q",
            ),
            "leaves its prompt out of the pooling",
        ),
    ],
    ids=["bare model", "tokens", "bare folder", "pairs", "prompt"],
)
def test_what_answers_no_vector_or_class_for_a_text_is_refused(
    make: Any, problem: str, bert_folder: Path, registry: Registry
) -> None:
    with pytest.raises(FormatError, match=problem):
        push_model(make(bert_folder), "embed", example=TEXTS, registry=registry)
