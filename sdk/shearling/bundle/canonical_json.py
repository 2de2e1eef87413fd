"""Canonical JSON: equal values are always encoded as the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shearling.bundle.json_reader import DEPTH_LIMIT, INTEGER_LIMIT, check_value
from shearling.errors import BundleError

#: The metadata, and the manifest, are levels too.
_MOST_LEVELS = DEPTH_LIMIT - 2

#: Python formats no integer of more than 4,300 digits.
_MOST_BITS = 8_192


def canonical_json(value: object, *, floats: bool = False) -> bytes:
    """Encode a value as canonical JSON: UTF-8, sorted keys, no spaces.

    Args:
        value: the value.
        floats: whether floats are allowed, as in records, which have no digest.

    Raises:
        BundleError: the value contains something that `check_value` refuses.
    """
    check_value(value, floats=floats)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def plain_metadata(metadata: Mapping[str, object]) -> dict[str, Any]:
    """Convert metadata for a manifest: floats and integers of 2^53 or more become strings.

    Raises:
        BundleError: as for `python_values`.
    """
    return {key: _texts(value) for key, value in python_values(metadata).items()}


def _texts(value: Any) -> Any:
    """Return a value in which numbers that JSON readers may round are strings."""
    match value:
        case dict():
            return {key: _texts(item) for key, item in value.items()}
        case list():
            return [_texts(item) for item in value]
        case float():
            return repr(value)
        case int() if abs(value) >= INTEGER_LIMIT:
            return repr(value)
    return value


def python_values(metadata: Mapping[str, object]) -> dict[str, Any]:
    """Return metadata as dicts, lists, texts and numbers; arrays, Series and the like are lists.

    Raises:
        BundleError: a key is not a string, or a value cannot be written as JSON or is nested too
            deeply; the message names the field.
    """
    return {
        _key(key, "metadata"): _python(value, f"metadata.{key}") for key, value in metadata.items()
    }


def _python(value: Any, path: str, inside: tuple[int, ...] = ()) -> Any:
    """Convert a value; `inside` are the ids of the values that contain it."""
    if id(value) in inside:
        raise BundleError("it contains itself", field=f"{path:.80}")
    if len(inside) > _MOST_LEVELS:
        raise BundleError(f"nested more than {DEPTH_LIMIT} deep", field=f"{path:.80}")
    if value is None or isinstance(value, bool | str | float | int):
        return _scalar(value, path)
    within = (*inside, id(value))
    match value:
        case Mapping():
            return {_key(k, path): _python(v, f"{path}.{k}", within) for k, v in value.items()}
        case list() | tuple():
            return [_python(v, f"{path}[{i}]", within) for i, v in enumerate(value)]
    return _python(_simpler(value, path), path, within)


def _simpler(value: Any, path: str) -> Any:
    """Return an array, a Series or a scalar of another library as Python's own values."""
    if type(value).__name__ == "longdouble":  # Python has no float of its precision
        return float(value)
    for method in ("tolist", "to_list"):  # of numpy and pandas, of polars
        if callable(getattr(type(value), method, None)):
            simpler = getattr(value, method)()
            if type(simpler) is not type(value):
                return simpler
    raise BundleError(
        f"a {type(value).__name__} cannot be written as JSON: pass texts, numbers, lists or dicts",
        field=path,
    )


def _scalar(value: Any, path: str) -> Any:
    """Return a scalar as Python's own type: numpy's float64 and str_ are subclasses."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise BundleError(f"an integer of {value.bit_length()} bits is too long", field=path)
    kinds = (bool, str, float, int)
    return next((kind(value) for kind in kinds if isinstance(value, kind)), None)


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        from shearling.tensors.conversion import shown  # imports numpy

        raise BundleError(f"key {shown(key)} is not a string: pass str(key)", field=path)
    return str(key)
