"""The same request answered by a FastAPI application behind Mangum.

The endpoint is `async`: as a plain function FastAPI would run it in a thread, which is slower.
"""

import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI  # type: ignore[import-not-found,unused-ignore]
from mangum import Mangum  # type: ignore[import-not-found,unused-ignore]
from pydantic import BaseModel  # type: ignore[import-not-found,unused-ignore]

session = onnxruntime.InferenceSession(os.environ["MODEL_PATH"])


class Tensor(BaseModel):  # type: ignore[misc,unused-ignore]
    """One input."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class Request(BaseModel):  # type: ignore[misc,unused-ignore]
    """The request's document."""

    inputs: list[Tensor]


app = FastAPI()


@app.post("/v2/models/{model}/infer")  # type: ignore[untyped-decorator,unused-ignore]
async def infer(model: str, request: Request) -> dict[str, Any]:
    """Answer a request of the Open Inference Protocol."""
    tensor = request.inputs[0]
    rows = np.array(tensor.data, np.float32).reshape(tensor.shape)
    scores = session.run(None, {"X": rows})[0]
    return {
        "model_name": model,
        "model_version": "1",
        "outputs": [
            {
                "name": "scores",
                "datatype": "FP32",
                "shape": list(scores.shape),
                "data": scores.ravel().tolist(),
            }
        ],
    }


handler = Mangum(app, lifespan="off")
