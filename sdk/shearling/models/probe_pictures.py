"""Make pictures unlike the example's: other sizes, proportions, colours and kinds of files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

#: Sides of a picture that is made from the example's, and of the smallest.
_LONG, _SHORT = 300, 7


def other_pictures(pictures: NDArray[Any]) -> NDArray[Any]:
    """Return files of pictures that are made from the first of some.

    Args:
        pictures: files of pictures.
    """
    from PIL import Image

    with Image.open(io.BytesIO(pictures[0])) as image:
        first = image.convert("RGB").resize((_LONG, _LONG))
    faded = first.convert("RGBA")
    faded.putalpha(first.convert("L"))
    made = [
        _file(first.resize((_LONG, _SHORT)), "PNG"),
        _file(first.resize((_SHORT, _LONG)), "PNG"),
        _file(first.resize((1, 1)), "PNG"),
        _file(first.convert("L"), "JPEG"),
        _file(first.convert("CMYK"), "JPEG"),
        _file(first.quantize(16), "PNG"),
        _file(faded, "WEBP"),
        _file(Image.new("RGB", (_LONG, _LONG)), "PNG"),
        _file(Image.new("RGB", (_LONG, _LONG), "white"), "PNG"),
    ]
    return np.array(made, object)


def _file(image: Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()
