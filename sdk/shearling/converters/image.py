"""Convert a network of pictures: what makes its input of a picture goes before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters.image_graph import picture_graph
from shearling.converters.image_reference import check_alike, prepared
from shearling.converters.onnx_files import write_graph
from shearling.converters.onnx_inputs import stated_inputs
from shearling.errors import FormatError, InvalidRequestError
from shearling.formats.image import PictureSteps
from shearling.formats.onnx import open_session
from shearling.formats.pictures import decode
from shearling.tensors.pictures import as_pictures, pillow
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from shearling.converters.base import ConvertedModel
    from shearling.converters.image_settings import Image, Layout
    from shearling.formats.base import Tensors

    #: Converts a network to ONNX in a directory, given an example of the network's own input.
    ConvertNetwork = Callable[[Any, NDArray[Any], Path], ConvertedModel]

#: Path of the graph of the pictures in a bundle, and name of the input of pictures.
GRAPH, INPUT = "image.onnx", "image"

#: Datatypes that a network's input may have.
_DATATYPES = ("FP16", "FP32", "FP64", "UINT8")


def convert(
    model: Any, example: Any, directory: Path, image: Image, convert_network: ConvertNetwork
) -> ConvertedModel:
    """Convert a network with the steps from a picture to its input.

    Pixels are whole numbers, which may be rounded to a neighbour, and a network may make any
    difference of that. So two things are proven: each picture is within one step of what Pillow
    makes of it, and the converted network answers the same input as the original network does.

    Args:
        model: the network: anything that `push_model` converts to ONNX.
        example: pictures.
        directory: existing directory for the files.
        image: how a picture becomes the network's input.
        convert_network: converts the network.

    Raises:
        FormatError: the network cannot be converted, or a picture differs from Pillow's.
        InvalidRequestError: the example has no pictures, or they do not fit the network.
    """
    pillow()
    pictures = as_pictures(example, "example")
    if not len(pictures):
        raise InvalidRequestError("example has no pictures: pass at least one")
    declared = _declared(model, image)
    tensors = _Steps.write(image, declared, directory).proven(pictures, "example")
    is_single = declared.shape[0] == 1
    inner = convert_network(model, tensors[:1] if is_single else tensors, directory)
    taken = _checked(inner.signature.inputs, image)
    network = _Network(inner, _Steps.write(image, taken, directory))
    rows = {INPUT: pictures}
    return replace(
        inner,
        files={**inner.files, GRAPH: directory / GRAPH},
        signature=Signature(
            inputs=(TensorSpec(name=INPUT, datatype="BYTES", shape=(-1,), content="image"),),
            outputs=tuple(_by_picture(spec, is_single) for spec in inner.signature.outputs),
        ),
        inputs=rows,
        expected=network.answer(rows),
        original=replace(
            inner.original,
            rows=rows,
            answer=network.answer,
            margin=network.margin if inner.original.margin else None,
        ),
        options={
            **inner.options,
            "image": {
                "input": INPUT,
                "graph": GRAPH,
                "channels": "L" if image.channels == "L" else "RGB",
                "max_pixels": image.max_pixels,
            },
        },
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    """The steps from a picture to a network's input.

    Attributes:
        image: how a picture becomes the network's input.
        taken: the network's input.
        steps: the same as a graph.
    """

    image: Image
    taken: TensorSpec
    steps: PictureSteps

    @classmethod
    def write(cls, image: Image, taken: TensorSpec, directory: Path) -> _Steps:
        """Write the graph, and return the steps."""
        path = write_graph(picture_graph(image, taken.datatype), directory / GRAPH)
        channels = "L" if image.channels == "L" else "RGB"
        steps = PictureSteps(open_session(path, None), channels, image.max_pixels)
        return cls(image, taken, steps)

    def proven(self, pictures: NDArray[Any], place: str) -> NDArray[Any]:
        """Return the network's input for pictures, each of which is what Pillow makes of it.

        Raises:
            FormatError: a picture differs from Pillow's.
            InvalidRequestError: a picture cannot be decoded.
        """
        tensors = []
        for i, data in enumerate(pictures):
            try:
                pixels = decode(data, self.steps.channels, self.steps.max_pixels)
            except InvalidRequestError as error:
                raise InvalidRequestError(f"{place}[{i}]: {error}") from error
            tensors.append(self.steps.tensor_of(pixels))
            expected = prepared(pixels, self.image, self.taken.datatype)
            check_alike(tensors[-1], expected, self.image, f"{place}[{i}]")
        return np.concatenate(tensors)


@dataclass(frozen=True, slots=True)
class _Network:
    """The network that was pushed, asked about pictures."""

    inner: ConvertedModel
    steps: _Steps

    def answer(self, rows: Tensors) -> Tensors:
        """Return the network's answers to pictures, by output name."""
        answers = self._asked(self.inner.original.answer, rows)
        return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}

    def margin(self, rows: Tensors) -> NDArray[Any]:
        """Return how far the chosen class is ahead; see `Original.margin`."""
        ask = self.inner.original.margin
        assert ask is not None  # noqa: S101 - else nobody asks
        return np.concatenate(self._asked(ask, rows))

    def _asked(self, ask: Callable[[Tensors], Any], rows: Tensors) -> list[Any]:
        taken, pictures = self.steps.taken, rows[INPUT]
        size = self.steps.steps.rows_at_once(taken.shape[0])
        return [
            ask({taken.name: self.steps.proven(pictures[start : start + size], INPUT)})
            for start in range(0, len(pictures), size)
        ]


