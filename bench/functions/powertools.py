"""The same request answered with the resolver of AWS Powertools, as its documentation shows.

`logged_handler` also writes one line with metrics, as Shearling does, by its `Metrics`.
"""

import os
import time
from typing import Any

import numpy as np
import onnxruntime
from aws_lambda_powertools import Metrics  # type: ignore[import-not-found,unused-ignore]
from aws_lambda_powertools.event_handler import (  # type: ignore[import-not-found,unused-ignore]
    APIGatewayHttpResolver,
)

metrics = Metrics(namespace="Shearling", service="models")
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


@metrics.log_metrics  # type: ignore[untyped-decorator,unused-ignore]
def logged_handler(event: Any, context: Any) -> Any:
    """Answer an event, and write one line with its metrics."""
    started = time.perf_counter()
    answer = app.resolve(event, context)
    metrics.add_dimension(name="function_name", value=context.function_name)
    metrics.add_dimension(name="alias", value=context.invoked_function_arn.rpartition(":")[2])
    milliseconds = (time.perf_counter() - started) * 1000
    metrics.add_metric(name="Latency", unit="Milliseconds", value=milliseconds)
    metrics.add_metric(name="ClientErrors", unit="Count", value=0)
    metrics.add_metric(name="ServerErrors", unit="Count", value=0)
    metrics.add_metadata(key="request_id", value=context.aws_request_id)
    metrics.add_metadata(key="status", value=answer["statusCode"])
    return answer
