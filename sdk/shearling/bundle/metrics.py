"""The numbers of a push's metadata, for the version's record, where they can be compared."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import python_values
from shearling.bundle.json_reader import INTEGER_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Size limit of the metrics as JSON: a record has at most 64 KiB.
_MOST_BYTES = 16 * 1024

#: Levels of dicts that are searched for numbers: a record is nested no deeper than 16 levels.
_MOST_LEVELS = 8


def metrics_of(metadata: Mapping[str, object]) -> dict[str, Any]:
    """Return the finite numbers of metadata, in dicts as there.

    Metrics beyond the size limit are left out; the manifest has all metadata.

    Raises:
        BundleError: as for `python_values`.
    """
    metrics: dict[str, Any] = {}
    size = 0
    for name, value in python_values(metadata).items():
        number = _numbers(value, _MOST_LEVELS)
        size += 0 if number is None else len(json.dumps({name: number}))
        if number is not None and size <= _MOST_BYTES:
            metrics[name] = number
    return metrics


def _numbers(value: Any, levels: int) -> Any:
    """Return a number, or the numbers of a dict; None if there are none."""
    match value:
        case dict() if levels:
            inner = {key: _numbers(item, levels - 1) for key, item in value.items()}
            return {key: number for key, number in inner.items() if number is not None} or None
        case bool():
            return None
        case int() if abs(value) < INTEGER_LIMIT:
            return value
        case float() if math.isfinite(value):
            return value
    return None