def _declared(model: Any, image: Image) -> TensorSpec:
    """Return the input that a graph states; for any other network, what is usual."""
    is_file = isinstance(model, str | Path)
    if is_file or type(model).__name__ == "ModelProto":
        stated = stated_inputs(Path(model) if is_file else model)
        if stated:
            return _checked(stated, image)
    return TensorSpec(name=INPUT, datatype="FP32", shape=(-1, *image.shape()))


def _checked(inputs: Sequence[TensorSpec], image: Image) -> TensorSpec:
    """Return the input of a network if it takes pictures as they will be made.

    Raises:
        InvalidRequestError: it does not; the message says what to set.
    """
    names = ", ".join(map(str, inputs))
    if len(inputs) != 1:
        raise InvalidRequestError(
            f"image: the network takes {names:.200}, and a network of pictures has one input: "
            "leave image out, and send arrays of pixels"
        )
    (taken,) = inputs
    if taken.datatype not in _DATATYPES:
        raise InvalidRequestError(
            f"image: the network takes {names:.200}, and pictures become {', '.join(_DATATYPES)}"
        )
    made = (-1, *image.shape())
    fits = len(taken.shape) == len(made) and taken.shape[0] in (-1, 1)
    if not fits or any(
        size not in (-1, own) for size, own in zip(taken.shape[1:], made[1:], strict=True)
    ):
        other: Layout = "NHWC" if image.layout == "NCHW" else "NCHW"
        turned = replace(image, layout=other).shape()
        hint = f"layout={other!r}" if taken.shape[1:] == turned else "size, channels or layout"
        raise InvalidRequestError(
            f"image: pictures become an array of shape {list(made)}, and the network takes "
            f"{names:.200}: change {hint} of sdk.Image"
        )
    if taken.datatype == "UINT8" and image.is_scaled:
        raise InvalidRequestError(
            f"image: the network takes pixels as they are, {names:.200}: leave scale, mean and std "
            "out"
        )
    return taken


def _by_picture(spec: TensorSpec, is_single: bool) -> TensorSpec:  # noqa: FBT001 - of the network
    """Return an output with a row for each picture."""
    if spec.shape[:1] != ((1,) if is_single else (-1,)):
        raise FormatError(
            f"output {spec!s:.200} of the network has no row for each picture, so it cannot be "
            "served. Nothing was published"
        )
    return replace(spec, shape=(-1, *spec.shape[1:]))
