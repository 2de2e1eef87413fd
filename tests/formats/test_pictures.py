"""What is decoded of JPEG, PNG and WebP files, and which files are refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from shearling.errors import InvalidRequestError
from shearling.formats.pictures import decode
from tests.support.pictures import drawn, file_of, photographs

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANY = 50_000_000
PICTURE = drawn()
WHITE = [255, 255, 255]


def pixels(data: bytes, channels: str = "RGB") -> NDArray[np.uint8]:
    """The decoded pixels as numpy has pictures: height, width, channels."""
    return np.moveaxis(decode(data, channels, MANY), 0, -1)


def refusal(data: bytes, most: int = MANY) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        decode(data, "RGB", most)
    return str(caught.value)


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# Formats


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"quality": 30}, {"optimize": True}]
)
def test_a_jpeg_is_decoded_as_pillow_does(options: dict[str, Any]) -> None:
    data = file_of(photographs()[0], "JPEG", **options)
    np.testing.assert_array_equal(pixels(data), np.asarray(_opened(data)))


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_a_lossless_file_keeps_each_pixel(kind: str, options: dict[str, Any]) -> None:
    data = file_of(photographs()[1], kind, **options)
    np.testing.assert_array_equal(pixels(data), photographs()[1])


@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_is_turned_as_exif_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG", "WEBP"):
        data = file_of(PICTURE, kind, exif=exif)
        turned = ImageOps.exif_transpose(_opened(data))
        np.testing.assert_array_equal(pixels(data), np.asarray(turned.convert("RGB")))


def test_a_picture_with_damaged_exif_is_decoded() -> None:
    data = file_of(PICTURE, "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff garbage")
    assert pixels(data).shape == (60, 90, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_transparent_picture_is_put_on_white(kind: str) -> None:
    image = drawn().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    found = pixels(file_of(image, kind, **options))
    values = np.asarray(image, float)
    alpha = values[..., 3:] / 255
    np.testing.assert_allclose(found, values[..., :3] * alpha + 255 * (1 - alpha), atol=1)


def test_transparency_of_grey_of_a_palette_and_of_one_colour_is_white() -> None:
    grey = Image.new("LA", (4, 4), (0, 0))
    palette = Image.new("P", (4, 4), 7)
    palette.putpalette([0] * 768)
    for data in (
        file_of(grey),
        file_of(palette, transparency=7),
        file_of(Image.new("RGB", (4, 4), (1, 2, 3)), transparency=(1, 2, 3)),
        file_of(Image.new("L", (4, 4), 9), transparency=9),
    ):
        assert (pixels(data) == WHITE).all()
        assert (pixels(data, "L") == WHITE[0]).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_modes_are_converted_as_pillow_does(mode: str) -> None:
    image = drawn(colour="green").convert(mode)
    data = file_of(image, "JPEG" if mode == "CMYK" else "PNG")
    expected = _opened(data).convert("RGB")
    np.testing.assert_array_equal(pixels(data), np.asarray(expected))
    np.testing.assert_array_equal(pixels(data, "L")[..., 0], np.asarray(expected.convert("L")))


def test_cmyk_is_not_inverted() -> None:
    found = pixels(file_of(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    np.testing.assert_allclose(found[8, 8], [255, 0, 0], atol=6)


def test_sixteen_bits_become_eight() -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16).repeat(2, axis=0)
    found = pixels(file_of(Image.fromarray(values)))
    assert found[0, :, 0].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    frames = [drawn(colour=colour) for colour in ("red", "green", "blue")]
    data = file_of(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    found = pixels(data)[50, 5]
    assert found[0] > 200
    assert found[2] < 60


def test_bands_leave_no_seam() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (700, 801, 3), np.uint8)
    np.testing.assert_array_equal(pixels(file_of(wide)), wide)


# Refusals


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"GIF89a\x01\x00", "not a JPEG, PNG or WebP picture: it begins with b'GIF89a"),
        (b"<svg xmlns=", "not a JPEG, PNG or WebP picture"),
        (file_of(PICTURE, "BMP"), "not a JPEG, PNG or WebP picture: it begins with b'BM"),
        (file_of(PICTURE, "TIFF"), "not a JPEG, PNG or WebP picture"),
        (b"\xff\xd8\xff\xe0", "the JPEG picture cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n", "the PNG picture cannot be decoded"),
        (b"RIFF\x04\0\0\0WEBP", "the WEBP picture cannot be decoded"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    data = file_of(photographs()[0], kind)
    assert f"the {kind} picture cannot be decoded" in refusal(data[: len(data) // 2])


def test_more_pixels_than_allowed_are_refused_from_the_header() -> None:
    message = refusal(file_of(PICTURE), most=5399)
    assert message.startswith("the picture has 90 x 60 pixels, and 5,399 are allowed")
    assert decode(file_of(PICTURE), "RGB", 5400).shape == (3, 60, 90)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((30_000, 30_000), "more pixels than Pillow reads, and 50,000,000 are allowed"),
        ((10_000, 10_000), "10000 x 10000 pixels, and 50,000,000 are allowed"),
        ((2**31 - 1, 2**31 - 1), ""),
        ((1, 40_000_000), "one side may be 50 times as long"),
        ((0, 5), ""),
    ],
)
def test_a_bomb_is_refused_before_it_is_decoded(size: tuple[int, int], reason: str) -> None:
    tracemalloc.start()
    try:
        assert reason in refusal(bomb(*size))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


_VALID = [file_of(PICTURE.resize((24, 16)), kind) for kind in ("JPEG", "PNG", "WEBP")]


@given(
    st.sampled_from(_VALID),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(0, 10_000),
)
def test_a_damaged_file_is_decoded_or_refused_and_nothing_else(
    data: bytes, changes: list[tuple[int, int]], end: int
) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    try:
        found = decode(bytes(damaged[: end % len(damaged) or None]), "RGB", 1_000_000)
    except InvalidRequestError:
        return
    assert found.shape[0] == 3
    assert found.size <= 3_000_000


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_random_bytes_are_refused(rest: bytes, magic: bytes) -> None:
    assert refusal(magic + rest)
