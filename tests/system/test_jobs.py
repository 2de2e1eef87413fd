"""Asynchronous jobs on an AWS that enforces permissions, through the HTTP API and directly.

The emulator enforces what the caller and the function's role may do. It enforces neither what
EventBridge may send nor what the queue's mapping may receive: the plan's tests show these.
"""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest

import shearling as sdk
from shearling.models.push import push_model
from shearling.package import build_package
from shearling.refs import Pin
from tests.embedded_aws import FOREIGN, REGION, EmbeddedAws
from tests.support.emulated_stack import emulated_stack, write_root
from tests.support.packages import built_package, host_architecture
from tests.support.terraform_cli import accept_python_3_11
from tests.support.users import client_of, environment_of, user_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from botocore.credentials import Credentials
    from numpy.typing import NDArray

    from shearling.client.http_model import HttpModel

pytestmark = pytest.mark.slow

#: The pickle and the function that loads it have the same Python.
PYTHON = "3.11"

MAIN = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "%(region)s"
}

resource "aws_sns_topic" "done" {
  name = "done"
}

resource "aws_sqs_queue" "done" {
  name = "done"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "sns.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "*"
    }]
  })
}

resource "aws_sns_topic_subscription" "done" {
  topic_arn            = aws_sns_topic.done.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.done.arn
  raw_message_delivery = true
}

module "inference" {
  source = "./terraform"

  name     = "later"
  packages = { runtime = "%(runtime)s", control = "%(control)s" }
  python   = "%(python)s"
  registry = {}
  api      = {}

  models = {
    fraud = {
      aliases         = { prod = {}, staging = {} }
      default_alias   = "prod"
      timeout_seconds = 90
      allow_pickle    = true
      jobs            = { topic_arn = aws_sns_topic.done.arn, max_concurrency = 2 }
    }
  }
}

