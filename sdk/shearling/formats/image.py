"""Answer pictures: decode each, make of it what the network takes by a graph, ask the network.

One picture at a time is in memory as pixels, and few as inputs of the network: a body of a few
megabytes may hold thousands of small files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError, InvalidRequestError
from shearling.formats.pictures import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import onnxruntime
    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest
    from shearling.formats.base import Predictor, Tensors

#: Bytes of the network's input that are answered at a time: about 16 pictures of 224 x 224.
BATCH_BYTES = 10 * 2**20

#: Bytes of a value of the network's input: most are floats of 32 bits.
_VALUE_BYTES = 4


@dataclass(frozen=True, slots=True)
class PictureSteps:
    """What makes of the bytes of a picture the input of a network.

    Attributes:
        session: session of the graph from pixels to the network's input.
        channels: channels of the pixels, "RGB" or "L".
        max_pixels: the most pixels of a picture.
    """

    session: onnxruntime.InferenceSession
    channels: str
    max_pixels: int

    def tensor(self, data: bytes) -> NDArray[Any]:
        """Return the network's input for one picture, of shape [1, ...].

        Raises:
            InvalidRequestError: the picture cannot be decoded, or is too large.
        """
        return self.tensor_of(decode(data, self.channels, self.max_pixels))

    def tensor_of(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the network's input for the pixels of one picture."""
        (tensor,) = self.session.run(None, {"pixels": pixels[np.newaxis]})
        return np.asarray(tensor)

    def rows_at_once(self, rows: object) -> int:
        """Return how many pictures a network gets at a time.

        Args:
            rows: the first size of the network's input; no integer if it may vary.
        """
        if rows == 1:
            return 1
        # Of the graph here, since the network may take other heights and widths, too.
        _, *sizes = self.session.get_outputs()[0].shape
        return max(1, BATCH_BYTES // (_VALUE_BYTES * int(prod(sizes))))

    def batch(self, pictures: Iterable[bytes], places: Sequence[str]) -> NDArray[Any]:
        """Return the network's input for several pictures.

        Args:
            pictures: bytes of the pictures.
            places: for each, what an error about it begins with.

        Raises:
            InvalidRequestError: a picture cannot be decoded, or is too large.
        """
        tensors = []
        for data, place in zip(pictures, places, strict=True):
            try:
                tensors.append(self.tensor(data))
            except InvalidRequestError as error:
                raise InvalidRequestError(f"{place}: {error}") from error
        return np.concatenate(tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePredictor:
    """A predictor for a network of pictures.

    Attributes:
        network: predictor of the network.
        taken: name of the network's input.
        steps: what makes of a picture the network's input.
        name: name of the input of pictures.
        rows: how many pictures the network gets at a time.
        is_divisible: whether more pictures may be answered, in several batches.
    """

    network: Predictor
    taken: str
    steps: PictureSteps
    name: str
    rows: int
    is_divisible: bool

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for pictures."""
        count = len(inputs[self.name])
        if count > self.rows and not self.is_divisible:
            raise InvalidRequestError(
                f"{self.name}: {count} pictures, and at most {self.rows} are allowed, because "
                "the answers of this model depend on the other pictures of the request"
            )
        answers = [self.network.predict(batch, outputs) for batch in self.graph_inputs(inputs)]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in outputs}

    def graph_inputs(self, inputs: Tensors) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield what the network reads of pictures, in batches."""
        pictures = inputs[self.name]
        count = len(pictures)
        places = [self.name if count == 1 else f"{self.name}[{i}]" for i in range(count)]
        for start in range(0, count, self.rows):
            rows = slice(start, start + self.rows)
            yield {self.taken: self.steps.batch(pictures[rows], places[rows])}

    def around(self, graph: Predictor) -> ImagePredictor:
        """Return a predictor with the same steps for another network."""
        return replace(self, network=graph)

    def refusal(self, error: Exception) -> str:
        """Return why the network refused its input; pictures are refused before."""
        return self.network.refusal(error)


def with_pictures(
    network: Predictor,
    session: onnxruntime.InferenceSession,
    graph: onnxruntime.InferenceSession,
    manifest: Manifest,
) -> ImagePredictor:
    """Return the predictor of a bundle that takes pictures.

    Args:
        network: predictor of its network.
        session: session of its network.
        graph: session of its graph from pixels to the network's input.
        manifest: its manifest.

    Raises:
        FormatError: Pillow is missing.
    """
    try:
        import PIL.Image  # noqa: F401 - a start that succeeds must be able to answer
    except ImportError as error:
        raise FormatError(
            "the model takes pictures, and this package has no Pillow to decode them: build the "
            "function's package with `shearling package runtime --with image`, and apply; "
            "elsewhere, pip install 'shearling[image]'"
        ) from error
    options = manifest.options["image"]
    (taken,) = session.get_inputs()
    steps = PictureSteps(graph, options["channels"], options["max_pixels"])
    return ImagePredictor(
        network=network,
        taken=taken.name,
        steps=steps,
        name=options["input"],
        rows=steps.rows_at_once(taken.shape[0]),
        is_divisible=manifest.signature.independent_rows,
    )
