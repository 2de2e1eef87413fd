"""Responses of the Open Inference Protocol v2, which the runtime writes and clients read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import PredictionError
from shearling.protocol.requests import InferRequest, _json_error, _Tail
from shearling.tensors.dtypes import DTYPES, datatype_of
from shearling.tensors.encoding import from_bytes, to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import Classes


@dataclass(slots=True)
class InferResponse:
    """A response of tensors, predictions, or a CSV table.

    Attributes:
        document: JSON document of the response.
        tail: binary data of the tensors, in order; empty without binary tensors.
        csv: the table, if the response is CSV; None otherwise.
        truncated: as in the request.
    """

    document: dict[str, Any]
    tail: bytes = b""
    csv: str | None = None
    truncated: int | None = None


def head_of_answer(model: str, version: str, request: InferRequest) -> dict[str, Any]:
    """Return the fields of a response that precede the outputs."""
    document: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    if request.truncated is not None:
        document["parameters"] = {"truncated": request.truncated}
    return document


def answer(
    model: str,
    version: str,
    request: InferRequest,
    outputs: Mapping[str, NDArray[Any]],
    classes: Mapping[str, Classes] | None = None,
) -> InferResponse:
    """Return the response to a request of tensors.

    Numbers stay arrays in the document, because orjson writes arrays without converting them to
    lists first; it writes NaN as null.

    Args:
        model: name of the model.
        version: version of the model.
        request: the request.
        outputs: arrays by output name.
        classes: classes of the outputs whose columns have names, which are written if the request
            asks for them.

    Raises:
        InvalidRequestError: JSON cannot carry an output.
        PredictionError: an output has a type that the protocol does not have.
    """
    document = head_of_answer(model, version, request)
    chunks = []
    tensors = document["outputs"] = []
    for name in request.outputs:
        array = outputs[name]
        datatype = datatype_of(array)
        if datatype is None:
            raise PredictionError(
                f"the model returned {array.dtype} for output {name!r}, which is not a datatype of "
                "the protocol"
            )
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": datatype,
            "shape": list(array.shape),
        }
        tensors.append(tensor)
        if classes and name in request.by_class:
            tensor["parameters"] = {"classes": classes[name]}
        if name in request.binary:
            chunks.append(to_bytes(array))
            tensor.setdefault("parameters", {})["binary_data_size"] = len(chunks[-1])
            continue
        if datatype == "FP16":
            raise _json_error(name, array)
        flat = array.ravel()
        tensor["data"] = flat.tolist() if datatype == "BYTES" else flat
    return InferResponse(document, b"".join(chunks) if chunks else b"", truncated=request.truncated)


def read_answer(
    document: Mapping[str, Any], tail: bytes | memoryview = b""
) -> dict[str, NDArray[Any]]:
    """Return the outputs of a response as arrays by name.

    Args:
        document: decoded JSON of the response.
        tail: the bytes after the JSON.
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
