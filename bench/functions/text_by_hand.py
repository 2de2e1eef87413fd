"""The handler that people write for sentences: transformers' tokenizer, ONNX Runtime, json."""

import json
import os
from typing import Any

import onnxruntime
from transformers import AutoTokenizer

FOLDER = os.environ["MODEL_FOLDER"]
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
session = onnxruntime.InferenceSession(f"{FOLDER}/onnx/model.onnx")
names = [node.name for node in session.get_inputs()]


def handler(event: Any, context: object) -> dict[str, Any]:
    """Answer `{"instances": [...]}`."""
    del context
    texts = json.loads(event["body"])["instances"]
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="np")
    predictions = session.run(None, {name: tokens[name] for name in names})[0]
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"predictions": predictions.tolist()}),
    }
