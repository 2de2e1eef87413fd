"""What the record of a version says about the training job in which it was pushed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.models.push import push_model
from shearling.models.training import TrainingJob
from shearling.registry.record_reader import RECORD_BYTES
from tests.support.bundles import ROWS, scaling_graph
from tests.support.training_jobs import ARN, IMAGE, NAME, description, sagemaker

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry

JOB_VARIABLES = ("TRAINING_JOB_NAME", "TRAINING_JOB_ARN", "SM_TRAINING_ENV", "SM_HPS")


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Inside a job whose container has no toolkit and no configuration."""
    for variable in JOB_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TRAINING_JOB_NAME", NAME)
    monkeypatch.setenv("SM_INPUT_CONFIG_DIR", str(tmp_path))
    return monkeypatch


def pushed(registry: Registry, **options: Any) -> dict[str, Any]:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry, **options)
    return dict(registry.version(version.pin).details)


def test_a_push_outside_of_a_job_records_no_job(registry: Registry) -> None:
    assert "training" not in pushed(registry)


def test_the_job_is_not_part_of_the_bundle(registry: Registry, job: pytest.MonkeyPatch) -> None:
    first = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    job.setenv("TRAINING_JOB_NAME", "another")
    again = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    assert (again.pin, again.is_new) == (first.pin, False)


def test_name_and_hyperparameters_come_from_the_toolkits_variables(
    registry: Registry, job: pytest.MonkeyPatch
) -> None:
    job.setenv("SM_HPS", '{"max_depth": 5, "criterion": "gini", "layers": [8, 4]}')
    job.setenv("SM_CURRENT_INSTANCE_TYPE", "ml.m5.large")
    assert pushed(registry)["training"] == {
        "job": NAME,
        "instance_type": "ml.m5.large",
        "hyperparameters": {"max_depth": "5", "criterion": "gini", "layers": "[8, 4]"},
    }


def test_a_container_without_the_toolkit_has_sagemakers_own_file(
    registry: Registry, job: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert job
    text = '{"max_depth": "5", "sagemaker_program": "\\"train.py\\""}'
    (tmp_path / "hyperparameters.json").write_text(text)
    expected = {"max_depth": "5", "sagemaker_program": "train.py"}
    assert pushed(registry)["training"]["hyperparameters"] == expected


def test_the_toolkits_document_names_the_job_too(
    registry: Registry, job: pytest.MonkeyPatch
) -> None:
    job.delenv("TRAINING_JOB_NAME")
    job.setenv("SM_TRAINING_ENV", json.dumps({"job_name": "from-the-toolkit"}))
    assert pushed(registry)["training"]["job"] == "from-the-toolkit"


def test_image_inputs_and_final_metrics_are_those_that_sagemaker_describes(
    registry: Registry, job: pytest.MonkeyPatch, aws_environment: dict[str, str]
) -> None:
    assert aws_environment
    job.setenv("TRAINING_JOB_ARN", ARN)
    with sagemaker(description()) as url:
        job.setenv("AWS_ENDPOINT_URL_SAGEMAKER", url)
        record = pushed(registry, metadata={"accuracy": 0.5, "note": "first"})
    assert record["training"]["image"] == IMAGE
    assert record["training"]["arn"] == ARN
    assert record["training"]["inputs"] == {"train": "s3://in/train/"}
    assert record["metrics"] == {"validation:auc": 0.93, "accuracy": 0.5}


@pytest.mark.parametrize("status", [400, 500])
def test_a_role_that_may_not_describe_the_job_pushes_without_its_image(
    registry: Registry, job: pytest.MonkeyPatch, aws_environment: dict[str, str], status: int
) -> None:
    assert aws_environment
    job.setenv("TRAINING_JOB_ARN", ARN)
    with sagemaker({"__type": "AccessDeniedException"}, status) as url:
        job.setenv("AWS_ENDPOINT_URL_SAGEMAKER", url)
        assert pushed(registry)["training"] == {"job": NAME, "arn": ARN}


@pytest.mark.parametrize("variable", ["SM_HPS", "SM_TRAINING_ENV"])
@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"' + "[" * 5000, "[" * 100_000])
def test_variables_that_are_not_what_sagemaker_writes_stop_no_push(
    registry: Registry, job: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    job.setenv(variable, text)
    assert pushed(registry)["training"] == {"job": NAME}


def test_hyperparameters_beyond_the_limit_are_counted(
    registry: Registry, job: pytest.MonkeyPatch
) -> None:
    values = {f"parameter_{i:03}": "x" * 2_500 for i in range(100)}
    job.setenv("SM_HPS", json.dumps(values))
    training = pushed(registry)["training"]
    kept = training["hyperparameters"]
    assert kept["parameter_000"] == "x" * 256 + "..."
    assert len(kept) + training["hyperparameters_omitted"] == 100
    assert len(kept) > 50


@given(
    st.builds(
        TrainingJob,
        name=st.text(max_size=5_000),
        image=st.text(max_size=5_000),
        hyperparameters=st.dictionaries(st.text(max_size=600), st.text(max_size=3_000)),
        inputs=st.dictionaries(st.text(max_size=600), st.text(max_size=3_000)),
    )
)
def test_the_record_of_any_job_leaves_room_for_metrics(job: TrainingJob) -> None:
    assert len(json.dumps(job.to_record()).encode()) < RECORD_BYTES - 2 * 17 * 1024
