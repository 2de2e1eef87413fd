"""Make of a picture what a network takes with Pillow alone: what the graph is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError
from shearling.tensors.dtypes import DTYPES
from shearling.tensors.pictures import pillow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.converters.image_settings import Image

#: Steps of a pixel by which the graph may differ, and the relative rounding of floats.
_STEPS, _ROUNDING = 1.01, 1e-5

#: Share of the values that may differ by two steps, and their number in a small picture. Pixels are
#: rounded after each of two passes, and where both are ties, each may go the other way.
_TIES, _FEW = 0.001, 3


def prepared(pixels: NDArray[np.uint8], image: Image, datatype: str) -> NDArray[Any]:
    """Return the input of a network for one picture, of shape [1, ...].

    Args:
        pixels: decoded picture of shape [channels, height, width].
        image: how a picture becomes the network's input.
        datatype: datatype of the network's input.
    """
    channels = np.moveaxis(pixels, 0, -1)
    picture = pillow().fromarray(channels[..., 0] if len(pixels) == 1 else channels)
    height, width = image.height_and_width
    if image.shorter_side:
        size = [image.shorter_side * side // min(picture.size) for side in picture.size]
        left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
        picture = _resized(picture, (size[0], size[1]), image)
        picture = picture.crop((left, top, left + width, top + height))
    else:
        picture = _resized(picture, (width, height), image)
    values = np.asarray(picture).reshape(height, width, -1)
    if image.channels == "BGR":
        values = values[..., ::-1]
    if datatype != "UINT8":
        factors, offsets = (np.array(each, np.float32) for each in (image.factors, image.offsets))
        values = values.astype(np.float32) * factors + offsets
    if image.layout == "NCHW":
        values = np.moveaxis(values, -1, 0)
    return np.ascontiguousarray(values[np.newaxis], DTYPES[datatype])


def _resized(picture: Any, size: tuple[int, int], image: Image) -> Any:
    """Resize to a width first, and then to a height, as Pillow did in all cases before 13.

    The order makes a difference where a bicubic curve leaves the range of a pixel.
    """
    method = pillow().Resampling[image.interpolation.upper()]
    return picture.resize((size[0], picture.height), method).resize(size, method)


def check_alike(tensor: NDArray[Any], expected: NDArray[Any], image: Image, place: str) -> None:
    """Refuse what the graph makes of a picture if it differs from what Pillow does.

    Args:
        tensor: what the graph made.
        expected: what Pillow made.
        image: how a picture becomes the network's input.
        place: what the error begins with.

    Raises:
        FormatError: they differ by more than one step of a pixel, but for a few ties.
    """
    given, wanted = tensor.astype(np.float64), expected.astype(np.float64)
    step = 1.0 if tensor.dtype == np.uint8 else max(map(abs, image.factors))
    rounding = _ROUNDING
    if tensor.dtype == np.float16:
        rounding += float(np.finfo(np.float16).eps)
    if given.shape != wanted.shape:
        raise FormatError(f"{place}: the graph gives {given.shape}, and Pillow {wanted.shape}")
    far = [
        ~np.isclose(given, wanted, rtol=rounding, atol=steps * step)
        for steps in (_STEPS, 2 * _STEPS)
    ]
    if far[0].sum() > max(_FEW, _TIES * given.size) or far[1].any():
        worst = float(np.abs(given - wanted).max()) / step
        raise FormatError(
            f"{place}: ONNX Runtime resizes the picture otherwise than Pillow, by {worst:.1f} of "
            "255 steps. Nothing was published"
        )
