"""Models for tests of scoring, which answer by arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.scoring.blocks import Scorer
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest

#: Values of `age` above this are refused, as a model refuses values that it cannot process.
OLDEST = 150

PIN = "fraud:1@sha256:" + "1" * 64


def spec(name: str, datatype: str, *shape: int, **facts: Any) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=shape, **facts)


def table_scorer(pin: str = PIN, *, factor: float = 2.0, independent: bool = True) -> Scorer:
    """A model of two columns, `age` and `name`: twice the age, and the length of the name."""
    signature = Signature(
        inputs=(spec("age", "INT64", -1), spec("name", "BYTES", -1)),
        outputs=(
            spec("label", "INT64", -1),
            spec("scores", "FP32", -1, 2, classes=("stays", "goes")),
        ),
        independent_rows=independent,
    )

    def answer(request: InferRequest) -> Mapping[str, NDArray[Any]]:
        age = request.inputs["age"]
        if (age > OLDEST).any():
            raise InvalidRequestError(f"inputs: the model cannot process {int(age.max())}")
        lengths = np.fromiter(map(len, request.inputs["name"]), np.float32, len(age))
        scores = np.stack([lengths, age * np.float32(factor)], axis=1).astype(np.float32)
        return {"label": age % 2, "scores": scores}

    return Scorer(pin=pin, signature=signature, answer=answer)


def matrix_scorer(width: int = 3) -> Scorer:
    """A model of a matrix, which returns the sum of each row."""
    signature = Signature(
        inputs=(spec("x", "FP32", -1, width, nullable=False),),
        outputs=(spec("sum", "FP32", -1),),
    )

    def answer(request: InferRequest) -> Mapping[str, NDArray[Any]]:
        return {"sum": request.inputs["x"].sum(axis=1)}

    return Scorer(pin=PIN, signature=signature, answer=answer)


def text_scorer() -> Scorer:
    """A model of one column of texts, which returns each text in capitals."""
    signature = Signature(inputs=(spec("text", "BYTES", -1),), outputs=(spec("loud", "BYTES", -1),))

    def answer(request: InferRequest) -> Mapping[str, NDArray[Any]]:
        texts = np.empty(len(request.inputs["text"]), object)
        texts[:] = [text.upper() for text in request.inputs["text"]]
        return {"loud": texts}

    return Scorer(pin=PIN, signature=signature, answer=answer)
