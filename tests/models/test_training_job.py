"""Pushing what a SageMaker training job saved, and which jobs have nothing to push."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from shearling.errors import FormatError, InvalidRefError, ModelNotFoundError, StoreError
from shearling.models.load import load_model
from shearling.models.training_job import push_training_job
from tests.support.bundles import ROWS, scaling_graph
from tests.support.cli import error, output, run, write
from tests.support.datasets import X, classifier
from tests.support.training_jobs import ARN, IMAGE, NAME, archive, description, sagemaker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shearling.registry.registry import Registry
    from tests.embedded_aws import EmbeddedAws

GRAPH = scaling_graph().SerializeToString()
FILES = {"model.onnx": GRAPH}


class Jobs:
    """Jobs whose archives are in a bucket of the embedded AWS, and the API that describes them."""

    def __init__(self, s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._monkeypatch = monkeypatch
        self.uri = f"s3://{bucket}/{NAME}/output/model.tar.gz"

    def save(self, content: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=f"{NAME}/output/model.tar.gz", Body=content)

    def use(self, url: str) -> None:
        self._monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", url)


@pytest.fixture
def jobs(
    embedded_aws: EmbeddedAws,
    bucket: str,
    aws_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Jobs:
    assert aws_environment
    return Jobs(embedded_aws.client("s3"), bucket, monkeypatch)


@pytest.fixture
def completed(jobs: Jobs) -> Iterator[Jobs]:
    """A completed job, whose archive the test saves."""
    with sagemaker(description(ModelArtifacts={"S3ModelArtifacts": jobs.uri})) as url:
        jobs.use(url)
        yield jobs


@pytest.mark.parametrize("job", [NAME, ARN])
def test_the_only_onnx_file_of_a_job_is_pushed_with_its_lineage(
    completed: Jobs, registry: Registry, job: str
) -> None:
    completed.save(archive({"nested/model.onnx": GRAPH, "log.txt": b"epoch 1"}))
    version = push_training_job(job, "fraud", example=ROWS, registry=registry)
    details = registry.version(version.pin).details
    assert details["training"] == {
        "job": NAME,
        "arn": ARN,
        "image": IMAGE,
        "instance_type": "ml.m5.large",
        "hyperparameters": {"max_depth": "5", "sagemaker_program": "train.py"},
        "inputs": {"train": "s3://in/train/"},
    }
    assert details["metrics"] == {"validation:auc": 0.93}
    assert registry.manifest(version.pin).format == "onnx"


def test_weights_beside_the_graph_are_pushed_with_it(
    completed: Jobs, registry: Registry, tmp_path: Path
) -> None:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["X", "W"], ["Y"])],
            "wide",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 2])],
            [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", 512])],
            [numpy_helper.from_array(np.ones((2, 512), np.float32), "W")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    graph, weights = tmp_path / "m.onnx", tmp_path / "weights.bin"
    onnx.save(model, graph, save_as_external_data=True, location=weights.name, size_threshold=0)
    files = {"a/m.onnx": graph.read_bytes(), "a/weights.bin": weights.read_bytes()}
    assert files["a/weights.bin"]
    completed.save(archive(files))
    assert push_training_job(NAME, "fraud", example=ROWS, registry=registry).is_new


@pytest.mark.parametrize("suffix", ["joblib", "pkl", "pickle"])
def test_an_estimator_in_a_pickle_becomes_onnx_where_pickles_are_allowed(
    completed: Jobs, registry: Registry, suffix: str
) -> None:
    model = classifier(LogisticRegression())
    stream = io.BytesIO()
    (joblib.dump if suffix == "joblib" else pickle.dump)(model, stream)
    completed.save(archive({f"model.{suffix}": stream.getvalue()}))
    with pytest.raises(FormatError, match="allow_pickle=True"):
        push_training_job(NAME, "fraud", example=X, registry=registry)
    version = push_training_job(NAME, "fraud", example=X, allow_pickle=True, registry=registry)
    assert version.format == "onnx"
    answers = load_model("fraud", registry=registry).predict(X)["label"]
    np.testing.assert_array_equal(answers, model.predict(X))


def test_a_pickle_that_cannot_be_loaded_is_an_error(completed: Jobs, registry: Registry) -> None:
    completed.save(archive({"model.pkl": b"no pickle"}))
    with pytest.raises(FormatError, match=r"the pickle 'model\.pkl' cannot be loaded"):
        push_training_job(NAME, "fraud", example=X, allow_pickle=True, registry=registry)


def test_an_archive_with_two_models_is_refused_with_its_uri(
    completed: Jobs, registry: Registry
) -> None:
    completed.save(archive({"a.onnx": GRAPH, "b.onnx": GRAPH}))
    with pytest.raises(FormatError, match=rf"job {NAME}: {completed.uri}: it has 2 models"):
        push_training_job(NAME, "fraud", example=ROWS, registry=registry)
    assert registry.models() == []


def test_an_archive_that_was_deleted_is_an_error(jobs: Jobs, registry: Registry) -> None:
    gone = jobs.uri.replace(NAME, "gone")
    with sagemaker(description(ModelArtifacts={"S3ModelArtifacts": gone})) as url:
        jobs.use(url)
        with pytest.raises(StoreError, match=f"cannot read {gone}.*it was deleted"):
            push_training_job(NAME, "fraud", example=ROWS, registry=registry)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Training"},
            r"is InProgress \(Training\): push its model when it has completed",
        ),
        ({"TrainingJobStatus": "Stopping"}, "is Stopping .*when it has completed"),
        (
            {"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: out of memory"},
            r"is Failed \(AlgorithmError: out of memory\): only a completed job",
        ),
        (
            {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"},
            r"is Stopped \(MaxRuntimeExceeded\)",
        ),
        ({}, r"has no archive of its model \('no model was saved'\)"),
        (
            {"ModelArtifacts": {"S3ModelArtifacts": "s3://out/job/output/model/"}},
            r"has no archive of its model \('s3://out/job/output/model/'\).* compression GZIP",
        ),
    ],
)
def test_a_job_without_a_whole_model_is_refused_with_the_reason(
    jobs: Jobs, registry: Registry, fields: dict[str, Any], message: str
) -> None:
    with sagemaker(description(**fields)) as url:
        jobs.use(url)
        with pytest.raises(FormatError, match=f"training job {NAME} {message}"):
            push_training_job(NAME, "fraud", example=ROWS, registry=registry)


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("ValidationException", ModelNotFoundError, f"no training job {NAME}: check the name"),
        ("AccessDeniedException", StoreError, "needs the action sagemaker:DescribeTrainingJob"),
        ("ExpiredTokenException", StoreError, r"ExpiredTokenException.*not found\.$"),
    ],
)
def test_what_sagemaker_refuses_is_an_error(
    jobs: Jobs, registry: Registry, code: str, kind: type[Exception], message: str
) -> None:
    with sagemaker({"__type": code, "message": "Requested resource not found."}, 400) as url:
        jobs.use(url)
        with pytest.raises(kind, match=message):
            push_training_job(NAME, "fraud", example=ROWS, registry=registry)


@pytest.mark.parametrize("job", ["", "a b", "-a", "../x", "a" * 64, "arn:aws:s3:::bucket", 7])
def test_a_job_is_named_by_name_or_arn(registry: Registry, job: Any) -> None:
    with pytest.raises(InvalidRefError, match=r"training job .*: expected its name"):
        push_training_job(job, "fraud", example=ROWS, registry=registry)


def test_the_command_pushes_a_job(
    completed: Jobs,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", registry.store.uri)
    completed.save(archive(FILES))
    rows = write(tmp_path / "rows.csv", "a,b\n1,2\n")
    arguments = ("--training-job", NAME, "--name", "fraud", "--example", rows)
    assert run("push", *arguments) == 0
    assert output(capsys).startswith("fraud:1 (onnx, ")
    assert run("show", "fraud") == 0
    shown = output(capsys)
    assert NAME in shown
    assert "validation:auc: 0.93" in shown


def test_the_command_names_its_own_option_for_pickles(
    completed: Jobs, registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    completed.save(archive({"model.pkl": b"pickle"}))
    rows = write(tmp_path / "rows.csv", "a,b\n1,2\n")
    uri = registry.store.uri
    arguments = ("--training-job", NAME, "--name", "fraud", "--example", rows, "--registry", uri)
    assert run("push", *arguments) == 1
    assert "--allow-pickle" in error(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "either FILE.onnx or --training-job JOB"),
        (("model.onnx", "--training-job", NAME), "either FILE.onnx or --training-job JOB"),
        (("model.onnx", "--allow-pickle"), "--allow-pickle applies to --training-job only"),
    ],
)
def test_the_command_takes_a_file_or_a_job(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("push", *words, "--name", "fraud", "--example", "rows.csv")
    assert message in error(capsys)
