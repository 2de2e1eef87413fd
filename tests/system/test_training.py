"""The example of training: its script as a job's process, and the call that starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from shearling.models.load import load_model
from shearling.models.training_job import push_training_job
from shearling.registry.registry import Registry
from tests.embedded_aws import ACCOUNT
from tests.embedded_aws.install import REPOSITORY
from tests.support.bundles import ROWS, scaling_graph
from tests.support.moto_server import moto_server
from tests.support.training_jobs import IMAGE, NAME, archive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

EXAMPLE = REPOSITORY / "examples" / "training"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def aws(moto: str, aws_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Let this process use moto for all of AWS."""
    assert aws_environment
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    return moto


def run(script: str, *arguments: str, **variables: str) -> str:
    """Run a script of the example and return what it prints."""
    completed = subprocess.run(
        [sys.executable, EXAMPLE / script, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def start(registry: str) -> str:
    role = f"arn:aws:iam::{ACCOUNT}:role/training"
    options = {
        "image": IMAGE,
        "role": role,
        "code": "s3://jobs/code.tar.gz",
        "data": "s3://jobs/train/",
        "output": "s3://jobs/output",
        "registry": registry,
        "name": "tumours",
    }
    return run("start_job.py", *(f"--{name}={value}" for name, value in options.items())).strip()


def variables_of(description: Mapping[str, Any], channel: Path) -> dict[str, str]:
    """The variables that SageMaker and its training toolkit set; moto forgets the job's own."""
    parameters = {
        name: json.loads(value)
        for name, value in description["HyperParameters"].items()
        if not name.startswith("sagemaker_")
    }
    return {
        "TRAINING_JOB_NAME": description["TrainingJobName"],
        "TRAINING_JOB_ARN": description["TrainingJobArn"],
        "SM_TRAINING_ENV": json.dumps({"job_name": description["TrainingJobName"]}),
        "SM_CURRENT_INSTANCE_TYPE": description["ResourceConfig"]["InstanceType"],
        "SM_HPS": json.dumps(parameters),
        "SM_CHANNEL_TRAIN": str(channel),
    }


def test_the_job_that_the_example_starts_trains_and_pushes(aws: str, tmp_path: Path) -> None:
    assert aws
    rows, labels = load_breast_cancer(return_X_y=True)
    table = np.column_stack([rows[:, :5], labels])
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header="a,b,c,d,e,malignant", comments="")
    uri = str(tmp_path / "registry")
    job = start(uri)
    described = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)

    own = {"SHEARLING_REGISTRY": uri, "MODEL_NAME": "tumours"}
    printed = run("train.py", **variables_of(described, tmp_path), **own)

    assert "pushed tumours:1 (onnx" in printed
    details = Registry(uri).version("tumours").details
    assert details["training"]["job"] == job
    assert details["training"]["image"] == IMAGE
    assert details["training"]["instance_type"] == "ml.m5.large"
    assert details["training"]["hyperparameters"] == {"n_estimators": "100", "max_depth": "8"}
    assert details["training"]["inputs"] == {"train": "s3://jobs/train/"}
    assert 0.8 < details["metrics"]["accuracy"] <= 1


def test_what_a_job_saved_is_pushed_after_it_has_completed(
    aws: str, registry: Registry, cache: Path
) -> None:
    assert aws
    assert cache
    job = start("s3://unreachable")
    described = boto3.client("sagemaker").describe_training_job(TrainingJobName=job)
    bucket, _, key = described["ModelArtifacts"]["S3ModelArtifacts"][5:].partition("/")
    s3 = boto3.client("s3")
    s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    content = archive({"model.onnx": scaling_graph().SerializeToString()})
    s3.put_object(Bucket=bucket, Key=key, Body=content)

    version = push_training_job(job, "scaled", example=ROWS, registry=registry)

    assert registry.version(version.pin).details["training"]["job"] == job
    outputs = load_model("scaled", registry=registry).predict(ROWS)
    assert len(outputs) == 1


def test_a_job_that_does_not_exist_is_named(aws: str, registry: Registry) -> None:
    assert aws
    with pytest.raises(LookupError, match=f"no training job {NAME}"):
        push_training_job(NAME, "scaled", example=ROWS, registry=registry)
