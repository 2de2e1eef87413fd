"""The same request answered with the resolver of AWS Powertools, as its documentation shows."""

import os
from typing import Any

import numpy as np
import onnxruntime
from aws_lambda_powertools.event_handler import (  # type: ignore[import-not-found,unused-ignore]
    APIGatewayHttpResolver,
)

session = onnxruntime.InferenceSession(os.environ["MODEL_PATH"])
app = APIGatewayHttpResolver()


@app.post("/v2/models/<model>/infer")  # type: ignore[untyped-decorator,unused-ignore]
def infer(model: str) -> dict[str, Any]:
    """Answer a request of the Open Inference Protocol."""
    tensor = app.current_event.json_body["inputs"][0]
    rows = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
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


def handler(event: Any, context: Any) -> Any:
    """Answer an event."""
    return app.resolve(event, context)
