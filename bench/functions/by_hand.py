"""The floor of a start: the model on local disk, ONNX Runtime, json, and nothing else."""

import json
import os
from typing import Any

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(os.environ["MODEL_PATH"])
input_name = session.get_inputs()[0].name


def handler(event: Any, context: object) -> dict[str, Any]:
    """Answer `{"instances": [...]}`."""
    del context
    instances = np.array(json.loads(event["body"])["instances"], dtype=np.float32)
    predictions = session.run(None, {input_name: instances})[0]
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"predictions": predictions.tolist()}),
    }
