"""Replace nodes and weights of an ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name."""
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def float_weights(graph: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Return the constant tensors of 32-bit floats of a graph, without its subgraphs, by name."""
    return {
        tensor.name: tensor
        for tensor in graph.graph.initializer
        if tensor.data_type == tensor.FLOAT
    }


def replace_nodes(
    graph: onnx.ModelProto, replacement: Callable[[onnx.NodeProto], list[onnx.NodeProto]]
) -> None:
    """Replace each node of a graph, in place, by the nodes that a function returns for it."""
    nodes = [new for node in graph.graph.node for new in replacement(node)]
    # Copies, because protobuf may release nodes that are no longer in the graph.
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.graph.node[:]
    graph.graph.node.extend(copies)


def drop_unused_weights(graph: onnx.ModelProto) -> None:
    """Remove the weights that nothing in a graph reads, in place."""
    from shearling.converters.onnx_parts import nodes_of

    used = {name for node in nodes_of(graph) for name in node.input}
    used |= {value.name for value in graph.graph.output}
    weights = graph.graph.initializer
    for place in reversed(range(len(weights))):
        if weights[place].name not in used:
            del weights[place]


def split_gemms(graph: onnx.ModelProto) -> None:
    """Replace each `Gemm` with a constant matrix by `MatMul` and `Add`, in place.

    ONNX Runtime joins them again when it loads a graph. Its quantizers know only `MatMul`, or fail.
    """
    from onnx import helper, numpy_helper

    weights = float_weights(graph)

    def split(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        attributes = attributes_of(node)
        if node.op_type != "Gemm" or node.input[1] not in weights or attributes.get("transA"):
            return [node]
        matrix, bias = node.input[1], node.input[2] if len(node.input) > 2 else ""  # noqa: PLR2004
        if bias and attributes.get("beta", 1.0) != 1:
            return [node]
        scale = attributes.get("alpha", 1.0)
        if attributes.get("transB") or scale != 1:
            array = numpy_helper.to_array(weights[matrix]) * np.float32(scale)
            matrix = f"{matrix} of {node.output[0]}"
            array = array.T if attributes.get("transB") else array
            array = np.ascontiguousarray(array)
            graph.graph.initializer.append(numpy_helper.from_array(array, matrix))
        product = f"{node.output[0]} without bias" if bias else node.output[0]
        nodes = [helper.make_node("MatMul", [node.input[0], matrix], [product], node.name)]
        if bias:
            add = f"{node.name} bias"
            nodes.append(helper.make_node("Add", [product, bias], node.output, add))
        return nodes

    replace_nodes(graph, split)
    drop_unused_weights(graph)
