"""The models: graphs with random weights, the same at every run, built on disk once."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from bench.installation import HOME, once

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FEATURES = 30
_CLASSES = 8
_IMAGE = (3, 32, 32)
_OPSET = 17
_INPUT = "X"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model on disk.

    Attributes:
        name: in the registry too.
        kind: "float", "int8" or "convolution".
        width: of its layers.
        blocks: how many of them.
    """

    name: str
    kind: str
    width: int
    blocks: int
    description: str

    @property
    def directory(self) -> Path:
        """Where its files lie; `model.onnx` is the one to open."""
        return HOME / "models" / self.name

    @property
    def path(self) -> Path:
        """The graph."""
        return self.directory / "model.onnx"

    @property
    def files(self) -> list[Path]:
        """The graph, and the file with its weights if they are not in it."""
        return sorted(self.directory.iterdir())

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.files)

    def rows(self, count: int) -> NDArray[np.float32]:
        """Return an input of so many rows, with as many digits as measured data have."""
        shape = _IMAGE if self.kind == "convolution" else (FEATURES,)
        random = np.random.default_rng(count)
        return np.round(random.standard_normal((count, *shape)), 4).astype(np.float32)

    def build(self) -> None:
        """Write it, unless it is there already."""
        wanted = (self.kind, str(self.width), str(self.blocks), str(_OPSET), "3")
        once(self.directory, wanted, self._write)

    def _write(self) -> None:
        self.directory.mkdir()
        if self.kind == "convolution":
            _save(_convolutions(self), self.path)
        elif self.kind == "float":
            _save(_perceptron(self), self.path)
        else:
            _quantise(self)


SMALL = Model(name="small", kind="float", width=64, blocks=0, description="10 KB float")
M50 = Model(name="m50", kind="float", width=512, blocks=6, description="50 MB float")
M500 = Model(name="m500", kind="float", width=1024, blocks=15, description="500 MB float")
M2000 = Model(name="m2000", kind="float", width=2048, blocks=15, description="2 GB float")
INT8 = Model(name="int8", kind="int8", width=1024, blocks=15, description="126 MB int8")
CONV = Model(name="conv", kind="convolution", width=512, blocks=10, description="95 MB convolution")
MODELS = (SMALL, M50, M500, M2000, INT8, CONV)


class _Graph:
    """A graph being written: nodes, and weights that are drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def weight(self, shape: Sequence[int], fan_in: int) -> str:
        drawn = self._random.standard_normal(shape, np.float32) / np.float32(np.sqrt(fan_in))
        return self.constant(drawn)

    def constant(self, array: NDArray[Any]) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def model(self, output: str, shape: Iterable[int]) -> onnx.ModelProto:
        self._nodes.append(helper.make_node("Softmax", [output], ["scores"], axis=-1))
        graph = helper.make_graph(
            self._nodes,
            "bench",
            [helper.make_tensor_value_info(_INPUT, TensorProto.FLOAT, ["rows", *shape])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", _CLASSES])],
            self._weights,
        )
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def _perceptron(model: Model) -> onnx.ModelProto:
    """Return the feed-forward half of a transformer's blocks, between two small layers."""
    graph = _Graph(model.blocks)
    width = model.width
    x = graph.node("Tanh", graph.node("MatMul", _INPUT, graph.weight((FEATURES, width), FEATURES)))
    for _ in range(model.blocks):
        scale = graph.constant(np.ones(width, np.float32))
        y = graph.node("LayerNormalization", x, scale, axis=-1)
        y = graph.node("MatMul", y, graph.weight((width, 4 * width), width))
        y = graph.node("Relu", y)
        y = graph.node("MatMul", y, graph.weight((4 * width, width), 4 * width))
        x = graph.node("Add", x, y)
    return graph.model(graph.node("MatMul", x, graph.weight((width, _CLASSES), width)), (FEATURES,))


def _convolutions(model: Model) -> onnx.ModelProto:
    """Return residual 3x3 convolutions on a small picture, as in the back of a ResNet."""
    graph = _Graph(model.blocks)
    width = model.width

    def convolve(x: str, channels: int, stride: int) -> str:
        kernel = graph.weight((width, channels, 3, 3), 9 * channels)
        bias = graph.constant(np.zeros(width, np.float32))
        return graph.node("Conv", x, kernel, bias, strides=[stride] * 2, pads=[1] * 4)

    x = graph.node("Relu", convolve(_INPUT, 3, 2))
    x = graph.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    for _ in range(model.blocks):
        scaled = graph.node("Mul", x, graph.constant(np.array(0.7, np.float32)))
        x = graph.node("Add", scaled, graph.node("Relu", convolve(x, width, 1)))
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    return graph.model(graph.node("MatMul", x, graph.weight((width, _CLASSES), width)), _IMAGE)


def _save(model: onnx.ModelProto, path: Path) -> None:
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=1024,
    )
    if sum(file.stat().st_size for file in path.parent.iterdir()) < 1024**2:
        # As every exporter does it: a small model is one file.
        small = onnx.load(str(path))
        (path.parent / "model.onnx.data").unlink()
        onnx.save_model(small, str(path))


def _quantise(model: Model) -> None:
    """Quantise the float model of the same layers, by ONNX Runtime's own tool."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    floating = model.directory / "float"
    floating.mkdir()
    _save(_perceptron(model), floating / "model.onnx")
    quantize_dynamic(
        floating / "model.onnx",
        model.path,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )
    shutil.rmtree(floating)


def event_body(document: dict[str, Any]) -> dict[str, Any]:
    """Return the HTTP API's event (payload 2.0) of a request with this document."""
    return {
        "version": "2.0",
        "routeKey": "ANY /v2/models/{proxy+}",
        "rawPath": "/v2/models/small/infer",
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "content-type": "application/json",
            "host": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
            "user-agent": "python-requests/2.32",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "POST",
                "path": "/v2/models/small/infer",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "python-requests/2.32",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "ANY /v2/models/{proxy+}",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1773342238000,
        },
        "isBase64Encoded": False,
        "body": json.dumps(document),
    }
