"""The floor of a request: orjson and `session.run` by hand; nothing is checked or logged."""

import os
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
