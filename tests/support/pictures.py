"""Pictures that are drawn or photographed, and small networks that answer them."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Side of what the networks take.
SIDE = 32

COLOURS = ["red", "green", "blue"]


@cache
def photographs() -> tuple[NDArray[np.uint8], ...]:
    """Two photographs, of a temple and of a flower, 640 x 427 pixels each."""
    return tuple(load_sample_images().images)


def drawn(width: int = 90, height: int = 60, colour: str = "red") -> Image.Image:
    """A picture of a bright bar on the left of a coloured ground, so that each turn of it shows."""
    image = Image.new("RGB", (width, height), colour)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, width // 8, height // 2), fill="white")
    pen.ellipse((width // 2, height // 4, width - 2, height - 4), outline="black", width=3)
    return image


def file_of(image: Image.Image | NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """The file of a picture."""
    stream = io.BytesIO()
    opened = image if isinstance(image, Image.Image) else Image.fromarray(image)
    opened.save(stream, kind, **options)
    return stream.getvalue()


def network(
    shape: Sequence[int | str] = ("rows", 3, SIDE, SIDE),
    *,
    datatype: int = TensorProto.FLOAT,
    seed: int = 0,
) -> onnx.ModelProto:
    """A convolutional network of random weights with `probabilities` of three classes."""
    channels = int(shape[1])
    weights = np.random.default_rng(seed).normal(size=(len(COLOURS), channels, 3, 3))
    nodes = [
        helper.make_node("Cast", ["X"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["floats", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("Softmax", ["f"], ["probabilities"]),
    ]
    output = [shape[0], len(COLOURS)]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("X", datatype, [*shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def mean_colours(shape: Sequence[int | str] = ("rows", 3, SIDE, SIDE)) -> onnx.ModelProto:
    """A network whose `probabilities` of red, green and blue are the colours' shares."""
    axes = [2, 3] if shape[1] == len(COLOURS) else [1, 2]
    nodes = [
        helper.make_node("ReduceMean", ["X"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("ReduceSum", ["mean", "last"], ["sum"]),
        helper.make_node("Div", ["mean", "sum"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [*shape])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [shape[0], 3])],
        [numpy_helper.from_array(np.array([1]), "last")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def echo(shape: Sequence[int | str]) -> onnx.ModelProto:
    """A network that returns its input, so that a test sees what was made of a picture."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["X"], ["tensor"])],
        "echo",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [*shape])],
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, [*shape])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
