"""Write the graph from the pixels of a picture to the input of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

    from shearling.converters.image_settings import Image

#: The first opset whose `Resize` has antialiasing, and the IR version of its time.
_OPSET, _IR = 18, 8

#: Axes of height and width.
_SIDES = [2, 3]


def picture_graph(image: Image, datatype: str) -> onnx.ModelProto:
    """Return the graph from `pixels`, UINT8 of [1, channels, height, width], to `tensor`.

    Pixels are resized as whole numbers, which is what Pillow does: the results differ by one of
    255 steps at most, and seldom. With floats, many more would differ.

    Args:
        image: how a picture becomes the network's input.
        datatype: datatype of the network's input.
    """
    from onnx import helper

    from shearling.tensors.dtypes import DTYPES

    writer = _Writer()
    small = _cropped(writer, image) if image.shorter_side else _stretched(writer, image)
    if image.channels == "BGR":
        small = writer.node("Gather", [small, writer.constant([2, 1, 0])], axis=1)
    if datatype != "UINT8":
        factors, offsets = (
            np.array(values, np.float32).reshape(1, -1, 1, 1)
            for values in (image.factors, image.offsets)
        )
        small = writer.node("Cast", [small], to=helper.np_dtype_to_tensor_dtype(np.dtype("f4")))
        small = writer.node("Mul", [small, writer.constant(factors)])
        small = writer.node("Add", [small, writer.constant(offsets)])
    if image.layout == "NHWC":
        small = writer.node("Transpose", [small], perm=[0, 2, 3, 1])
    kind = helper.np_dtype_to_tensor_dtype(DTYPES[datatype])
    writer.node("Cast", [small], "tensor", to=kind)
    return writer.model(image.channel_count, kind, image.shape())


def _stretched(writer: _Writer, image: Image) -> str:
    """Resize to the network's size, whatever the proportions."""
    return _resized(writer, image, writer.constant([*image.height_and_width]))


def _cropped(writer: _Writer, image: Image) -> str:
    """Resize the shorter side, and cut out the center, as torchvision does."""
    height_and_width = writer.node("Shape", ["pixels"], start=_SIDES[0])
    shorter = writer.node("ReduceMin", [height_and_width])
    target = writer.constant([image.shorter_side])
    scaled = writer.node("Mul", [height_and_width, target])
    sizes = writer.node("Div", [scaled, shorter])
    resized = _resized(writer, image, sizes)
    size = writer.constant([*image.height_and_width])
    margin = writer.node("Cast", [writer.node("Sub", [sizes, size])], to=1)
    half = writer.node("Mul", [margin, writer.constant(np.array(0.5, np.float32))])
    # Half a pixel is rounded to the even number, as Python's `round` does in torchvision.
    start = writer.node("Cast", [writer.node("Round", [half])], to=7)
    end = writer.node("Add", [start, size])
    return writer.node("Slice", [resized, start, end, writer.constant(_SIDES)])


def _resized(writer: _Writer, image: Image, sizes: str) -> str:
    method: dict[str, Any] = {"mode": "linear"}
    if image.interpolation == "bicubic":
        method = {"mode": "cubic", "cubic_coeff_a": -0.5}
    return writer.node(
        "Resize",
        ["pixels", "", "", sizes],
        axes=_SIDES,
        antialias=1,
        coordinate_transformation_mode="half_pixel",
        exclude_outside=1,  # what is outside has no weight, as in Pillow
        **method,
    )


class _Writer:
    """Collects the nodes and constants of a graph."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        from onnx import helper

        name = output or f"{operator} {len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        name = f"constant {len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def model(self, channels: int, kind: int, shape: tuple[int, ...]) -> onnx.ModelProto:
        """Return the model, whose output has a type and, for each picture, a shape."""
        from onnx import TensorProto, helper

        pixels: list[int | str | None] = [1, channels, "height", "width"]
        graph = helper.make_graph(
            self._nodes,
            "picture",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, pixels)],
            [helper.make_tensor_value_info("tensor", kind, [1, *shape])],
            self._constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=_IR)
