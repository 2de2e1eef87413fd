"""JSON Schemas of tensors, of their rows, and of their values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.protocol.class_names import class_text, targets_of

if TYPE_CHECKING:
    from shearling.tensors.spec import TensorSpec

Schema = dict[str, Any]

_INTEGER_LIMITS = {
    f"{sign}INT{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits - (not sign)) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}

#: Accepted for numbers too: 0 or 1.
_BOOLEAN: Schema = {"type": "boolean"}

#: Known categories of a column that are listed at most.
_MOST_LISTED = 100

#: Dimensions of rows and columns.
_MATRIX = 2


def object_schema(properties: Schema, *required: str) -> Schema:
    """Return the schema of an object."""
    return {"type": "object", "properties": properties, "required": list(required)}


def tensor_schema(spec: TensorSpec) -> Schema:
    """Return the schema of a tensor, with its data as JSON."""
    sizes = [{"type": "integer", "minimum": 0} if n == -1 else {"const": n} for n in spec.shape]
    # The data of several columns may be flat, so that a value can be of any column.
    value = value_schema(spec, 0 if len(spec.known) == 1 else None)
    return object_schema(
        {
            "name": {"const": spec.name},
            "datatype": {"const": spec.datatype},
            "shape": {
                "type": "array",
                **({"prefixItems": sizes} if sizes else {}),
                "minItems": len(sizes),
                "maxItems": len(sizes),
            },
            "data": _nested(value, len(spec.shape)),
        },
        "name",
        "datatype",
        "shape",
        "data",
    )


def row_schema(spec: TensorSpec) -> Schema:
    """Return the schema of one row of an input."""
    if len(spec.known) > 1 and len(spec.shape) == _MATRIX:
        columns = [value_schema(spec, i) for i in range(len(spec.known))]
        return {
            "type": "array",
            "prefixItems": columns,
            "minItems": len(columns),
            "maxItems": len(columns),
        }
    value = value_schema(spec, 0 if len(spec.known) == 1 else None)
    row = value
    for size in reversed(spec.shape[1:]):
        row = {"type": "array", "items": row}
        if size != -1:
            row |= {"minItems": size, "maxItems": size}
    return {"anyOf": [value, row]} if spec.shape[1:] == (1,) else row


def value_schema(spec: TensorSpec, column: int | None = None) -> Schema:
    """Return the schema of one value.

    Args:
        spec: the tensor.
        column: column of the value; None for any.
    """
    known = spec.categories[column] if spec.categories and column is not None else None
    if known and len(known) <= _MOST_LISTED:
        return {"enum": [None if _is_nan(value) else value for value in known]}
    datatype = spec.datatype
    if datatype == "BYTES":
        return {"type": "string", **({"contentEncoding": "base64"} if spec.content else {})}
    if datatype == "BOOL":
        return {"enum": [True, False, 0, 1]}
    if datatype in _INTEGER_LIMITS:
        low, high = _INTEGER_LIMITS[datatype]
        return {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, _BOOLEAN]}
    largest = float(np.finfo({"FP32": np.float32}.get(datatype, np.float64)).max)
    number = {"type": "number", "minimum": -largest, "maximum": largest}
    return {"anyOf": [number, *([{"type": "null"}] if spec.nullable else []), _BOOLEAN]}


def prediction_schema(spec: TensorSpec) -> Schema:
    """Return the schema of one row of an output in `predictions`."""
    row = _answer_value(spec.datatype)
    if spec.shape[1:] != (1,):
        for _ in spec.shape[1:]:
            row = {"type": "array", "items": row}
    return {"anyOf": [row, _named_row_schema(spec)]} if spec.classes else row


def _answer_value(datatype: str) -> Schema:
    if datatype.startswith("FP"):
        return {"type": ["number", "null"]}  # null is NaN or infinite
    return {"type": {"BYTES": "string", "BOOL": "boolean"}.get(datatype, "integer")}


def _named_row_schema(spec: TensorSpec) -> Schema:
    """Return the schema of one row of an output by class."""
    value = _answer_value(spec.datatype)
    targets = []
    for classes in targets_of(spec.classes or ()):
        names = [*map(class_text, classes)]
        targets.append(object_schema(dict.fromkeys(names, value), *names))
    if not (spec.classes and isinstance(spec.classes[0], tuple)):
        return targets[0]
    return {
        "type": "array",
        "prefixItems": targets,
        "minItems": len(targets),
        "maxItems": len(targets),
    }


def _nested(value: Schema, rank: int) -> Schema:
    """Return the schema of a tensor's data: a flat list, or lists nested to the tensor's rank."""
    flat: Schema = {"type": "array", "items": value}
    deep = value
    for _ in range(rank):
        deep = {"type": "array", "items": deep}
    return flat if rank <= 1 else {"anyOf": [flat, deep]}


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
