"""The inputs that an ONNX graph states, read from a file without its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shearling.tensors.dtypes import datatype_of
from shearling.tensors.spec import TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto, ValueInfoProto


def stated_inputs(model: Path | ModelProto) -> tuple[TensorSpec, ...]:
    """Return the inputs of a graph or its file; none if there is none, or an input is no tensor."""
    import onnx

    try:
        if not isinstance(model, onnx.ModelProto):
            model = onnx.load(model, load_external_data=False)
    except Exception:  # noqa: BLE001 - the push says what is wrong with the file
        return ()
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}  # old files list them as inputs too
    specs = [_spec(value) for value in graph.input if value.name not in weights]
    return tuple(spec for spec in specs if spec) if all(specs) else ()


def _spec(value: ValueInfoProto) -> TensorSpec | None:
    from onnx import helper

    tensor = value.type.tensor_type
    if not tensor.elem_type:
        return None
    datatype = datatype_of(np.empty(0, helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
    if datatype is None:
        return None
    shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim)
    return TensorSpec(name=value.name, datatype=datatype, shape=shape)
