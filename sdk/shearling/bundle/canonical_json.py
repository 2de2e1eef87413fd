"""Canonical JSON: equal values are always encoded as the same bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shearling.bundle.json_reader import DEPTH_LIMIT, INTEGER_LIMIT, check_value
from shearling.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping


def canonical_json(value: object) -> bytes:
    """Encode a value as canonical JSON: UTF-8, sorted keys, no spaces.

    Raises:
        BundleError: the value contains something that `check_value` refuses.
    """
    check_value(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def plain_metadata(metadata: Mapping[str, object]) -> dict[str, Any]:
    """Convert metadata for a manifest: floats and integers of 2^53 or more become strings.

    Raises:
        BundleError: a key is not a string, or a value cannot be written as JSON or is nested too
            deeply; the message names the field.
    """
    return {
        _key(key, "metadata"): _plain(value, f"metadata.{key}") for key, value in metadata.items()
    }


def _plain(value: object, path: str, depth: int = 2) -> Any:
    if depth > DEPTH_LIMIT:
        raise BundleError(f"nested more than {DEPTH_LIMIT} deep", field=f"{path:.80}")
    match value:
        case None | bool() | str():
            return value
        case int() if abs(value) < INTEGER_LIMIT:
            return value
        case int() | float():
            return repr(value)
        case dict():
            return {_key(k, path): _plain(v, f"{path}.{k}", depth + 1) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
    if hasattr(value, "item"):  # numpy scalars
        return _plain(value.item(), path)
    raise BundleError(f"a {type(value).__name__} cannot be written as JSON", field=path)


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise BundleError(f"key {key!r} is not a string", field=path)
    return key
