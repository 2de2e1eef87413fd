"""Edits of a converted graph: names as a person would give them, and shapes as the original has."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from numpy.typing import NDArray

#: How a tensor of targets, rows and classes becomes one of rows, targets and classes.
_TARGETS_FIRST = (1, 0, 2)


def name_tensors(model: onnx.ModelProto, inputs: list[str]) -> None:
    """Name the inputs of a graph as they were, and what is inside of it by its place.

    The converter spells columns as a programming language would, and some number through the life
    of a process: the same model would be another bundle.

    Raises:
        FormatError: an input has the name of an output.
    """
    names = {"": "", **_outer_names(model, inputs)}
    kept = set(names.values())
    free = (name for number in count() if (name := f"t{number}") not in kept)
    nodes = count()

    def new(name: str) -> str:
        if name not in names:
            names[name] = next(free)
        return names[name]

    def rename(graph: onnx.GraphProto) -> None:
        for each in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
            each.name = new(each.name)
        for node in graph.node:
            node.name = f"{node.op_type}_{next(nodes)}"
            for tensors in (node.input, node.output):
                tensors[:] = [new(name) for name in tensors]
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs):
                    rename(inner)

    rename(model.graph)


def _outer_names(model: onnx.ModelProto, inputs: list[str]) -> dict[str, str]:
    """Return what the inputs and outputs of a graph are to be called, by their names now."""
    outputs = {each.name: each.name for each in model.graph.output}
    if taken := outputs.keys() & set(inputs):
        raise FormatError(
            f"column {min(taken)!r} has the name of one of the model's outputs: rename it"
        )
    spelt = [each.name for each in model.graph.input]
    return outputs | dict(zip(spelt, inputs if len(inputs) == len(spelt) else spelt, strict=True))


def put_rows_first(model: onnx.ModelProto) -> None:
    """Have probabilities of several targets be of shape [rows, targets, classes].

    The converter gives a matrix for each target: in one tensor, targets first, or in a sequence.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    for output in graph.output:
        kind, inner = output.type, f"{output.name} by target"
        if kind.HasField("sequence_type"):
            node = helper.make_node(
                "ConcatFromSequence", [inner], [output.name], axis=1, new_axis=1
            )
        elif len(kind.tensor_type.shape.dim) == len(_TARGETS_FIRST):
            node = helper.make_node("Transpose", [inner], [output.name], perm=_TARGETS_FIRST)
        else:
            continue
        _rename(graph, output.name, inner)
        graph.node.append(node)
        output.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, [None] * 3))


def make_vectors(model: onnx.ModelProto, ask: Callable[[str], NDArray[Any] | None]) -> None:
    """Make vectors of the columns that stand for what the original answers as vectors.

    Args:
        model: the graph.
        ask: returns what the original says for an output.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    for output in graph.output:
        sizes = output.type.tensor_type.shape.dim
        if [size.dim_value for size in sizes] != [0, 1]:  # 0 is open
            continue
        answer = ask(output.name)
        if answer is None or answer.ndim != 1:
            continue
        inner, axis = f"{output.name} as a column", f"axis of {output.name}"
        _rename(graph, output.name, inner)
        graph.initializer.append(numpy_helper.from_array(np.array([1]), axis))
        graph.node.append(helper.make_node("Squeeze", [inner, axis], [output.name]))
        del sizes[1]


def rename_output(model: onnx.ModelProto, old: str, new: str) -> None:
    """Give an output another name, if it is there."""
    _rename(model.graph, old, new)
    for output in model.graph.output:
        output.name = new if output.name == old else output.name


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
