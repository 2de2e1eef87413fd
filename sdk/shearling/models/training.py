"""The SageMaker training job that a pushed model comes from, for the record of its version."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.bundle.metrics import metrics_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Field of a version's record.
TRAINING_FIELD = "training"

#: Size limits of a job's hyperparameters and of its inputs as JSON: a record has at most 64 KiB.
_HYPERPARAMETER_BYTES, _INPUT_BYTES = 16 * 1024, 4 * 1024

#: Longer names and values are cut.
_LONGEST = 256

#: Timeout of connecting and of reading. A VPC without an endpoint for SageMaker's API must not
#: delay a push.
_SECONDS = 2

#: Where SageMaker puts a job's configuration, unless SM_INPUT_CONFIG_DIR names another directory.
_CONFIGURATION = "/opt/ml/input/config"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """A training job, as far as it is known.

    Attributes:
        name: name of the job.
        arn: ARN of the job.
        image: URI of its container image, or ARN of the algorithm.
        instance_type: type of its instances.
        hyperparameters: values by name, as text.
        inputs: URI of each input channel by name.
        metrics: last value of each metric by name.
    """

    name: str = ""
    arn: str = ""
    image: str = ""
    instance_type: str = ""
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """Return the job for a version's record, within the limits of a record.

        The metrics are not in it: they are among those of the version.
        """
        hyperparameters = _within(self.hyperparameters, _HYPERPARAMETER_BYTES)
        document = {
            "job": _cut(self.name),
            "arn": _cut(self.arn),
            "image": _cut(self.image),
            "instance_type": _cut(self.instance_type),
            "hyperparameters": hyperparameters,
            "hyperparameters_omitted": len(self.hyperparameters) - len(hyperparameters),
            "inputs": _within(self.inputs, _INPUT_BYTES),
        }
        return {name: value for name, value in document.items() if value}


_pushed_job: ContextVar[TrainingJob | None] = ContextVar("_pushed_job", default=None)


@contextmanager
def pushed_from(job: TrainingJob) -> Iterator[None]:
    """Let pushes in this context record a job, instead of the one that this process runs in."""
    token = _pushed_job.set(job)
    try:
        yield
    finally:
        _pushed_job.reset(token)


def current_job() -> TrainingJob | None:
    """Return the job that a push is to record; None outside of a training job. It never fails."""
    return _pushed_job.get() or _job_of_environment(os.environ)


def job_of_description(description: Mapping[str, Any]) -> TrainingJob:
    """Return a job from SageMaker's answer to DescribeTrainingJob."""
    algorithm = description.get("AlgorithmSpecification", {})
    metrics = description.get("FinalMetricDataList", ())
    return TrainingJob(
        name=description.get("TrainingJobName", ""),
        arn=description.get("TrainingJobArn", ""),
        image=algorithm.get("TrainingImage") or algorithm.get("AlgorithmName", ""),
        instance_type=description.get("ResourceConfig", {}).get("InstanceType", ""),
        hyperparameters=_texts(description.get("HyperParameters", {})),
        inputs={
            channel["ChannelName"]: uri
            for channel in description.get("InputDataConfig", ())
            if (uri := _channel_uri(channel.get("DataSource", {})))
        },
        metrics=metrics_of({metric["MetricName"]: metric["Value"] for metric in metrics}),
    )


def describe(name: str, region: str | None, **client_options: Any) -> dict[str, Any]:
    """Return SageMaker's answer to DescribeTrainingJob.

    Args:
        name: name of the job.
        region: region of the job; None takes it from the environment or the profile.
        client_options: options of botocore's configuration.

    Raises:
        botocore.exceptions.BotoCoreError: there is no region, are no credentials, or is no network.
        botocore.exceptions.ClientError: SageMaker refused or has no such job.
    """
    import boto3
    from botocore.config import Config

    config = Config(**client_options)
    client: Any = boto3.client("sagemaker", region_name=region, config=config)
    answer: dict[str, Any] = client.describe_training_job(TrainingJobName=name)
    return answer


def region_of_arn(arn: str) -> str | None:
    """Return the region in the ARN of a training job; None if it has none."""
    parts = arn.split(":")
    return (parts[3] or None) if len(parts) > 3 else None  # noqa: PLR2004 - arn:aws:service:region


def _job_of_environment(environment: Mapping[str, str]) -> TrainingJob | None:
    """Return the job whose container has these environment variables.

    SageMaker sets TRAINING_JOB_*, and its training toolkit SM_*. The image is in neither.
    """
    toolkit = _object(environment.get("SM_TRAINING_ENV", ""))
    arn = environment.get("TRAINING_JOB_ARN", "")
    name = environment.get("TRAINING_JOB_NAME") or str(toolkit.get("job_name", ""))
    name = name or arn.rpartition("/")[2]
    if not (name or toolkit or "SM_HPS" in environment):
        return None
    described = _described(name, arn)
    return TrainingJob(
        name=name,
        arn=arn,
        image=described.image,
        instance_type=environment.get("SM_CURRENT_INSTANCE_TYPE") or described.instance_type,
        hyperparameters=_hyperparameters(environment) or described.hyperparameters,
        inputs=described.inputs,
        metrics=described.metrics,
    )


def _described(name: str, arn: str) -> TrainingJob:
    """Return what SageMaker knows of the running job, if the job's role may ask for it."""
    # A push must not fail because its lineage is not known.
    with suppress(Exception):
        if region := region_of_arn(arn):
            return job_of_description(
                describe(
                    name,
                    region,
                    connect_timeout=_SECONDS,
                    read_timeout=_SECONDS,
                    retries={"total_max_attempts": 1},
                )
            )
    return TrainingJob()


def _hyperparameters(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the hyperparameters from the toolkit's variables, or else from SageMaker's file."""
    if "SM_HPS" in environment:
        return _texts(_object(environment["SM_HPS"]))
    directory = environment.get("SM_INPUT_CONFIG_DIR", _CONFIGURATION)
    with suppress(OSError, ValueError):
        return _texts(_object(Path(directory, "hyperparameters.json").read_text("utf-8")))
    return {}


def _object(text: str) -> dict[str, Any]:
    """Return a JSON object; empty if the text is something else."""
    with suppress(ValueError, RecursionError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    return {}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return hyperparameters as text; SageMaker's SDK writes a text as JSON, in quotes."""
    return {str(name): _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    with suppress(ValueError, RecursionError):
        decoded = json.loads(value)
        if isinstance(decoded, str):
            return decoded
    return value


def _channel_uri(source: Mapping[str, Any]) -> str:
    file_system = source.get("FileSystemDataSource", {})
    uri: str = source.get("S3DataSource", {}).get("S3Uri") or file_system.get("FileSystemId", "")
    return uri


def _within(values: Mapping[str, str], limit: int) -> dict[str, str]:
    """Return as many of the values, by name, as the limit in bytes of JSON holds."""
    kept: dict[str, str] = {}
    size = 0
    for name, value in sorted(values.items()):
        item = {_cut(name): _cut(value)}
        size += len(json.dumps(item))
        if size <= limit:
            kept |= item
    return kept


def _cut(text: str) -> str:
    """Return a text that a record can have: not too long, and without half of a surrogate pair."""
    text = text.encode(errors="replace").decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
