"""Small text models: folders as Hugging Face's libraries write them, with an ONNX graph."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH, MAX_TOKENS = 8, 16

TEXTS = ["the cat sat on the mat", "a good film", "not very good !"]

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
_WORDS = ["the", "a", "cat", "sat", "on", "mat", "film", "was", "very", "not", "good", "bad", "!"]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = list(
    dict.fromkeys([*_SPECIAL, *_WORDS, *_LETTERS, *(f"##{each}" for each in _LETTERS)])
)


def tokenizer() -> Tokenizer:
    """Return a tokenizer of words and letters, like BERT's."""
    vocabulary = {word: place for place, word in enumerate(VOCABULARY)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def token_graph(
    opset: int = 20, output: str = "last_hidden_state", width: int = WIDTH
) -> onnx.ModelProto:
    """Return a graph of tokens in which each token looks at all others that count.

    Args:
        opset: version of the operators.
        output: "last_hidden_state", or "logits" for the scores of two classes.
        width: numbers of a token's vector.
    """
    random = np.random.default_rng(7)
    table = random.normal(size=(len(VOCABULARY), width)).astype(np.float32)
    places = random.normal(size=(MAX_TOKENS, width)).astype(np.float32)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(value: Any) -> str:
        weights.append(numpy_helper.from_array(np.asarray(value), f"c{len(weights)}"))
        return weights[-1].name

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"n{len(nodes)}"], **attributes))
        name: str = nodes[-1].output[0]
        return name

    zero, wide = constant(np.array([0])), constant(np.array([0, 1, -1]))
    count = add(
        "Slice", add("Shape", "input_ids"), constant(np.array([1])), constant(np.array([2]))
    )
    own = add("Slice", constant(places), zero, count, zero)
    tokens = add("Add", add("Gather", constant(table), "input_ids"), own)
    mask = add("Reshape", add("Cast", "attention_mask", to=TensorProto.FLOAT), wide)
    hidden = add("Mul", add("Sub", mask, constant(np.float32(1))), constant(np.float32(1e9)))
    scores = add("MatMul", tokens, add("Transpose", tokens, perm=[0, 2, 1]))
    seen = add("Softmax", add("Add", scores, hidden), axis=2)
    mixed = add("Tanh", add("MatMul", seen, tokens))
    if output == "logits":
        first = add("Gather", mixed, constant(np.int64(0)), axis=1)
        mixed = add("MatMul", first, constant(random.normal(size=(width, 2)).astype(np.float32)))
    nodes[-1].output[0] = output
    rows: list[str | int | None] = ["rows", "tokens"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, rows)
        for name in ("input_ids", "attention_mask")
    ]
    shape: list[str | int | None] = ["rows", 2] if output == "logits" else [*rows, width]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "tokens", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def write_folder(folder: Path, graph: onnx.ModelProto, files: dict[str, Any]) -> Path:
    """Write a folder with a graph, a tokenizer, and JSON files by their path.

    Files whose content is None are left out.
    """
    standard = {
        "config.json": {"model_type": "bert", "max_position_embeddings": MAX_TOKENS},
        "tokenizer_config.json": {"model_max_length": MAX_TOKENS, "pad_token": "[PAD]"},
        "tokenizer.json": json.loads(tokenizer().to_str()),
    }
    (folder / "onnx").mkdir(parents=True)
    onnx.save(graph, str(folder / "onnx" / "model.onnx"))
    for name, content in {**standard, **files}.items():
        if content is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(content))
    return folder


def encoder_folder(folder: Path, modules: dict[str, Any] | None = None, **files: Any) -> Path:
    """Write the folder of a SentenceTransformer.

    Args:
        folder: where to.
        modules: configuration of each module after the encoder, by its type; a mean of length 1 by
            default.
        files: content of further JSON files, by their name without `.json`.
    """
    modules = {"Pooling": {"pooling_mode": "mean"}, "Normalize": {}} if modules is None else modules
    listed = [{"idx": 0, "name": "0", "path": "", "type": "x.Transformer"}]
    written = {f"{name}.json": content for name, content in files.items()}
    for place, (kind, config) in enumerate(modules.items(), 1):
        path = f"{place}_{kind}"
        listed.append({"idx": place, "name": str(place), "path": path, "type": f"x.{kind}"})
        written[f"{path}/config.json"] = config
    return write_folder(folder, token_graph(), {"modules.json": listed, **written})


def classifier_folder(folder: Path, **config: Any) -> Path:
    """Write the folder of a classifier of two classes, with more of its configuration."""
    labels = {"id2label": {"0": "bad", "1": "good"}}
    own = {"model_type": "bert", "max_position_embeddings": MAX_TOKENS, **labels, **config}
    return write_folder(folder, token_graph(output="logits"), {"config.json": own})


def token_vectors(text: str) -> NDArray[np.float32]:
    """Return the vectors of a text's tokens, computed without Shearling."""
    import onnxruntime

    made = tokenizer()
    made.enable_truncation(MAX_TOKENS)
    ids = np.array([made.encode(text).ids])
    session = onnxruntime.InferenceSession(token_graph().SerializeToString())
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    vectors: NDArray[np.float32] = session.run(None, feed)[0][0]
    return vectors
