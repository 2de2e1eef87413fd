"""Push the model of a finished SageMaker training job."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from shearling.errors import FormatError, InvalidRefError, ModelNotFoundError, StoreError
from shearling.models.measuring import LARGEST
from shearling.models.model_archive import PICKLES, only_model, unpack
from shearling.models.pickled_file import unpickled
from shearling.models.push import push_model
from shearling.models.training import (
    TrainingJob,
    describe,
    job_of_description,
    pushed_from,
    region_of_arn,
)
from shearling.progress import human_bytes, progress
from shearling.refs import check_model
from shearling.tensors.comparison import ATOL, RTOL

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from shearling.models.model_version import ModelVersion
    from shearling.registry.registry import Registry

_JOB = re.compile(
    r"(arn:[a-z-]+:sagemaker:[a-z0-9-]+:[0-9]{12}:training-job/)?([a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62})"
)

#: Size limit of the archive: a function has at most 10 GB of memory and of /tmp.
_MOST_BYTES = 10 * 1024**3


def push_training_job(
    job: str,
    name: str,
    *,
    example: Any,
    allow_pickle: bool = False,
    format: str | None = None,  # noqa: A002 - the usual term
    alias: str | None = None,
    wait: bool = False,
    allow_breaking: bool = False,
    requirements: Sequence[str] | None = None,
    metadata: Mapping[str, object] | None = None,
    rtol: float = RTOL,
    atol: float = ATOL,
    load: Literal["latency", "throughput"] | None = None,
    measure: bool | None = None,
    largest: int = LARGEST,
    registry: str | os.PathLike[str] | Registry | None = None,
) -> ModelVersion:
    """Push the model that a SageMaker training job saved in its `model.tar.gz`.

    The archive must have exactly one `.onnx` file. The version's record names the job, its image
    and hyperparameters, and has the job's final metrics among its own.

    Args:
        job: name or ARN of the job.
        name: the model's name, as for `push_model`.
        example: rows to run the model on, as for `push_model`.
        allow_pickle: whether the model may also be a pickle (`.joblib`, `.pkl` or `.pickle`), which
            is loaded here and runs the code in it. An estimator in it is converted to ONNX, unless
            `format="cloudpickle"`.
        format: as for `push_model`.
        alias: as for `push_model`.
        wait: as for `push_model`.
        allow_breaking: as for `push_model`.
        requirements: as for `push_model`.
        metadata: as for `push_model`.
        rtol: as for `push_model`.
        atol: as for `push_model`.
        load: as for `push_model`.
        measure: as for `push_model`.
        largest: as for `push_model`.
        registry: as for `push_model`.

    Raises:
        InvalidRefError: the job's or the model's name is not allowed.
        ModelNotFoundError: there is no such job in the region.
        StoreError: SageMaker or the job's bucket cannot be reached, or refused.
        FormatError: the job has not completed, or its archive is damaged or has no single model.
        ShearlingError: as for `push_model`.
    """
    check_model(name)
    with trained_model(job, allow_pickle=allow_pickle) as trained:
        return trained.push(
            name,
            example=example,
            format=format,
            alias=alias,
            wait=wait,
            allow_breaking=allow_breaking,
            requirements=requirements,
            metadata=metadata,
            rtol=rtol,
            atol=atol,
            load=load,
            measure=measure,
            largest=largest,
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The model of a finished job, unpacked.

    Attributes:
        path: the model's file.
        job: the job.
    """

    path: Path
    job: TrainingJob

    def push(self, name: str, **options: Any) -> ModelVersion:
        """Push the model with the options of `push_model`, and record the job."""
        is_pickle = self.path.suffix.lower() in PICKLES
        model = unpickled(self.path) if is_pickle else self.path
        with pushed_from(self.job):
            return push_model(model, name, **options)


