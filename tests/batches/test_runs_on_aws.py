"""Runs on AWS: which execution is begun, and what is said of it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import shearling as sdk
from shearling.errors import (
    BatchFailedError,
    InvalidRefError,
    InvalidRequestError,
    ModelNotFoundError,
    StoreError,
)
from shearling.storage.s3_bucket import S3Bucket
from tests.support.bundles import ROWS, scaling_bundle
from tests.support.fake_step_functions import FUNCTION, MACHINE, FakeStepFunctions
from tests.support.releases import deploy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shearling.batches.run import BatchRun
    from shearling.scoring.blocks import Scorer

ALIAS = "arn:aws:lambda:eu-west-1:000000000000:function:acme-fraud:prod"


class Aws:
    """A registry with a deployed model, a bucket with three objects, and the state machine."""

    def __init__(self, uri: str, bucket: str) -> None:
        self.registry = sdk.Registry(uri)
        self.machine = FakeStepFunctions(self.registry, self._scorer)
        self.objects = S3Bucket(bucket)
        self.root = f"s3://{bucket}/{uuid.uuid4().hex}"
        for i in range(3):
            self.put(f"in/{i}.csv", ROWS + i)

    def put(self, name: str, rows: Any) -> None:
        lines = [",".join(map(str, row)) for row in rows]
        key = f"{self.root.split('/', 3)[3]}/{name}"
        state = self.objects.state(key)
        data = "\n".join(["X1,X2", *lines]).encode()
        self.objects.put(key, data, replaces=state.etag if state else None)

    def batch(
        self, target: str = "acme-fraud:prod", inputs: str = "in/*.csv", **more: Any
    ) -> BatchRun:
        options = {"registry": self.registry, "client_of": self.client_of, **more}
        return sdk.batch(target, f"{self.root}/{inputs}", f"{self.root}/out/", **options)

    def run(self, text: str) -> BatchRun:
        return sdk.batch_run(text, registry=self.registry, client_of=self.client_of)

    def client_of(self, region: str) -> FakeStepFunctions:
        assert region == "eu-west-1"
        return self.machine

    def _scorer(self, pin: str) -> Scorer:
        return sdk.load_model(pin, registry=self.registry).scorer()


@pytest.fixture
def aws(s3_uri: str, bucket: str, cache: Path, tmp_path: Path) -> Aws:
    del cache
    scaling_bundle(tmp_path).publish(s3_uri)
    registry = sdk.Registry(s3_uri)
    registry.set_alias("fraud", "prod", 1)
    deploy(registry, batch=MACHINE)
    deploy(registry, "acme-other", model="other", aliases=["prod"])
    return Aws(s3_uri, bucket)


@pytest.mark.parametrize("target", ["acme-fraud:prod", ALIAS, "fraud:prod"])
def test_a_run_is_done_by_the_state_machine_of_the_function(aws: Aws, target: str) -> None:
    run = aws.batch(target, max_concurrency=7, tolerate=5)

    result = run.wait()

    assert (result.parts, result.rows, result.function) == (3, 9, FUNCTION)
    assert result.gb_seconds == pytest.approx(result.scoring_seconds, abs=0.01)
    status = run.status()
    assert (status.state, status.scored, status.output) == ("succeeded", 3, f"{aws.root}/out/")


def test_a_run_is_found_from_another_process_by_id_and_by_output(aws: Aws) -> None:
    run = aws.batch()

    for text in (run.id, run.output):
        found = aws.run(text)
        assert (found.id, found.output, found.wait().rows) == (run.id, run.output, 9)


def test_a_run_that_failed_is_begun_again_with_its_plan(aws: Aws, tmp_path: Path) -> None:
    aws.put("in/1.csv", [["x", 2]])
    run = aws.batch()
    with pytest.raises(BatchFailedError, match=r"1 of 3 parts have failed, 2 have results\n.*in/1"):
        run.wait()
    scaling_bundle(tmp_path, factor=3).publish(aws.registry)
    aws.registry.set_alias("fraud", "prod", 2)

    with pytest.raises(BatchFailedError):
        aws.run(run.id).redrive(wait=True)
    with pytest.raises(BatchFailedError):
        run.redrive(wait=True)

    names = [
        each["name"] for each in aws.machine.list_executions(stateMachineArn=MACHINE)["executions"]
    ]
    assert names == [f"{run.id}_3", f"{run.id}_2"]
    assert run.status().model == str(aws.registry.resolve("fraud:1"))
    (failure,) = run.failures()
    assert (failure.source, failure.row) == (f"{aws.root}/in/1.csv", 2)


def test_a_run_is_stopped_and_goes_on(aws: Aws) -> None:
    aws.machine.is_held = True
    run = aws.batch()
    assert run.status().state == "running"
    with pytest.raises(BatchFailedError, match="is not over yet"):
        run.redrive()

    run.stop()

    with pytest.raises(BatchFailedError, match="is stopped"):
        run.wait()
    aws.machine.is_held = False
    assert run.redrive(wait=True).status().state == "succeeded"
    run.stop()  # nothing is left to stop
    assert run.status().state == "succeeded"


def test_a_plan_that_is_refused_is_the_reason(aws: Aws) -> None:
    run = aws.batch(inputs="in/*.parquet")

    with pytest.raises(BatchFailedError, match=r"has failed: inputs: .* names no objects"):
        run.wait()
    assert run.failures() == []


def test_a_denied_request_names_the_policy(aws: Aws) -> None:
    aws.machine.denied = "AccessDeniedException"

    with pytest.raises(StoreError, match="access denied: the policy in Terraform's output"):
        aws.batch()


def test_a_machine_that_is_gone_is_named(aws: Aws) -> None:
    aws.machine.denied = "StateMachineDoesNotExist"

    with pytest.raises(StoreError, match="acme_batch: the state machine does not exist: apply"):
        aws.batch()


@pytest.mark.parametrize(
    ("call", "kind", "problem"),
    [
        (
            lambda aws: aws.batch("acme-other:prod"),
            ModelNotFoundError,
            "acme-other has no state machine",
        ),
        (
            lambda aws: aws.batch("acme-fraud:beta"),
            ModelNotFoundError,
            "its aliases are prod, staging",
        ),
        (
            lambda aws: aws.batch("acme-spam:prod"),
            ModelNotFoundError,
            "functions: acme-fraud, acme-oth",
        ),
        (lambda aws: aws.batch("acme-fraud"), InvalidRefError, "expected <function>:<alias>"),
        (lambda aws: aws.batch(allow_pickle=True), InvalidRequestError, "for runs on this machine"),
        (
            lambda aws: aws.batch(max_concurrency=0),
            InvalidRequestError,
            "max_concurrency: 0 is not",
        ),
        (
            lambda aws: aws.run("fraud-1"),
            ModelNotFoundError,
            "no state machine of .* has such a run",
        ),
        (
            lambda aws: aws.run(f"{aws.root}/in/"),
            ModelNotFoundError,
            "is not the output of a batch",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    aws: Aws, call: Callable[[Aws], BatchRun], kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        call(aws)


def test_a_model_that_several_functions_serve_has_to_be_named_by_one(aws: Aws) -> None:
    deploy(aws.registry, "acme-fraud-2", batch=MACHINE)

    with pytest.raises(InvalidRefError, match="acme-fraud in eu-west-1, acme-fraud-2 in eu-west-1"):
        aws.batch("fraud:prod")


def test_places_of_this_machine_and_of_s3_are_not_mixed(aws: Aws) -> None:
    with pytest.raises(InvalidRequestError, match="use S3 for all, or this machine for all"):
        sdk.batch("fraud:prod", "in/*.csv", f"{aws.root}/out", registry=aws.registry)


def test_files_of_this_machine_are_scored_here_with_a_registry_in_s3(
    aws: Aws, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", ROWS)

    run = sdk.batch("fraud:prod", tmp_path / "*.npy", tmp_path / "out", registry=aws.registry)

    assert run.wait().rows == 3
    assert np.array_equal(np.load(tmp_path / "out/a.npy"), ROWS * 2)
