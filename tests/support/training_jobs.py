"""SageMaker's API for training jobs in any state, and archives as jobs write them."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shearling.loopback import Reply, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shearling.loopback import Request

NAME = "fraud-2026-11-27"
ARN = f"arn:aws:sagemaker:eu-central-1:000000000000:training-job/{NAME}"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/training:1.4"


def description(**fields: Any) -> dict[str, Any]:
    """A completed job as SageMaker describes it, with some fields replaced."""
    return {
        "TrainingJobName": NAME,
        "TrainingJobArn": ARN,
        "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed",
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "HyperParameters": {"max_depth": "5", "sagemaker_program": '"train.py"'},
        "InputDataConfig": [
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3Uri": "s3://in/train/"}}}
        ],
        "FinalMetricDataList": [
            {"MetricName": "validation:auc", "Value": 0.93, "Timestamp": 1.0},
            {"MetricName": "validation:loss", "Value": float("nan"), "Timestamp": 1.0},
        ],
    } | fields


@contextmanager
def sagemaker(answer: Mapping[str, Any], status: int = 200) -> Iterator[str]:
    """Serve an answer to every request of SageMaker's API, and yield the URL."""

    def reply(_: Request) -> Reply:
        headers = {"content-type": "application/x-amz-json-1.1"}
        return Reply(status, headers, json.dumps(answer).encode())

    with serving(reply, body_limit=1_000_000) as port:
        yield f"http://127.0.0.1:{port}"


def archive(files: Mapping[str, bytes], *members: tarfile.TarInfo) -> bytes:
    """A `model.tar.gz` of files, and of members without content."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    return target.getvalue()
