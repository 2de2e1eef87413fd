"""Find the inputs of a graph whose values must be among the categories that the model knows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from shearling.converters.graph_builder import GraphBuilder
    from shearling.formats.base import Tensors
    from shearling.tensors.spec import Signature

    #: For each column of a tensor, the input and the column that it is; None if it is none.
    Columns = list[tuple[str, int] | None]

#: ONNX's number of the type of truth values.
_BOOL = 9

_DOMAIN, _KNOWN = "shearling", "KnownCategories"

#: More categories would make the manifest too large. The graph refuses others all the same.
_MOST = 2000


def mark_known(graph: GraphBuilder, column: str, known: list[Any]) -> str:
    """Mark a column whose values must be known, and return the name of the marked column.

    Args:
        graph: the graph.
        column: tensor of the column.
        known: its known values.
    """
    if len(known) > _MOST:
        return column
    return graph.add(_KNOWN, column, domain=_DOMAIN, known=known)


def take_categories(model: onnx.ModelProto) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Remove the marks from a graph, and return the known values by input and column.

    Args:
        model: the graph, edited in place.
    """
    from onnx import helper

    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    widths = {one.name: _width(one) for one in graph.input}
    truths = {one.name for one in graph.input if one.type.tensor_type.elem_type == _BOOL}
    known: dict[tuple[str, int], tuple[Any, ...]] = {}
    marks = [node for node in graph.node if node.op_type == _KNOWN and node.domain == _DOMAIN]
    for mark in marks:
        found = _columns(mark.input[0], producers, constants, widths)
        values = tuple(
            value.decode() if isinstance(value, bytes) else value
            for value in helper.get_attribute_value(mark.attribute[0])
        )
        if len(found) == 1 and found[0]:
            place = found[0]
            values = tuple(map(bool, values)) if place[0] in truths else values
            # Two steps that read one column both refuse what they do not know.
            others = known.get(place, values)
            known[place] = tuple(one for one in values if _is_among(one, others))
    remove_marks(model, _KNOWN)
    return known


def _is_among(value: Any, others: tuple[Any, ...]) -> bool:
    is_missing = value != value  # noqa: PLR0124 - NaN, which equals no NaN
    return value in others or (is_missing and any(one != one for one in others))  # noqa: PLR0124


def remove_marks(model: onnx.ModelProto, kind: str) -> None:
    """Remove the nodes of a kind that only mark a value.

    Args:
        model: the graph, edited in place.
        kind: operator of the domain `shearling`.
    """
    graph = model.graph
    marks = [node for node in graph.node if node.op_type == kind and node.domain == _DOMAIN]
    origin = {node.output[0]: node.input[0] for node in marks}
    for node in marks:
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [_first(name, origin) for name in node.input]
    if not any(node.domain == _DOMAIN for node in graph.node):
        opsets = [opset for opset in model.opset_import if opset.domain != _DOMAIN]
        del model.opset_import[:]
        model.opset_import.extend(opsets)


def _first(name: str, origin: dict[str, str]) -> str:
    while name in origin:
        name = origin[name]
    return name


def with_categories(
    signature: Signature, known: dict[tuple[str, int], tuple[Any, ...]], example: Tensors
) -> Signature:
    """Return a signature whose inputs list their known categories.

    A column is left out if the example has other values, which an estimator may round to its own.
    """
    inputs = []
    for spec in signature.inputs:
        columns = {
            place: values
            for (name, place), values in known.items()
            if name == spec.name and _has_only(example[name], place, values)
        }
        width = spec.shape[-1] if len(spec.shape) > 1 else 1
        if columns:
            categories = tuple(columns.get(place) for place in range(width))
            inputs.append(replace(spec, categories=categories))
        else:
            inputs.append(spec)
    return replace(signature, inputs=tuple(inputs))


def _has_only(array: NDArray[Any], place: int, values: tuple[Any, ...]) -> bool:
    """Return whether a column of an input has only some values, or missing ones."""
    column = array[..., place] if array.ndim > 1 else array
    present = column[column == column]  # noqa: PLR0124 - not NaN
    return set(values).issuperset(present.tolist())


def _width(value: onnx.ValueInfoProto) -> int:
    sizes = value.type.tensor_type.shape.dim
    return sizes[-1].dim_value if len(sizes) > 1 else 1


def _columns(
    name: str,
    producers: dict[str, onnx.NodeProto],
    constants: dict[str, onnx.TensorProto],
    widths: dict[str, int],
) -> Columns:
    """Return for each column of a tensor the column of an input that it is."""
    from onnx import numpy_helper

    if name in widths:
        return [(name, place) for place in range(widths[name])]
    node = producers.get(name)
    if node is None:
        return [None]
    sources = [_columns(one, producers, constants, widths) for one in node.input[:1]]
    if node.op_type in ("Identity", "Cast", _KNOWN):
        return sources[0]
    if node.op_type == "Concat":
        joined = [_columns(one, producers, constants, widths) for one in node.input]
        return [column for columns in joined for column in columns]
    if node.op_type in ("Gather", "ArrayFeatureExtractor") and node.input[1] in constants:
        places = np.ravel(numpy_helper.to_array(constants[node.input[1]])).tolist()
        return [sources[0][place] if place < len(sources[0]) else None for place in places]
    return [None]
