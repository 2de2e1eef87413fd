"""Walk through all nodes, tensors and graphs of an ONNX model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph, its functions and its subgraphs (If, Loop, Scan)."""
    bodies: list[onnx.GraphProto | onnx.FunctionProto] = [*graphs_of(model), *model.functions]
    for body in bodies:
        yield from body.node


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors in all initializers and attributes of a model."""
    for graph in graphs_of(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes_of(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def graphs_of(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    """Return a model's graph and all subgraphs of its nodes and functions."""
    graphs = [model.graph]
    pending: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while pending:
        inner = [
            graph
            for node in pending.pop().node
            for attribute in node.attribute
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
        ]
        graphs += inner
        pending += inner
    return graphs
