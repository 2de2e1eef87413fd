# ruff: noqa: S108 - a function may write to /tmp and nowhere else
"""The handler that people write: boto3 to /tmp, a session with default options, json."""

import json
import os
from typing import Any

import boto3
import numpy as np
import onnxruntime

s3 = boto3.client("s3")
for name in os.environ["MODEL_FILES"].split(","):
    s3.download_file(
        os.environ["MODEL_BUCKET"], f"{os.environ['MODEL_PREFIX']}/{name}", f"/tmp/{name}"
    )
session = onnxruntime.InferenceSession("/tmp/model.onnx")
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
