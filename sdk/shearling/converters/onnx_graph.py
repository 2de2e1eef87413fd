"""Edit a converted graph: give tensors readable names and the original model's shapes."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from numpy.typing import NDArray

#: The axis order that turns [targets, rows, classes] into [rows, targets, classes].
_TARGETS_FIRST = (1, 0, 2)


def name_tensors(model: onnx.ModelProto, inputs: list[str]) -> None:
    """Give a graph's inputs their original names, and number its inner tensors and nodes.

    skl2onnx turns column names into identifiers, and some converters number tensors with a counter
    that runs on in the process. Without this the same model would give different bundles.

    Args:
        model: the graph, edited in place.
        inputs: the original column names, in the order of the graph's inputs.

    Raises:
        FormatError: an input has the name of an output.
    """
    names = {"": "", **_outer_names(model, inputs)}
    taken = set(names.values())
    free = (name for number in count() if (name := f"t{number}") not in taken)
    nodes = count()

    def new(name: str) -> str:
        if name not in names:
            names[name] = next(free)
        return names[name]

    def rename(graph: onnx.GraphProto) -> None:
        for value in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
            value.name = new(value.name)
        for node in graph.node:
            node.name = f"{node.op_type}_{next(nodes)}"
            for tensors in (node.input, node.output):
                tensors[:] = [new(name) for name in tensors]
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs):
                    rename(inner)

    rename(model.graph)


def _outer_names(model: onnx.ModelProto, inputs: list[str]) -> dict[str, str]:
    """Map the current names of a graph's inputs and outputs to their final names."""
    outputs = {output.name: output.name for output in model.graph.output}
    if taken := outputs.keys() & set(inputs):
        raise FormatError(
            f"column {min(taken)!r} has the same name as one of the model's outputs: rename the "
            "column"
        )
    current = [value.name for value in model.graph.input]
    final = inputs if len(inputs) == len(current) else current
    return outputs | dict(zip(current, final, strict=True))


def put_rows_first(model: onnx.ModelProto) -> None:
    """Give the probabilities of several targets the shape [rows, targets, classes].

    skl2onnx returns one matrix for each target: as a tensor [targets, rows, classes], or as a
    sequence of matrices.
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


def make_vectors(model: onnx.ModelProto, answer_of: Callable[[str], NDArray[Any] | None]) -> None:
    """Turn outputs of shape [rows, 1] into vectors where the original model returns vectors.

    Args:
        model: the graph, edited in place.
        answer_of: returns the original's answer for an output name; None if it has none.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    for output in graph.output:
        sizes = output.type.tensor_type.shape.dim
        if [size.dim_value for size in sizes] != [0, 1]:  # 0: any number of rows
            continue
        answer = answer_of(output.name)
        if answer is None or answer.ndim != 1:
            continue
        inner, axis = f"{output.name} as a column", f"axis of {output.name}"
        _rename(graph, output.name, inner)
        graph.initializer.append(numpy_helper.from_array(np.array([1]), axis))
        graph.node.append(helper.make_node("Squeeze", [inner, axis], [output.name]))
        del sizes[1]


def take_column(model: onnx.ModelProto, output: str, column: int) -> None:
    """Make a vector of one column of an output."""
    from onnx import helper, numpy_helper

    graph = model.graph
    inner, place = f"{output} of both signs", f"column of {output}"
    _rename(graph, output, inner)
    graph.initializer.append(numpy_helper.from_array(np.array(column), place))
    graph.node.append(helper.make_node("Gather", [inner, place], [output], axis=1))
    for value in graph.output:
        if value.name == output:
            del value.type.tensor_type.shape.dim[1:]


def rename_only_output(model: onnx.ModelProto, name: str) -> None:
    """Rename the output of a graph that has only one, unless it is a label."""
    outputs = model.graph.output
    if len(outputs) == 1 and outputs[0].name != "label":
        _rename(model.graph, outputs[0].name, name)
        outputs[0].name = name


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
