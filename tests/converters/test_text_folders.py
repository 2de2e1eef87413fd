"""Folders of text models with an ONNX graph: each setting is served as the folder says it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pandas as pd
import polars as pl
import pytest
from safetensors.numpy import save_file

from shearling.cli import main
from shearling.errors import FormatError, InvalidRequestError
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.text_models import (
    TEXTS,
    WIDTH,
    classifier_folder,
    encoder_folder,
    token_graph,
    token_vectors,
    write_folder,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.models.load import LoadedModel
    from shearling.registry.registry import Registry

    Vectors = NDArray[np.float32]

#: Ways to pool a text's vectors of tokens, computed without Shearling.
POOLED: dict[str, Callable[[Vectors], Any]] = {
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: tokens.max(axis=0),
    "mean": lambda tokens: tokens.mean(axis=0),
    "mean_sqrt_len_tokens": lambda tokens: tokens.sum(axis=0) / np.sqrt(len(tokens)),
    "weightedmean": lambda tokens: np.average(tokens, axis=0, weights=range(1, len(tokens) + 1)),
    "lasttoken": lambda tokens: tokens[-1],
}


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLING_MEASURE", "0")


def served(folder: Path | str, registry: Registry) -> LoadedModel:
    push_model(folder, "embed", example=TEXTS, registry=registry)
    return load_model("embed", registry=registry)


def embeddings(folder: Path, registry: Registry) -> NDArray[Any]:
    return served(folder, registry).predict(TEXTS)["embedding"]


def expected(change: Callable[[Vectors], Any], texts: list[str] = TEXTS) -> NDArray[Any]:
    return np.stack([change(token_vectors(text)) for text in texts])


def refusal(folder: Path | str, registry: Registry, **arguments: Any) -> str:
    with pytest.raises(FormatError) as caught:
        push_model(folder, "embed", registry=registry, **{"example": TEXTS, **arguments})
    return str(caught.value)


# Encoders


@pytest.mark.parametrize("mode", POOLED)
def test_tokens_are_pooled_as_the_folder_says(
    mode: str, registry: Registry, tmp_path: Path
) -> None:
    folder = encoder_folder(tmp_path / "st", {"Pooling": {"pooling_mode": mode}})
    np.testing.assert_allclose(embeddings(folder, registry), expected(POOLED[mode]), atol=1e-6)


@pytest.mark.parametrize("opset", [12, 14, 18])
def test_graphs_of_older_operators_are_pooled_as_well(
    opset: int, registry: Registry, tmp_path: Path
) -> None:
    folder = encoder_folder(tmp_path / "st", {"Pooling": {"pooling_mode": ["max", "mean"]}})
    graph = token_graph(12 if opset < 13 else opset)
    onnx.save(graph, str(folder / "onnx" / "model.onnx"))
    both = expected(lambda tokens: np.concatenate([tokens.max(axis=0), tokens.mean(axis=0)]))
    np.testing.assert_allclose(embeddings(folder, registry), both, atol=1e-6)


def test_settings_of_older_versions_are_read(registry: Registry, tmp_path: Path) -> None:
    old = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    folder = encoder_folder(tmp_path / "st", {"Pooling": old})
    np.testing.assert_allclose(embeddings(folder, registry), expected(POOLED["cls"]), atol=1e-6)


def test_a_dense_layer_is_a_part_of_the_model(registry: Registry, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(3, WIDTH)), random.normal(size=3)
    modules = {
        "Pooling": {"pooling_mode": "mean"},
        "Dense": {"activation_function": "torch.nn.modules.activation.Tanh"},
    }
    folder = encoder_folder(tmp_path / "st", modules)
    tensors = {"linear.weight": weight.astype("f4"), "linear.bias": bias.astype("f4")}
    save_file(tensors, folder / "2_Dense" / "model.safetensors")
    wanted = np.tanh(expected(POOLED["mean"]) @ weight.T + bias)
    np.testing.assert_allclose(embeddings(folder, registry), wanted, atol=1e-5)


def test_the_default_prompt_precedes_each_text(registry: Registry, tmp_path: Path) -> None:
    prompts = {"default_prompt_name": "query", "prompts": {"query": "a good ", "document": ""}}
    folder = encoder_folder(
        tmp_path / "st",
        {"Pooling": {"pooling_mode": "mean"}},
        config_sentence_transformers=prompts,
    )
    wanted = expected(POOLED["mean"], [f"a good {text}" for text in TEXTS])
    np.testing.assert_allclose(embeddings(folder, registry), wanted, atol=1e-6)


def test_vectors_are_truncated_to_the_dimensions_that_the_folder_says(
    registry: Registry, tmp_path: Path
) -> None:
    folder = encoder_folder(
        tmp_path / "st",
        {"Pooling": {"pooling_mode": "mean"}},
        config_sentence_transformers={"truncate_dim": 4},
    )
    wanted = expected(POOLED["mean"])[:, :4]
    np.testing.assert_allclose(embeddings(folder, registry), wanted, atol=1e-6)


def test_the_limit_of_tokens_is_that_of_sentence_transformers(
    registry: Registry, tmp_path: Path
) -> None:
    folder = encoder_folder(tmp_path / "st", sentence_bert_config={"max_seq_length": 5})
    model = served(folder, registry)
    assert model.manifest.options["tokenizer"]["max_tokens"] == 5
    given = model.predict(["the cat sat", "the cat sat on the mat"])["embedding"]
    np.testing.assert_allclose(given[0], given[1], atol=1e-6)


def test_case_is_lowered_if_the_folder_says_so(registry: Registry, tmp_path: Path) -> None:
    cased = json.loads((encoder_folder(tmp_path / "x") / "tokenizer.json").read_text())
    cased["normalizer"]["lowercase"] = False
    for lowers in (False, True):
        folder = encoder_folder(
            tmp_path / str(lowers), sentence_bert_config={"do_lower_case": lowers}
        )
        (folder / "tokenizer.json").write_text(json.dumps(cased))
        lower, upper = served(folder, registry).predict(["good", "GOOD"])["embedding"]
        assert np.allclose(lower, upper) is lowers


def test_the_same_folder_gives_the_same_version(registry: Registry, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "st")
    first = push_model(folder, "embed", example=TEXTS, registry=registry)
    second = push_model(str(folder), "embed", example=TEXTS, registry=registry)
    assert first.pin == second.pin


@pytest.mark.parametrize(
    "example", [TEXTS, np.array(TEXTS), {"text": TEXTS}, tuple(TEXTS)], ids=str
)
def test_texts_may_come_in_any_form(example: Any, registry: Registry, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "st")
    version = push_model(folder, "embed", example=example, registry=registry)
    assert version.pin.version == 1


@pytest.mark.parametrize("frame", [pd.DataFrame({"review": TEXTS}), pl.DataFrame({"": TEXTS})])
def test_texts_may_be_a_column_of_a_frame(frame: Any, registry: Registry, tmp_path: Path) -> None:
    version = push_model(encoder_folder(tmp_path / "st"), "embed", example=frame, registry=registry)
    assert version.pin.version == 1


def test_the_command_reads_texts_from_a_csv(registry: Registry, tmp_path: Path) -> None:
    folder, example = encoder_folder(tmp_path / "st"), tmp_path / "texts.csv"
    example.write_text("review\nthe cat\na film\n")
    options = ["--name", "embed", "--example", str(example), "--registry", registry.store.uri]
    assert main(["push", str(folder), *options]) == 0


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        ("a sentence", r"'a sentence' is one text: pass a list of texts"),
        ([1, 2], "1 at"),
        ([], "example has no rows"),
        ([None], "accept no missing values"),
        (["a\ud800"], "is not BYTES"),
    ],
)
def test_an_example_that_is_no_list_of_texts_is_refused(
    example: Any, problem: str, registry: Registry, tmp_path: Path
) -> None:
    folder = encoder_folder(tmp_path / "st")
    with pytest.raises(InvalidRequestError, match=problem):
        push_model(folder, "embed", example=example, registry=registry)


# Classifiers


def test_a_classifier_answers_labels_and_probabilities(registry: Registry, tmp_path: Path) -> None:
    model = served(classifier_folder(tmp_path / "classifier"), registry)
    answers = model.predict(TEXTS)
    assert [str(spec) for spec in model.signature.outputs] == [
        "label BYTES[-1]",
        "probabilities FP32[-1, 2]",
    ]
    assert model.signature.classes == {"probabilities": ("bad", "good")}
    best = answers["probabilities"].argmax(axis=1)
    assert answers["label"].tolist() == [("bad", "good")[place] for place in best]


@pytest.mark.parametrize(
    ("config", "outputs"),
    [
        ({"problem_type": "multi_label_classification"}, ["probabilities FP32[-1, 2]"]),
        ({"problem_type": "regression"}, ["label BYTES[-1]", "scores FP32[-1, 2]"]),
    ],
)
def test_a_problem_of_another_type_has_its_own_outputs(
    config: dict[str, Any], outputs: list[str], registry: Registry, tmp_path: Path
) -> None:
    model = served(classifier_folder(tmp_path / "classifier", **config), registry)
    assert [str(spec) for spec in model.signature.outputs] == outputs


# Refusals


def test_a_quantised_graph_is_refused(registry: Registry, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "st")
    graph = token_graph()
    graph.graph.node.insert(0, onnx.helper.make_node("DynamicQuantizeLinear", ["c"], list("abd")))
    onnx.save(graph, str(folder / "onnx" / "model.onnx"))
    problem = refusal(folder, registry)
    assert "has operators of 8 bits" in problem
    assert 'push with quantize="int8"' in problem


def test_a_folder_with_a_quantised_file_only_is_refused(registry: Registry, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "st")
    (folder / "onnx" / "model.onnx").rename(folder / "onnx" / "model_qint8_avx512.onnx")
    problem = refusal(folder, registry)
    assert "has only model_qint8_avx512.onnx" in problem
    assert "put the float graph at onnx/model.onnx" in problem


def test_the_float_graph_is_taken_where_there_are_others(
    registry: Registry, tmp_path: Path
) -> None:
    folder = encoder_folder(tmp_path / "st", {"Pooling": {"pooling_mode": "mean"}})
    (folder / "onnx" / "model_quantized.onnx").write_bytes(b"anything")
    np.testing.assert_allclose(embeddings(folder, registry), expected(POOLED["mean"]), atol=1e-6)


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        ({"Pooling": {"pooling_mode": "median"}}, "the pooling 'median' is unknown"),
        ({"Pooling": {}, "LSTM": {}}, "has a module LSTM, which is converted by PyTorch only"),
        ({"Pooling": {}, "Dense": {}}, "2_Dense/model.safetensors is missing"),
    ],
)
def test_a_module_that_is_not_known_is_refused(
    modules: dict[str, Any], problem: str, registry: Registry, tmp_path: Path
) -> None:
    assert problem in refusal(encoder_folder(tmp_path / "st", modules), registry)


def test_a_prompt_that_is_left_out_of_the_pooling_is_refused(
    registry: Registry, tmp_path: Path
) -> None:
    folder = encoder_folder(
        tmp_path / "st",
        {"Pooling": {"pooling_mode": "mean", "include_prompt": False}},
        config_sentence_transformers={"default_prompt_name": "q", "prompts": {"q": "a "}},
    )
    assert "leaves its prompt out of the pooling" in refusal(folder, registry)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"tokenizer.json": None}, "has no tokenizer.json"),
        ({"tokenizer.json": {"version": "1.0"}}, "is no tokenizer"),
        ({"modules.json": None}, "is neither a classifier"),
    ],
)
def test_a_folder_without_a_part_is_refused(
    files: dict[str, Any], problem: str, registry: Registry, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "st", token_graph(), {"modules.json": [], **files})
    assert problem in refusal(folder, registry)


def test_texts_without_a_limit_are_refused(registry: Registry, tmp_path: Path) -> None:
    folder = encoder_folder(
        tmp_path / "st", config={}, tokenizer_config={"model_max_length": 10**30}
    )
    assert "set the tokenizer's model_max_length" in refusal(folder, registry)


def test_a_limit_beyond_the_graphs_own_is_refused(registry: Registry, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "st", config={}, tokenizer_config={"model_max_length": 64})
    assert "fails on a text of 64 tokens" in refusal(folder, registry)


def test_a_graph_without_a_mask_is_refused(registry: Registry, tmp_path: Path) -> None:
    graph = token_graph()
    (node,) = (each for each in graph.graph.node if "attention_mask" in each.input)
    node.input[0] = "input_ids"
    del graph.graph.input[1]
    folder = classifier_folder(tmp_path / "x")
    graph.graph.output[0].name = "logits"
    for each in graph.graph.node:
        each.output[:] = ["logits" if name == "last_hidden_state" else name for name in each.output]
    onnx.save(graph, str(folder / "onnx" / "model.onnx"))
    assert "has no input 'attention_mask'" in refusal(folder, registry)


def test_a_folder_without_a_model_is_refused(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    problem = refusal(tmp_path / "empty", registry)
    assert "has no onnx/model.onnx" in problem
