"""The model in a container by hand: FastAPI, ONNX Runtime and uvicorn, as many tutorials have it.

The endpoint is `async`: as a plain function FastAPI would run it in a thread, which is slower. One
thread for a prediction, since a process is started for each processor.
"""

import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI  # type: ignore[import-not-found,unused-ignore]
from pydantic import BaseModel  # type: ignore[import-not-found,unused-ignore]

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL_PATH"], options)


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


@app.get("/ping")  # type: ignore[untyped-decorator,unused-ignore]
async def ping() -> dict[str, bool]:
    """Answer that the model is loaded."""
    return {"ready": True}


@app.post("/invocations")  # type: ignore[untyped-decorator,unused-ignore]
async def infer(request: Request) -> dict[str, Any]:
    """Answer a request of the Open Inference Protocol."""
    tensor = request.inputs[0]
    rows = np.array(tensor.data, np.float32).reshape(tensor.shape)
    scores = session.run(None, {"X": rows})[0]
    return {
        "model_name": "small",
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