output "stack" {
  value = {
    registry_uri    = module.inference.registry_uri
    api_id          = module.inference.api_id
    bucket          = module.inference.job_buckets["fraud"]
    invoke_policies = module.inference.invoke_policies
  }
}
"""

#: Values of the first column that make the model slow, or make it fail.
SLOW, FAILING = 40.0, -1.0


def model_of(factor: float) -> Any:
    """A model that takes as many seconds as its first value says, if that is not small."""

    def answer(X: NDArray[Any]) -> NDArray[Any]:  # noqa: N803 - the input's name
        import time

        first = float(X[0, 0]) if len(X) else 0.0
        if first < 0:
            raise RuntimeError("no such customer")
        if first >= 5:
            time.sleep(first)
        return X * np.float32(factor)

    return answer


def package_of_pickles(path: Path) -> Path:
    """Build the package of a function that loads the pickle, as `package runtime --for` does."""
    requirements = [f"{name}=={version(name)}" for name in ("cloudpickle", "numpy")]
    build_package(
        "runtime",
        python=PYTHON,
        architecture=host_architecture(),
        output=path,
        requirements=requirements,
    )
    return path


@dataclass
class Stack:
    """The stack, and a caller who may invoke `prod` and nothing else."""

    aws: EmbeddedAws
    outputs: dict[str, Any]
    caller: Credentials

    @property
    def url(self) -> str:
        return self.aws.http_api_url(self.outputs["api_id"])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with EmbeddedAws(auth=True) as aws, pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("jobs")
        values = {
            "region": REGION,
            "python": PYTHON,
            "runtime": package_of_pickles(directory / "runtime.zip"),
            "control": built_package("control", PYTHON),
        }
        write_root(directory, MAIN % values)
        accept_python_3_11(directory / "terraform")
        terraform = emulated_stack(aws, directory)
        terraform.apply()
        outputs: dict[str, Any] = terraform.outputs()["stack"]
        for variable in FOREIGN:
            patch.delenv(variable, raising=False)
        for name, value in aws.environment().items():
            patch.setenv(name, value)
        patch.setenv("SHEARLING_REGISTRY", outputs["registry_uri"])
        for factor in (2.0, 3.0):
            push_model(
                model_of(factor),
                "fraud",
                example=np.ones((2, 2), np.float32),
                format="cloudpickle",
            )
        sdk.set_alias("fraud", "prod", 1, wait=True, timeout_seconds=120)
        policy = outputs["invoke_policies"]["fraud:prod"]
        caller = user_with(aws, policy)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        for name, value in environment_of(caller).items():
            patch.setenv(name, value)
        yield Stack(aws, outputs, caller)


@pytest.fixture
def model(stack: Stack) -> HttpModel:
    """The model as its caller sees it through the HTTP API."""
    return sdk.connect(stack.url, model="fraud", auth="iam", region=REGION)


ROWS = np.array([[1, 2], [3, 4]], np.float32)


def test_a_job_through_the_api_is_answered(model: HttpModel) -> None:
    job = model.infer_async(ROWS)
    assert np.array_equal(job.result(timeout=120)["output"], ROWS * 2)
    assert job.state()["model_version"] == "1"


def test_a_job_by_direct_invocation_is_answered(stack: Stack) -> None:
    client = client_of(stack.aws, stack.caller, "lambda")
    job = sdk.connect("later-fraud:prod", client=client).infer_async(ROWS)
    assert np.array_equal(job.result(timeout=120)["output"], ROWS * 2)
    client.close()


def test_a_body_of_fifty_megabytes_is_uploaded_and_answered(model: HttpModel) -> None:
    rows = np.random.default_rng(0).random((6_250_000, 2), np.float32)
    outputs = model.infer_async(rows).result(timeout=240)
    assert np.array_equal(outputs["output"], rows * 2)


def test_a_failing_model_fails_the_job(model: HttpModel) -> None:
    job = model.infer_async(np.array([[FAILING, 0]], np.float32))
    with pytest.raises(sdk.InferenceError, match=f"job {job.id} failed"):
        job.result(timeout=120)
    assert job.state()["status"] == "failed"


def test_a_slow_job_outlives_the_api_and_the_version_that_runs_a_queued_one_answers_it(
    stack: Stack, model: HttpModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    slow = [model.infer_async(np.array([[SLOW, i]], np.float32)) for i in (1, 2)]
    queued = model.infer_async(ROWS)
    for name, value in stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    sdk.set_alias("fraud", "prod", 2, wait=True, timeout_seconds=120)
    assert Pin.parse(str(sdk.Registry().resolve("fraud:prod"))).version == 2
    for job, i in zip(slow, (1, 2), strict=True):
        state = job.wait(timeout=150)
        expected = np.array([[SLOW, i]], np.float32) * (2 if state["model_version"] == "1" else 3)
        assert np.array_equal(job.result()["output"], expected)
    assert time.monotonic() - started > 30
    state = queued.wait(timeout=60)
    factor = {"1": 2, "2": 3}[state["model_version"]]
    assert np.array_equal(queued.result()["output"], ROWS * factor)
    assert np.array_equal(model.infer_async(ROWS).result(timeout=60)["output"], ROWS * 3)


def test_twenty_posts_with_one_key_are_one_job(model: HttpModel, stack: Stack) -> None:
    model.infer(ROWS)
    with ThreadPoolExecutor(20) as pool:
        jobs = list(pool.map(lambda _: model.infer_async(ROWS, idempotency_key="one"), range(20)))
    assert len({job.id for job in jobs}) == 1
    jobs[0].wait(timeout=120)
    time.sleep(2)
    assert len(keys(stack, f"jobs/prod/{jobs[0].id}/result-")) == 1


def test_the_caller_reads_nothing_of_the_bucket(stack: Stack, model: HttpModel) -> None:
    model.infer_async(ROWS, idempotency_key="secret").wait(timeout=120)
    client = client_of(stack.aws, stack.caller, "s3")
    for key in ("secret/idempotency", *keys(stack, "jobs/")[:1]):
        assert keys(stack, key)
        with pytest.raises(client.exceptions.ClientError, match=r"AccessDenied|403"):
            client.get_object(Bucket=stack.outputs["bucket"], Key=key)
    client.close()


def test_the_url_of_a_result_needs_no_credentials_and_is_for_this_object_alone(
    model: HttpModel,
) -> None:
    state = model.infer_async(ROWS).wait(timeout=120)
    url = state["result"]["url"]
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert json.load(answer)["outputs"]
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url.replace("result-", "result_"), timeout=30)


def test_another_aliass_job_is_unknown(stack: Stack, model: HttpModel) -> None:
    job = model.infer_async(ROWS)
    staging = sdk.connect(stack.url, model="fraud", alias="staging", auth="iam", region=REGION)
    with pytest.raises(sdk.InferenceError):
        staging.job(job.id).state()


def test_an_uploaded_array_is_answered_in_blocks(model: HttpModel) -> None:
    rows = np.random.default_rng(1).random((2_000_000, 2), np.float32)
    stream = io.BytesIO()
    np.save(stream, rows)
    description = {"content_type": "application/x-npy"}
    _, _, data = model.send("POST", "/jobs", json.dumps(description).encode(), {})
    created = json.loads(data)
    upload = urllib.request.Request(
        created["upload"]["url"], stream.getvalue(), method=created["upload"]["method"]
    )
    with urllib.request.urlopen(upload, timeout=60) as answer:
        assert answer.status == 200
    state = model.job(created["id"]).wait(timeout=240)
    assert state["status"] == "succeeded", state
    with urllib.request.urlopen(state["result"]["url"], timeout=60) as answer:
        outputs = np.load(io.BytesIO(answer.read()))
    factor = {"1": 2, "2": 3}[state["model_version"]]
    assert np.array_equal(outputs, rows * np.float32(factor))


def test_a_job_that_is_done_is_announced_to_the_topic(stack: Stack, model: HttpModel) -> None:
    job = model.infer_async(ROWS)
    job.wait(timeout=120)
    client = stack.aws.client("sqs")
    queue = client.get_queue_url(QueueName="done")["QueueUrl"]
    wanted = {
        "function": "later-fraud",
        "bucket": stack.outputs["bucket"],
        "key": f"completed/prod/{job.id}/succeeded.json",
    }
    ends = time.monotonic() + 60
    seen: list[Any] = []
    while wanted not in seen and time.monotonic() < ends:
        answer = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2)
        seen += [json.loads(message["Body"]) for message in answer.get("Messages", [])]
    client.close()
    assert wanted in seen


def keys(stack: Stack, prefix: str) -> list[str]:
    client = stack.aws.client("s3")
    listed = client.list_objects_v2(Bucket=stack.outputs["bucket"], Prefix=prefix)
    client.close()
    return [item["Key"] for item in listed.get("Contents", [])]
