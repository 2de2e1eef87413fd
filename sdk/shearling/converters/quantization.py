"""Recipes that make a graph smaller: which graphs each is for, and what it does to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.converters.onnx_edit import drop_unused_weights, float_weights, split_gemms
from shearling.converters.onnx_parts import nodes_of
from shearling.converters.onnx_weights import LEAST_VALUES, with_fp16_weights, with_int8_weights
from shearling.converters.static_quantization import with_int8_convolutions

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[Any]]

#: Parts of the names of operators that compute with quantised values.
_QUANTISED = ("Quant", "QLinear", "Integer", "NBits")

#: Why a graph without large matrices is not quantised, by the operator that shows what it is.
_SENTENCES = {
    "TreeEnsemble": "decision trees have thresholds and leaves instead of matrices, so there is "
    "nothing to store in fewer bits. To make an ensemble smaller, use fewer or shallower trees",
    "SVM": "a support vector machine compares each row with its support vectors, which "
    "quantization does not know",
    "Linear": "a linear model has one number for each column, so there is nothing to gain",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A way of storing or computing a graph with fewer bits.

    Attributes:
        name: name in reports and manifests.
        operators: the operators that it quantises; empty for all that have large weights.
        apply: changes a graph in place. Gets rows to calibrate with, in batches.
    """

    name: str
    operators: frozenset[str]
    apply: Callable[[onnx.ModelProto, list[Tensors]], None]

    def is_for(self, graph: onnx.ModelProto) -> bool:
        """Return whether one of the operators reads a large constant tensor of floats."""
        large = {
            name
            for name, tensor in float_weights(graph).items()
            if math.prod(tensor.dims) >= LEAST_VALUES
        }
        return any(
            not large.isdisjoint(node.input)
            for node in nodes_of(graph)
            if node.op_type in self.operators or not self.operators
        )


#: The recipes in the order in which they are tried.
RECIPES = (
    Recipe(
        name="int8-convolutions",
        operators=frozenset({"Conv"}),
        apply=with_int8_convolutions,
    ),
    Recipe(
        name="int8-weights",
        operators=frozenset({"MatMul", "Gemm", "Gather"}),
        apply=lambda graph, _: with_int8_weights(graph),
    ),
    Recipe(
        name="fp16-weights",
        operators=frozenset(),
        apply=lambda graph, _: with_fp16_weights(graph),
    ),
)


def prepared(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a graph in the form that the recipes expect.

    Weights are no inputs, as they may be in old graphs, and each `Gemm` is split.
    """
    copy = type(graph)()
    copy.CopyFrom(graph)
    weights = {tensor.name for tensor in copy.graph.initializer}
    inputs = [value for value in copy.graph.input if value.name not in weights]
    del copy.graph.input[:]
    copy.graph.input.extend(inputs)
    split_gemms(copy)
    drop_unused_weights(copy)
    return copy


def refusal(graph: onnx.ModelProto) -> str:
    """Return why no recipe can make a graph smaller, as a sentence; empty if one may."""
    kinds = [node.op_type for node in nodes_of(graph)]
    quantised = next((kind for kind in kinds if any(word in kind for word in _QUANTISED)), None)
    if quantised:
        return (
            f"the graph is quantised already: it has the operator {quantised}. Quantize the "
            "version that it was made from"
        )
    if any(recipe.is_for(graph) for recipe in RECIPES):
        return ""
    if any(tensor.data_type == tensor.FLOAT16 for tensor in graph.graph.initializer):
        return "its weights have 16 bits already: quantize the version with 32-bit weights"
    found = (text for word, text in _SENTENCES.items() if any(word in kind for kind in kinds))
    return next(
        found,
        f"it has no matrix, kernel or table of {LEAST_VALUES:,} or more 32-bit floats, so there is "
        "nothing to gain",
    )
