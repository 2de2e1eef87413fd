"""What a format may record for loading, in the types that every reader of it relies on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shearling.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shearling.bundle.json_reader import Field
    from shearling.tensors.spec import TensorSpec

#: As in 1.23.0 or 1.24.0.dev2025; what follows the second number is ONNX Runtime's own affair.
_RELEASE = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}(?![0-9]).{0,64}")

_MATRIX = 2

#: The option with what happens to texts before the graph reads them, and what it requires of a
#: reader: one that left it out would give wrong answers.
TEXT = "text"

#: The option with what makes of a picture the graph's input.
IMAGE = "image"

#: Channels that pictures are decoded to.
CHANNELS = ("RGB", "L")

#: The option with how texts become tokens, which are what the graph reads.
TOKENIZER = "tokenizer"

#: The values of a normalization's settings.
_NORMALIZATION: dict[str, tuple[object, ...]] = {
    "lowercase": (True, False),
    "accents": (None, "ascii", "unicode"),
    "spaces": (None, "collapse", "words"),
}

#: The settings of a tokenizer, the ends that a text may be cut at, and the most tokens of a text.
_TOKENIZER = frozenset({"input", "path", "max_tokens", "cut", "pad", "prompt"})
_ENDS = ("left", "right")
_MOST_TOKENS = 2**20


def read_options(place: Field, inputs: tuple[TensorSpec, ...]) -> dict[str, Any]:
    """Return a manifest's options; those that no reader here knows are kept unread.

    Raises:
        BundleError: one is not what it must be; the message names it.
    """
    options: dict[str, Any] = place.expect(dict, "an object")
    for name, check in _CHECKS.items():
        if name in options:
            check(place[name])
    if "columns" in options:
        _check_columns(place["columns"], inputs)
    if TEXT in options:
        _check_text(place[TEXT], inputs)
    if IMAGE in options:
        _check_image(place[IMAGE], inputs)
    if TOKENIZER in options:
        _check_tokenizer(place[TOKENIZER], inputs)
    return options


def required_by_options(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the features that a reader of a manifest with these options must know."""
    return tuple(name for name in (TEXT, IMAGE, TOKENIZER) if options.get(name))


def _check_release(place: Field) -> None:
    if not _RELEASE.fullmatch(place.text()):
        raise BundleError(f"{place.value!r:.80} is not a version, as in '1.23.0'", field=place.path)


def _check_opsets(place: Field) -> None:
    for domain in place.expect(dict, "an object"):
        place[domain].count()


def _check_columns(place: Field, inputs: tuple[TensorSpec, ...]) -> None:
    names = [item.text() for item in place.items()]
    if len(set(names)) < len(names):
        raise BundleError("two columns have the same name", field=place.path)
    if names and len(inputs) != 1:
        raise BundleError(
            f"columns are of one input, and there are {len(inputs)}", field=place.path
        )
    shape = inputs[0].shape
    if names and len(shape) == _MATRIX and shape[1] not in (-1, len(names)):
        raise BundleError(
            f"{len(names)} names, where input {inputs[0].name!r:.80} has {shape[1]} columns",
            field=place.path,
        )


def _check_text(place: Field, inputs: tuple[TensorSpec, ...]) -> None:
    texts = {spec.name for spec in inputs if spec.datatype == "BYTES"}
    for name in place.expect(dict, "an object"):
        if name not in texts:
            raise BundleError(f"{name!r:.80} is not an input of strings", field=place.path)
        for setting, value in place[name].expect(dict, "an object").items():
            known = _NORMALIZATION.get(setting, ())
            if not any(type(value) is type(one) and value == one for one in known):
                raise BundleError(
                    f"{setting:.40}={value!r:.40} is not a normalization that this version knows",
                    field=place[name].path,
                )


def _check_image(place: Field, inputs: tuple[TensorSpec, ...]) -> None:
    names = [spec.name for spec in inputs if spec.content]
    if place["input"].text() not in names or len(inputs) != 1:
        raise BundleError(
            f"{place['input'].value!r:.80} is not the only input, of pictures",
            field=place["input"].path,
        )
    place["graph"].relative_path()
    if place["channels"].text() not in CHANNELS:
        raise BundleError(
            f"{place['channels'].value!r:.80} is not one of {', '.join(CHANNELS)}",
            field=place["channels"].path,
        )
    if not place["max_pixels"].count():
        raise BundleError("0 pixels are no picture", field=place["max_pixels"].path)


def _check_tokenizer(place: Field, inputs: tuple[TensorSpec, ...]) -> None:
    named = [(spec.name, spec.datatype, spec.shape) for spec in inputs]
    if named != [(place["input"].text(), "BYTES", (-1,))]:
        raise BundleError(
            f"{place['input'].value!r:.80} is not the only input, of strings and shape [-1]",
            field=place["input"].path,
        )
    place["path"].relative_path()
    if not 0 < place["max_tokens"].count() <= _MOST_TOKENS:
        raise BundleError(
            f"{place['max_tokens'].value} is not from 1 to {_MOST_TOKENS}",
            field=place["max_tokens"].path,
        )
    place["pad"].count()
    place["prompt"].text()
    if place["cut"].text() not in _ENDS:
        raise BundleError(
            f"{place['cut'].value!r:.80} is not one of {', '.join(_ENDS)}", field=place["cut"].path
        )
    if unknown := place.expect(dict, "an object").keys() - _TOKENIZER:
        raise BundleError(
            f"{min(unknown)!r:.80} is not a setting that this version knows", field=place.path
        )


_CHECKS: dict[str, Callable[[Field], object]] = {
    "ir": lambda place: place.count(),
    "opset": _check_opsets,
    "onnxruntime": _check_release,
    "prepack": lambda place: place.expect(bool, "true or false"),
    "takes": lambda place: place.text(),
}
