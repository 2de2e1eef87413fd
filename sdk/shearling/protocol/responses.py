"""Answers of the Open Inference Protocol v2: written by the runtime, read by clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import PredictionError
from shearling.protocol.requests import InferRequest, _no_json, _Tail
from shearling.tensors.dtypes import DTYPES, datatype_of
from shearling.tensors.encoding import from_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(slots=True)
class InferResponse:
    """An answer's document, and the bytes of its binary tensors, in order; or a table alone."""

    document: dict[str, Any]
    tail: bytes = b""
    csv: str | None = None


def answer(
    model: str, version: str, request: InferRequest, outputs: Mapping[str, NDArray[Any]]
) -> InferResponse:
    """Return the answer to a request for tensors.

    Data of numbers stay arrays: orjson writes them, NaN as null, without a list in between.

    Raises:
        InvalidRequestError: an output cannot be written as JSON.
        PredictionError: an output is of no datatype.
    """
    document: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    chunks = []
    tensors = document["outputs"] = []
    for name in request.outputs:
        array = outputs[name]
        datatype = datatype_of(array)
        if datatype is None:
            raise PredictionError(f"the model gave {array.dtype} for {name!r}: no datatype is that")
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": datatype,
            "shape": list(array.shape),
        }
        tensors.append(tensor)
        if name in request.binary:
            chunks.append(to_bytes(array))
            tensor["parameters"] = {"binary_data_size": len(chunks[-1])}
            continue
        if datatype == "FP16":
            raise _no_json(name, array)
        flat = array.ravel()
        tensor["data"] = flat.tolist() if datatype == "BYTES" else flat
    return InferResponse(document, b"".join(chunks) if chunks else b"")


def read_answer(
    document: Mapping[str, Any], tail: bytes | memoryview = b""
) -> dict[str, NDArray[Any]]:
    """Return the outputs of an answer as arrays by name.

    Args:
        document: its JSON.
        tail: the bytes after it.
    """
    left = _Tail(tail)
    outputs = {}
    for tensor in document["outputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(tensor["data"], DTYPES[tensor["datatype"]])
        else:
            data = left.take(size, tensor["name"])
            array = from_bytes(data, tensor["datatype"], tensor["shape"]).copy()
        outputs[tensor["name"]] = array.reshape(tensor["shape"])
    return outputs
