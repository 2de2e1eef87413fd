"""What a format may record for loading, in the types that every reader of it relies on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from shearling.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.bundle.json_reader import Field
    from shearling.tensors.spec import TensorSpec

#: As in 1.23.0 or 1.24.0.dev2025; what follows the second number is ONNX Runtime's own affair.
_RELEASE = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}(?![0-9]).{0,64}")

_MATRIX = 2


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
    return options


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


_CHECKS: dict[str, Callable[[Field], object]] = {
    "ir": lambda place: place.count(),
    "opset": _check_opsets,
    "onnxruntime": _check_release,
    "prepack": lambda place: place.expect(bool, "true or false"),
    "takes": lambda place: place.text(),
}
