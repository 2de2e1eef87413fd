"""What a network of pictures takes: `sdk.Image`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from shearling.errors import InvalidRequestError
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Collection

Channels = Literal["RGB", "BGR", "L"]
Layout = Literal["NCHW", "NHWC"]
Interpolation = Literal["bilinear", "bicubic"]

#: The largest side of a network's input, and of a resized picture.
_LARGEST_SIDE = 4096

#: The most pixels that may be allowed; Pillow's own limit is a little higher.
_MOST_PIXELS = 175_000_000

_PAIR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """How a picture becomes the input of a network, given to `push_model` as `image`.

    Callers send JPEG, PNG or WebP files. Each is decoded, turned as its EXIF says, put on white
    where it is transparent, resized with antialiasing as Pillow and torchvision do, cropped, and
    scaled to `(pixel * scale - mean) / std`. So torchvision's usual steps

        transforms.Compose([
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ])

    are

        sdk.Image(
            size=224,
            crop="center",
            resize=256,
            mean=[0.485, 0.456, 0.406],
            std=[0.229, 0.224, 0.225],
        )

    Attributes:
        size: height and width of the network's input; a number for both.
        crop: "center" keeps the proportions, and cuts the center out of the resized picture. None
            resizes to `size`, whatever the proportions.
        resize: with a crop, the shorter side of the resized picture; by default the larger side of
            `size`.
        mean: what is subtracted after scaling; a number, or one for each channel.
        std: what is divided by at last; a number, or one for each channel.
        scale: what pixels, from 0 to 255, are multiplied with; 1/255 by default. A network of uint8
            gets the pixels as they are.
        layout: order of the axes: "NCHW" as in PyTorch, or "NHWC" as in TensorFlow.
        channels: "RGB", "BGR" as in OpenCV, or "L" for grey.
        interpolation: "bilinear" or "bicubic".
        max_pixels: the most pixels of a picture, which is refused from its header. A picture takes
            up to 7 bytes of memory for each while it is decoded, and 18 if it is WebP.

    Raises:
        InvalidRequestError: a value is not allowed.
    """

    size: int | Sequence[int]
    crop: Literal["center"] | None = None
    resize: int | None = None
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    scale: float | None = None
    layout: Layout = "NCHW"
    channels: Channels = "RGB"
    interpolation: Interpolation = "bilinear"
    max_pixels: int = 50_000_000

    def __post_init__(self) -> None:
        _check_choice("crop", self.crop, ("center", None))
        _check_choice("layout", self.layout, get_args(Layout))
        _check_choice("channels", self.channels, get_args(Channels))
        _check_choice("interpolation", self.interpolation, get_args(Interpolation))
        _check_count("max_pixels", self.max_pixels, _MOST_PIXELS)
        sides = self.size if isinstance(self.size, Sequence) else (self.size,) * _PAIR
        if len(sides) != _PAIR:
            raise _refused("size", self.size, "a number of pixels, or height and width")
        for side in sides:
            _check_count("size", side, _LARGEST_SIDE)
        self._check_resize()
        self._check_scaling()

    def _check_resize(self) -> None:
        if self.resize is None:
            return
        if self.crop is None:
            raise InvalidRequestError(
                "image: resize goes with a crop: set crop='center', or leave resize out to resize "
                "to size"
            )
        _check_count("resize", self.resize, _LARGEST_SIDE)
        if self.resize < max(self.height_and_width):
            raise InvalidRequestError(
                f"image: resize {self.resize} is smaller than size {max(self.height_and_width)}, "
                f"which is cut out of it: set resize={max(self.height_and_width)} or more"
            )

    def _check_scaling(self) -> None:
        for field, values in (("mean", self.means), ("std", self.stds)):
            if len(values) != self.channel_count or not all(map(_is_finite, values)):
                raise _refused(
                    field,
                    getattr(self, field),
                    f"a finite number, or {self.channel_count} for the channels {self.channels}",
                )
        if 0 in self.stds:
            raise _refused("std", self.std, "a number other than 0")
        if self.scale is not None and not (_is_finite(self.scale) and self.scale):
            raise _refused("scale", self.scale, "a finite number other than 0")

    @property
    def height_and_width(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        if isinstance(self.size, int):
            return self.size, self.size
        height, width = self.size
        return height, width

    @property
    def shorter_side(self) -> int | None:
        """The shorter side of the resized picture; None to resize to `size`."""
        if self.crop is None:
            return None
        return self.resize or max(self.height_and_width)

    @property
    def channel_count(self) -> int:
        """Number of channels."""
        return len(self.channels)

    @property
    def means(self) -> tuple[float, ...]:
        """What is subtracted from each channel."""
        return _for_channels(self.mean, self.channel_count)

    @property
    def stds(self) -> tuple[float, ...]:
        """What each channel is divided by."""
        return _for_channels(self.std, self.channel_count)

    @property
    def is_scaled(self) -> bool:
        """Whether scale, mean or std are others than the default."""
        return self.scale is not None or any(self.means) or set(self.stds) != {1.0}

    @property
    def factors(self) -> tuple[float, ...]:
        """What each channel's pixels are multiplied with."""
        scale = 1 / 255 if self.scale is None else self.scale
        return tuple(scale / std for std in self.stds)

    @property
    def offsets(self) -> tuple[float, ...]:
        """What is then added to each channel."""
        return tuple(-mean / std for mean, std in zip(self.means, self.stds, strict=True))

    def shape(self) -> tuple[int, int, int]:
        """Return the shape of one picture as the network takes it."""
        height, width = self.height_and_width
        if self.layout == "NCHW":
            return self.channel_count, height, width
        return height, width, self.channel_count


def _for_channels(value: Any, count: int) -> tuple[float, ...]:
    """Return a number for each channel; another number of values as it is."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return (value,) * count
    return tuple(value)


def _is_finite(value: object) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(value)  # type: ignore[arg-type]
    except TypeError:
        return False


def _check_choice(field: str, value: object, allowed: Collection[object]) -> None:
    if value not in allowed:
        raise _refused(field, value, f"one of {', '.join(map(repr, allowed))}")


def _check_count(field: str, value: object, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise _refused(field, value, f"a whole number from 1 to {most:,}")


def _refused(field: str, value: object, expected: str) -> InvalidRequestError:
    return InvalidRequestError(f"image: {field} {shown(value)} is not {expected}")
