"""The floor of a request: orjson and `session.run` by hand; nothing is checked or logged.

`logged_handler` also writes the line that Shearling writes, by hand.
"""

import os
import sys
import time
from typing import Any

import numpy as np
import onnxruntime
import orjson

session = onnxruntime.InferenceSession(os.environ["MODEL_PATH"])


def handler(event: Any, context: object) -> dict[str, Any]:
    """Answer a request of the Open Inference Protocol."""
    del context
    tensor = orjson.loads(event["body"])["inputs"][0]
    rows = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    scores = session.run(None, {"X": rows})[0]
    answer = {
        "model_name": "small",
        "model_version": "1",
        "outputs": [
            {
                "name": "scores",
                "datatype": "FP32",
                "shape": scores.shape,
                "data": scores.ravel(),
            }
        ],
    }
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY).decode(),
        "isBase64Encoded": False,
    }


#: What CloudWatch needs to take a line for metrics too.
DECLARED = [
    {
        "Namespace": "Shearling",
        "Dimensions": [["function_name", "alias"]],
        "Metrics": [
            {"Name": "Latency", "Unit": "Milliseconds"},
            {"Name": "ClientErrors", "Unit": "Count"},
            {"Name": "ServerErrors", "Unit": "Count"},
        ],
    }
]


def logged_handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer a request, and write one line with its metrics."""
    started = time.perf_counter()
    answer = handler(event, context)
    line = {
        "event": "invocation",
        "function_name": context.function_name,
        "alias": context.invoked_function_arn.rpartition(":")[2],
        "request_id": context.aws_request_id,
        "status": answer["statusCode"],
        "model": "small:1",
        "Latency": (time.perf_counter() - started) * 1000,
        "ClientErrors": 0,
        "ServerErrors": 0,
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": DECLARED},
    }
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()
    return answer
