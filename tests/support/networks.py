"""Small trained networks, and graphs of random weights, for tests of quantization."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Layer = tuple[Array, Array]

#: Rows of the digits that train; the others are to be judged on.
_TRAINING = 900

_EPOCHS, _BATCH, _RATE = 15, 64, 2e-3
_CHANNELS = (32, 64)


@cache
def digits() -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    """Rows and labels to train with, then rows and labels that no model has seen."""
    data = load_digits()
    rows = (data.data / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(rows))
    first, rest = order[:_TRAINING], order[_TRAINING:]
    return rows[first], data.target[first], rows[rest], data.target[rest]


def pictures(rows: Array) -> Array:
    """The rows of the digits as pictures of one channel."""
    return rows.reshape(-1, 1, 8, 8)


@cache
def digits_network() -> onnx.ModelProto:
    """A convolutional network that was trained on the digits, with an accuracy of about 0.98."""
    rows, labels, _, _ = digits()
    with threadpool_limits(1):  # on a busy machine, threads that wait for each other take minutes
        return _graph(_trained(pictures(rows), labels))


def perceptron(
    width: int = 64, *, columns: int = 64, classes: int = 10, seed: int = 0
) -> onnx.ModelProto:
    """A perceptron with one hidden layer of random weights, written with `Gemm`."""
    random = np.random.default_rng(seed)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["X", "w1", "b1"], ["h"], name="first", transB=1),
            helper.make_node("Relu", ["h"], ["a"], name="relu"),
            helper.make_node("Gemm", ["a", "w2", "b2"], ["s"], name="second"),
            helper.make_node("Softmax", ["s"], ["probabilities"], name="softmax"),
        ],
        "perceptron",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", columns])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", classes])],
        [
            _weight(random.normal(size=(width, columns)) / 8, "w1"),
            _weight(random.normal(size=width), "b1"),
            _weight(random.normal(size=(width, classes)) / 4, "w2"),
            _weight(random.normal(size=classes), "b2"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def embedding(words: int = 2000, size: int = 96) -> onnx.ModelProto:
    """A table of rows, the mean of some of which passes through a matrix: two operators of text."""
    random = np.random.default_rng(1)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"], name="gather"),
            helper.make_node("ReduceMean", ["rows"], ["mean"], name="mean", axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "w"], ["product"], name="product"),
            helper.make_node("Tanh", ["product"], ["embedding"], name="tanh"),
        ],
        "embedding",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", 5])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", size])],
        [
            _weight(random.normal(size=(words, size)), "table"),
            _weight(random.normal(size=(size, size)) / 8, "w"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def blocks(count: int = 8, width: int = 128) -> onnx.ModelProto:
    """The feed-forward half of a transformer's blocks: many layers add up what each rounds."""
    random = np.random.default_rng(2)
    nodes, weights, x = [], [_weight(np.ones(width), "scale")], "X"
    for i in range(count):
        weights += [
            _weight(random.normal(size=(width, 4 * width)) / width**0.5, f"in{i}"),
            _weight(random.normal(size=(4 * width, width)) / (4 * width) ** 0.5, f"out{i}"),
        ]
        nodes += [
            helper.make_node("LayerNormalization", [x, "scale"], [f"n{i}"], f"norm{i}", axis=-1),
            helper.make_node("MatMul", [f"n{i}", f"in{i}"], [f"h{i}"], f"in{i}"),
            helper.make_node("Gelu", [f"h{i}"], [f"r{i}"], f"gelu{i}"),
            helper.make_node("MatMul", [f"r{i}", f"out{i}"], [f"o{i}"], f"out{i}"),
            helper.make_node("Add", [x, f"o{i}"], [f"x{i}"], f"add{i}"),
        ]
        x = f"x{i}"
    nodes.append(helper.make_node("LpNormalization", [x], ["embedding"], "norm", axis=1, p=2))
    graph = helper.make_graph(
        nodes,
        "blocks",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", width])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _weight(values: Any, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def _trained(images: Array, labels: NDArray[np.int64]) -> list[Layer]:
    """Train two convolutions and a dense layer with Adam, by NumPy alone."""
    random = np.random.default_rng(0)
    sizes = [9, *(9 * width for width in _CHANNELS[:-1]), 4 * _CHANNELS[-1]]
    layers = [
        (
            (random.standard_normal((size, width)) * np.sqrt(2 / size)).astype(np.float32),
            np.zeros(width, np.float32),
        )
        for size, width in zip(sizes, (*_CHANNELS, 10), strict=True)
    ]
    moments = [[np.zeros_like(each) for each in layer for _ in "mv"] for layer in layers]
    step = 0
    for _ in range(_EPOCHS):
        for rows in np.array_split(random.permutation(len(images)), len(images) // _BATCH):
            step += 1
            gradients = _gradients(layers, images[rows], labels[rows])
            for layer, gradient, moment in zip(layers, gradients, moments, strict=True):
                for place in (0, 1):
                    _adam(layer[place], gradient[place], moment[2 * place : 2 * place + 2], step)
    return layers


def _adam(weight: Array, gradient: Array, moments: list[Array], step: int) -> None:
    mean, square = moments
    mean += 0.1 * (gradient - mean)
    square += 0.001 * (gradient**2 - square)
    scale = np.sqrt(square / (1 - 0.999**step)) + 1e-8
    weight -= (_RATE * mean / (1 - 0.9**step) / scale).astype(np.float32)


def _gradients(layers: list[Layer], images: Array, labels: NDArray[np.int64]) -> list[Layer]:
    x, seen = images, []
    for kernel, bias in layers[:-1]:
        patches = _patches(x)
        z = patches @ kernel + bias
        rows, height, width, channels = z.shape
        quarters = np.maximum(z, 0).reshape(rows, height // 2, 2, width // 2, 2, channels)
        pooled = quarters.max((2, 4))
        seen.append((patches, z, quarters, pooled, x.shape[1]))
        x = pooled.transpose(0, 3, 1, 2)
    flat = x.reshape(len(x), -1)
    weight, bias = layers[-1]
    scores = flat @ weight + bias
    wrong = np.exp(scores - scores.max(1, keepdims=True))
    wrong /= wrong.sum(1, keepdims=True)
    wrong[np.arange(len(labels)), labels] -= 1
    wrong /= len(labels)
    found = [(flat.T @ wrong, wrong.sum(0))]
    back = (wrong @ weight.T).reshape(x.shape)
    for (kernel, _), (patches, z, quarters, pooled, channels) in zip(
        layers[-2::-1], seen[::-1], strict=True
    ):
        largest = quarters == pooled[:, :, None, :, None, :]
        shared = largest / largest.sum((2, 4), keepdims=True)
        inner = shared * back.transpose(0, 2, 3, 1)[:, :, None, :, None, :]
        inner = (inner.reshape(z.shape) * (z > 0)).astype(np.float32)
        rows = inner.reshape(-1, inner.shape[-1])
        found.append((patches.reshape(len(rows), -1).T @ rows, rows.sum(0)))
        back = _unpatched(inner @ kernel.T, channels)
    return found[::-1]


def _patches(x: Array) -> Array:
    """Cut pictures into the 3 x 3 surroundings of each pixel."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(x), *x.shape[2:], -1)


def _unpatched(patches: Array, channels: int) -> Array:
    """Add the surroundings of each pixel up to pictures."""
    rows, height, width, _ = patches.shape
    parts = patches.reshape(rows, height, width, channels, 3, 3)
    total = np.zeros((rows, channels, height + 2, width + 2), np.float32)
    for i in range(3):
        for j in range(3):
            total[:, :, i : i + height, j : j + width] += parts[..., i, j].transpose(0, 3, 1, 2)
    return total[:, :, 1:-1, 1:-1]


def _graph(layers: list[Layer]) -> onnx.ModelProto:
    nodes, weights, x, channels = [], [], "image", 1
    for i, (kernel, bias) in enumerate(layers[:-1]):
        weights += [_weight(kernel.T.reshape(-1, channels, 3, 3), f"k{i}"), _weight(bias, f"b{i}")]
        nodes += [
            helper.make_node("Conv", [x, f"k{i}", f"b{i}"], [f"z{i}"], f"conv{i}", pads=[1] * 4),
            helper.make_node("Relu", [f"z{i}"], [f"a{i}"], f"relu{i}"),
            helper.make_node(
                "MaxPool", [f"a{i}"], [f"p{i}"], f"pool{i}", kernel_shape=[2, 2], strides=[2, 2]
            ),
        ]
        x, channels = f"p{i}", kernel.shape[1]
    weights += [_weight(layers[-1][0], "w"), _weight(layers[-1][1], "b")]
    nodes += [
        helper.make_node("Flatten", [x], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w", "b"], ["scores"], "dense"),
        helper.make_node("Softmax", ["scores"], ["probabilities"], "softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 10])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
