"""Decode a JPEG, PNG or WebP file to pixels, with a limit on their number.

The pixels are as a viewer shows them: turned as EXIF says, and on white where they are transparent.
Of an animation only the first frame is decoded.
"""

from __future__ import annotations

import io
import warnings
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

#: Format of a file -> Pillow's module for it. Only what begins as these is given to Pillow.
_MODULES = {
    "JPEG": "PIL.JpegImagePlugin",
    "PNG": "PIL.PngImagePlugin",
    "WEBP": "PIL.WebPImagePlugin",
}

#: How much longer one side of a picture may be: a thin one would be very large when resized.
_LONGEST = 50

#: Pixels that are converted at a time, so that the copies are small.
_BAND_PIXELS = 2**18

#: EXIF's tag of the orientation; value -> whether to mirror the picture, then quarters of a turn
#: to the left.
_ORIENTATION = 0x0112
_TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3)}
_TURNS[8] = (False, 1)

#: Pixels of 16 bits are cut to the upper 8, as Pillow does for coloured ones.
_UPPER = 8

_WHITE = (255, 255, 255, 255)


def decode(data: bytes, channels: str, max_pixels: int) -> NDArray[np.uint8]:
    """Return the pixels of a file, in an array of shape [channels, height, width].

    Args:
        data: the bytes of the file.
        channels: "RGB", or "L" for grey.
        max_pixels: the most pixels; of more, none is decoded.

    Raises:
        InvalidRequestError: it is no picture of a known format, is damaged, or has too many pixels.
    """
    kind = _kind_of(data)
    import_module(_MODULES[kind])
    from PIL import Image

    try:
        with warnings.catch_warnings():  # such as of damaged EXIF, or of many pixels
            warnings.simplefilter("ignore")
            pixels, (is_mirrored, quarters) = _read(data, kind, channels, max_pixels)
    except (InvalidRequestError, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, which is far higher
        raise _too_many("more pixels than Pillow reads", max_pixels) from error
    except Exception as error:  # Pillow's readers raise errors of any class
        reason = f"{error!s:.200}" or type(error).__name__
        raise InvalidRequestError(
            f"the {kind} picture cannot be decoded: {reason}. Send a whole file of JPEG, PNG or "
            "WebP"
        ) from error
    mirrored = pixels[:, :, ::-1] if is_mirrored else pixels
    return np.ascontiguousarray(np.rot90(mirrored, quarters, axes=(1, 2)))


def _read(
    data: bytes, kind: str, channels: str, max_pixels: int
) -> tuple[NDArray[np.uint8], tuple[bool, int]]:
    """Return the pixels of a file, and how to turn them; Pillow's own copy ends with this call."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        _check_size(image.size, max_pixels)
        image.load()
        return _pixels(image, channels), _turn_of(image)


def _kind_of(data: bytes) -> str:
    """Return the format that the first bytes of a file say."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    begins = f"begins with {data[:12]!r}" if data else "is empty"
    raise InvalidRequestError(f"not a JPEG, PNG or WebP picture: it {begins}")


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise _too_many(f"{width} x {height} pixels", max_pixels)
    if max(size) > _LONGEST * min(size):
        raise InvalidRequestError(
            f"the picture has {width} x {height} pixels: one side may be {_LONGEST} times as long "
            "as the other at most"
        )


def _too_many(size: str, max_pixels: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"the picture has {size}, and {max_pixels:,} are allowed: make it smaller, or push the "
        "model with a larger max_pixels in sdk.Image"
    )


def _turn_of(image: Image) -> tuple[bool, int]:
    """Return whether to mirror an image, and the quarters of a turn to the left that it needs."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1), (False, 0))
    except Exception:  # noqa: BLE001 - a viewer shows a picture whose EXIF is damaged, too
        return False, 0


def _pixels(image: Image, channels: str) -> NDArray[np.uint8]:
    """Return the pixels of a decoded image; in bands, so that no whole copy is made."""
    width, height = image.size
    pixels = np.empty((len(channels), height, width), np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        band = _converted(image.crop((0, top, width, bottom)), channels)
        for plane, channel in zip(pixels, band.split(), strict=True):
            plane[top:bottom] = np.asarray(channel)
    return pixels


def _converted(image: Image, channels: str) -> Image:
    import PIL.Image

    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.int64) >> _UPPER).clip(0, 255).astype(np.uint8)
        image = PIL.Image.fromarray(grey)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, _WHITE), image)
    # Not grey from a palette or CMYK at once: Pillow would not go by the way of RGB.
    return image.convert("RGB").convert(channels) if image.mode != channels else image
