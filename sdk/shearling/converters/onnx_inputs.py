"""The inputs that an ONNX file states, read without its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shearling.tensors.dtypes import datatype_of
from shearling.tensors.spec import TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ValueInfoProto


def stated_inputs(path: Path) -> tuple[TensorSpec, ...]:
    """Return the inputs of an ONNX file; none if it has no such file, or an input is no tensor."""
    import onnx

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception:  # noqa: BLE001 - the push says what is wrong with the file
        return ()
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
