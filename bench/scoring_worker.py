"""Scores one CSV object in S3, by the engine or by `infer_many`, and says how long it took."""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from bench.object_store import BUCKET
from bench.session_worker import memory_bytes
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings

if TYPE_CHECKING:
    from shearling_runtime.events.context import Context

#: Seconds of a function's longest time.
_LIMIT = 900.0


class _Call:
    """Lambda's context of an invocation that has just begun."""

    aws_request_id = "benchmark"
    function_name = "acme-bench"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:acme-bench:prod"

    def __init__(self) -> None:
        self._ends = time.monotonic() + _LIMIT

    def get_remaining_time_in_millis(self) -> int:
        return round(1000 * (self._ends - time.monotonic()))


def _by_engine(server: ModelServer, key: str) -> int:
    """Score by the runtime, as an event or a batch does."""
    context: Context = _Call()
    document = {
        "shearling": "score",
        "source": {"bucket": BUCKET, "key": key},
        "output": {"bucket": BUCKET, "prefix": "scored/"},
    }
    outcome = respond(document, context, server)
    if outcome.get("shearling") != "scored":
        raise RuntimeError(f"not scored: {outcome}")
    return int(outcome["rows"])


def _by_infer_many(server: ModelServer, key: str) -> int:
    """Read with pandas, ask the same runtime in process, and write with pandas."""
    import pandas as pd

    from shearling.client.lambda_model import LambdaModel
    from tests.support.lambda_server import LocalLambda

    def function(event: Any) -> Any:
        return respond(event, _Call(), server)

    target = "acme-bench:prod"
    client = LocalLambda({target: function}).client
    s3 = boto3.client("s3")
    frame = pd.read_csv(s3.get_object(Bucket=BUCKET, Key=key)["Body"], dtype="float32")
    outputs = LambdaModel(target, client=client).infer_many(frame)
    table = pd.concat([pd.DataFrame(array) for array in outputs.values()], axis=1)
    text = io.BytesIO()
    table.to_csv(text, index=False)
    s3.put_object(Bucket=BUCKET, Key=f"many/{key}", Body=text.getvalue())
    return len(frame)


def main() -> None:
    """Score the object of the arguments, and print rows, seconds and memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=("engine", "infer_many"))
    parser.add_argument("pin")
    parser.add_argument("key")
    parser.add_argument("scratch")
    arguments = parser.parse_args()
    environment = {
        "SHEARLING_REGISTRY": os.environ["SHEARLING_REGISTRY"],
        "SHEARLING_MODEL": arguments.pin,
        "SHEARLING_SCRATCH": arguments.scratch,
        "AWS_LAMBDA_FUNCTION_NAME": "acme-bench",
    }
    Path(arguments.scratch).mkdir(parents=True, exist_ok=True)
    server = ModelServer(Settings.from_environment(environment))
    server.start()
    before = memory_bytes("VmRSS")
    started = time.perf_counter()
    score = _by_engine if arguments.way == "engine" else _by_infer_many
    rows = score(server, arguments.key)
    seconds = time.perf_counter() - started
    peak = memory_bytes("VmHWM")
    print(json.dumps({"rows": rows, "seconds": seconds, "peak": peak, "before": before}))  # noqa: T201


if __name__ == "__main__":
    main()
