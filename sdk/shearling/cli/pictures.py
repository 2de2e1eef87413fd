"""Read settings of pictures, names of classes, and pictures in files and folders."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from shearling.errors import InvalidRequestError
from shearling.scoring.formats import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shearling.converters.image_settings import Image

_SUFFIXES = tuple(suffix for suffix, kind in SUFFIXES.items() if kind == "image")


def image_settings(pairs: Sequence[str]) -> Image:
    """Return the settings of pictures from words such as `size=224` or `mean=0.5,0.4,0.4`.

    Raises:
        InvalidRequestError: a word is no setting, or its value is not allowed.
    """
    from shearling.converters.image_settings import Image

    known = [field.name for field in fields(Image)]
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in known or not text:
            raise InvalidRequestError(
                f"--image-settings {pair:.80}: expected KEY=VALUE with one of {', '.join(known)}"
            )
        values = [_value(word) for word in text.split(",")]
        settings[name] = values[0] if len(values) == 1 else values
    if "size" not in settings:
        raise InvalidRequestError(
            "--image-settings: size is missing, as in --image-settings size=224"
        )
    return Image(**settings)


def _value(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return None if word == "None" else word


def class_names(file: Path) -> list[str]:
    """Return the names of classes in a file, which has one on each line."""
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def picture_files(path: Path) -> list[Path]:
    """Return the pictures of a folder, or the file itself.

    Raises:
        InvalidRequestError: the folder has no pictures.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
    if not files:
        raise InvalidRequestError(f"{path}: no file ends in {', '.join(_SUFFIXES)}")
    return files
