"""Store the large weights of a graph in 8 or 16 bits, and compute with 32-bit floats.

Matrices and tables of rows are quantised in blocks of 32 values, each with a scale of its own. ONNX
Runtime has operators that read such blocks; its own quantizer of them needs further packages, and
leaves tables as they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from shearling.converters.onnx_edit import (
    attributes_of,
    drop_unused_weights,
    float_weights,
    replace_nodes,
)

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

#: Number of consecutive values with one scale.
_BLOCK = 32

#: Tensors with fewer values stay as they are: their scales would outweigh what is saved.
LEAST_VALUES = 1024

#: The quantised value of 0, which `MatMulNBits` and `GatherBlockQuantized` take by default.
_ZERO = 128

#: Activations are rounded to 8 bits too, in blocks of a row: twice as fast for one row, and a row's
#: answer does not depend on others.
_INT8_ACTIVATIONS = 4

_DOMAIN = "com.microsoft"


def with_int8_weights(graph: onnx.ModelProto) -> None:
    """Quantise constant matrices and tables in blocks of 8-bit values, in place.

    What remains in large tensors of 32-bit floats, such as kernels of convolutions, gets 16 bits.

    Args:
        graph: a graph without `Gemm` (see `split_gemms`).
    """
    from onnx import helper

    def quantised(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        place = {"MatMul": 1, "Gather": 0}.get(node.op_type)
        weight = None if place is None else weights.get(node.input[place])
        if weight is None or not _is_large_matrix(weight) or attributes_of(node).get("axis", 0):
            return [node]
        if node.op_type == "MatMul":
            columns, rows = weight.dims
            attributes = {"K": columns, "N": rows, "accuracy_level": _INT8_ACTIVATIONS}
            kind, inputs = "MatMulNBits", [node.input[0], *_blocks(graph, weight, transposed=True)]
        else:
            values, scales = _blocks(graph, weight, transposed=False)
            attributes = {"gather_axis": 0, "quantize_axis": 1}
            kind, inputs = "GatherBlockQuantized", [values, node.input[1], scales]
        new = helper.make_node(
            kind, inputs, node.output, node.name, domain=_DOMAIN, bits=8, block_size=_BLOCK
        )
        new.attribute.extend(helper.make_attribute(key, it) for key, it in attributes.items())
        return [new]

    weights = float_weights(graph)
    replace_nodes(graph, quantised)
    if not any(opset.domain == _DOMAIN for opset in graph.opset_import):
        graph.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    drop_unused_weights(graph)
    with_fp16_weights(graph)


def with_fp16_weights(graph: onnx.ModelProto) -> None:
    """Store large tensors in 16 bits, in place; they become 32-bit floats when they are loaded.

    Tensors with values beyond the range of 16 bits stay as they are.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for name, tensor in float_weights(graph).items():
        if math.prod(tensor.dims) < LEAST_VALUES:
            continue
        values = numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        half = f"{name} in 16 bits"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(
            helper.make_node("Cast", [half], [name], f"{name} in 32 bits", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def _is_large_matrix(tensor: onnx.TensorProto) -> bool:
    return len(tensor.dims) == 2 and math.prod(tensor.dims) >= LEAST_VALUES  # noqa: PLR2004


def _blocks(
    graph: onnx.ModelProto, weight: onnx.TensorProto, *, transposed: bool
) -> tuple[str, str]:
    """Add the blocks of a matrix to a graph, and return the names of the values and the scales.

    Args:
        graph: the graph, edited in place.
        weight: the matrix.
        transposed: whether the blocks run along the columns, as `MatMulNBits` needs them, instead
            of along the rows.
    """
    from onnx import numpy_helper

    direction = "columns" if transposed else "rows"
    names = f"{direction} of {weight.name} in 8 bits", f"scales of {direction} of {weight.name}"
    if names[0] not in {tensor.name for tensor in graph.graph.initializer}:
        matrix = numpy_helper.to_array(weight)
        values, scales = quantised_blocks(matrix.T if transposed else matrix)
        if not transposed:
            values = values.reshape(len(values), -1)[:, : matrix.shape[1]]
        graph.graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for array, name in zip((values, scales), names, strict=True)
        )
    return names


def quantised_blocks(matrix: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the blocks of a matrix's rows in 8 bits, and their scales.

    Args:
        matrix: matrix of shape [rows, columns].

    Returns:
        Values of shape [rows, blocks, 32], where 128 stands for 0, and scales of shape
        [rows, blocks].
    """
    rows, columns = matrix.shape
    padded = np.pad(matrix, ((0, 0), (0, -columns % _BLOCK))).reshape(rows, -1, _BLOCK)
    scales = np.abs(padded).max(axis=2) / (_ZERO - 1)
    steps = padded / np.where(scales == 0, 1, scales)[..., None]
    return (np.rint(steps) + _ZERO).astype(np.uint8), scales.astype(np.float32)
