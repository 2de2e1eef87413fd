"""Take pictures as callers have them: paths, bytes, images of Pillow, and arrays of pixels."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec

_EXPECTED = "a path, the bytes of a file, an image of Pillow, or an array of uint8 pixels"

#: Modes of Pillow's images that a PNG file can have.
_MODES = ("1", "I", "I;16", "L", "LA", "P", "RGB", "RGBA")

#: Sizes of the last axis of a coloured picture: RGB, and RGB with alpha.
_COLOURS = (3, 4)

#: Dimensions of the pixels of a grey and of a coloured picture.
_GREY, _COLOURED = 2, 3


def with_pictures(value: Any, specs: Sequence[TensorSpec]) -> Any:
    """Return a value with the inputs of pictures as arrays of bytes, by name.

    Args:
        value: what `to_tensors` takes.
        specs: the inputs of a signature.

    Raises:
        InvalidRequestError: an element is no picture; the message names it.
    """
    named = value if isinstance(value, dict) or hasattr(value, "columns") else None
    if named is None:
        if len(specs) != 1:
            return value
        return {specs[0].name: as_pictures(value, f"input {specs[0].name!r}")}
    names = list(named) if isinstance(named, dict) else list(named.columns)
    found = {name: named[name] for name in names}
    for spec in specs:
        if spec.content and spec.name in found:
            found[spec.name] = as_pictures(found[spec.name], f"input {spec.name!r}")
    return found


def as_pictures(value: Any, what: str) -> NDArray[Any]:
    """Return pictures as the bytes of files, in an array of one dimension.

    Args:
        value: a picture, or several: a list, a Series, or an array of pixels with one more axis.
        what: what error messages begin with.

    Raises:
        InvalidRequestError: an element is no picture, or a file cannot be read.
    """
    if _is_one(value):
        value = [value]
    try:
        elements = list(value)
    except TypeError as error:
        raise InvalidRequestError(f"{what}: {shown(value)} is not {_EXPECTED}") from error
    pictures = np.empty(len(elements), object)
    for i, element in enumerate(elements):
        pictures[i] = _file_of(element, f"{what}[{i}]")
    return pictures


def _is_one(value: Any) -> bool:
    """Return whether a value is a picture, rather than several."""
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OSU":
        return value.ndim < _COLOURED or (value.ndim == _COLOURED and value.shape[2] in _COLOURS)
    return isinstance(value, str | Path | bytes | bytearray | memoryview) or _is_image(value)


def _is_image(value: Any) -> bool:
    """Return whether a value is an image of Pillow, without importing Pillow."""
    return hasattr(value, "getbands") and hasattr(value, "save")


def _file_of(element: Any, place: str) -> bytes:
    """Return the bytes of the file of a picture; that of pixels is a PNG."""
    if isinstance(element, bytes | bytearray | memoryview):
        return bytes(element)
    if isinstance(element, str | Path):
        try:
            return Path(element).read_bytes()
        except (OSError, ValueError) as error:  # a path with NUL is a ValueError
            reason = getattr(error, "strerror", None) or error
            raise InvalidRequestError(
                f"{place}: file {shown(str(element))} cannot be read: {reason}. Pass {_EXPECTED}"
            ) from error
    if isinstance(element, np.ndarray):
        element = _image_of(element, place)
    if not _is_image(element):
        raise InvalidRequestError(f"{place}: {shown(element)} is not {_EXPECTED}")
    image = element if element.mode in _MODES else element.convert("RGB")
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _image_of(pixels: NDArray[Any], place: str) -> Any:
    is_coloured = pixels.ndim == _COLOURED and pixels.shape[2] in _COLOURS
    if pixels.dtype != np.uint8 or not (pixels.ndim == _GREY or is_coloured) or not pixels.size:
        raise InvalidRequestError(
            f"{place}: an array of {pixels.dtype} of shape {list(pixels.shape)}: pixels are uint8 "
            "of shape [height, width], or [height, width, 3 or 4] for RGB and RGBA"
        )
    return pillow().fromarray(np.ascontiguousarray(pixels))


def pillow() -> Any:
    """Return Pillow's module `PIL.Image`.

    Raises:
        InvalidRequestError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidRequestError(
            "pictures need Pillow: install it with pip install 'shearling[image]'"
        ) from error
    return Image
