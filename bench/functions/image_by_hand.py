"""The handler that people write for pictures: Pillow, NumPy, ONNX Runtime, json."""

import base64
import io
import json
import os
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(os.environ["MODEL_PATH"])
input_name = session.get_inputs()[0].name


def handler(event: Any, context: object) -> dict[str, Any]:
    """Answer the file of a picture."""
    del context
    file = Image.open(io.BytesIO(base64.b64decode(event["body"])))
    picture = ImageOps.exif_transpose(file).convert("RGB")
    resized = picture.resize((192, 48), Image.Resampling.BILINEAR)
    pixels = (np.asarray(resized, np.float32) / 255 - 0.5) / 0.5
    batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis])
    predictions = session.run(None, {input_name: batch})[0]
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"predictions": predictions.tolist()}),
    }