@contextmanager
def trained_model(job: str, *, allow_pickle: bool = False) -> Iterator[TrainedModel]:
    """Fetch and unpack the model of a finished job, until the context ends.

    Raises:
        InvalidRefError, ModelNotFoundError, StoreError, FormatError: as for `push_training_job`.
    """
    description = _completed(job)
    name = description["TrainingJobName"]
    with tempfile.TemporaryDirectory(prefix="shearling-") as temporary:
        archive, directory = Path(temporary, "model.tar.gz"), Path(temporary, "model")
        uri = _download(description, archive)
        try:
            files = unpack(archive, directory)
            path = directory / only_model(files, allow_pickle=allow_pickle)
        except FormatError as error:
            raise FormatError(f"training job {name}: {uri}: {error}") from error
        archive.unlink()
        yield TrainedModel(path, job_of_description(description))


def _completed(job: str) -> dict[str, Any]:
    """Return the description of a job that has completed."""
    match = _JOB.fullmatch(job) if isinstance(job, str) else None
    if not match:
        raise InvalidRefError(
            f"training job {job!r:.80}: expected its name, which has at most 63 letters, digits "
            "and '-', or its ARN"
        )
    description = _description(match[2], region_of_arn(match[1] or ""))
    status = description["TrainingJobStatus"]
    if status == "Completed":
        return description
    reason = description.get("FailureReason") or description.get("SecondaryStatus", "")
    advice = (
        "push its model when it has completed"
        if status in ("InProgress", "Stopping")
        else "only a completed job has a model that is known to be whole"
    )
    raise FormatError(
        f"training job {match[2]} is {status}{f' ({reason:.500})' if reason else ''}: {advice}"
    )


def _description(name: str, region: str | None) -> dict[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return describe(name, region, retries={"mode": "standard"})
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("ValidationException", "ResourceNotFound"):
            where = f" in {region}" if region else ""
            raise ModelNotFoundError(
                f"no training job {name}{where}: check the name, the account and the region "
                "(AWS_REGION); the job's ARN names both"
            ) from error
        is_denied = "AccessDenied" in code
        advice = ": the caller needs the action sagemaker:DescribeTrainingJob" if is_denied else ""
        raise StoreError(
            f"cannot describe training job {name}: {error!s:.500}{advice}", denied=is_denied
        ) from error
    except BotoCoreError as error:
        raise StoreError(f"cannot describe training job {name}: {error!s:.500}") from error


def _download(description: dict[str, Any], archive: Path) -> str:
    """Download the archive of a job and return its URI."""
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    job = description["TrainingJobName"]
    uri: str = description.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    place = urlsplit(uri, allow_fragments=False)
    if place.scheme != "s3" or not uri.endswith(".tar.gz"):
        raise FormatError(
            f"training job {job} has no archive of its model ({uri or 'no model was saved'!r:.200})"
            ": let it write to the directory that SM_MODEL_DIR names, with the output's "
            "compression GZIP"
        )
    key = place.path.removeprefix("/")
    try:
        client = boto3.client("s3", region_name=region_of_arn(description["TrainingJobArn"]))
        size = client.head_object(Bucket=place.netloc, Key=key)["ContentLength"]
        if size > _MOST_BYTES:
            raise FormatError(
                f"training job {job}: {uri} has {human_bytes(size)}, but {human_bytes(_MOST_BYTES)}"
                " are allowed: let the job save no more than the model"
            )
        with progress(f"fetch {job}", size) as advance:
            client.download_file(place.netloc, key, str(archive), Callback=advance)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        advice = {403: ": the caller needs s3:GetObject on it", 404: ": it was deleted"}
        raise StoreError(
            f"cannot read {uri} of training job {job}: {error!s:.300}{advice.get(status, '')}",
            denied=status == 403,  # noqa: PLR2004 - HTTP's
        ) from error
    except (BotoCoreError, Boto3Error, OSError) as error:
        raise StoreError(f"cannot read {uri} of training job {job}: {error!s:.300}") from error
    return uri
