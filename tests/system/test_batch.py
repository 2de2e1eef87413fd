"""examples/batch, applied once: runs of 200 parts, from the first to the destroy.

The emulator enforces neither the rights of the state machine's role nor what Step Functions may
invoke: the tests of the modules assert the policies. It runs the definition that AWS runs; Lambda's
faults are those that a test asks for. The tests run in order.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import shearling as sdk
from examples.batch.train_and_push import customers, fit
from shearling.cli import main as shearling
from shearling.refs import Pin
from shearling.registry.run_log import RunLog
from shearling.release.clock import Clock
from tests.support.packages import built_package, function_python
from tests.support.terraform_cli import (
    REPOSITORY,
    TerraformStack,
    working_copy,
    write_emulator_override,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sklearn.linear_model import LogisticRegression

    from shearling.batches.run import BatchRun
    from shearling.registry.run_log import StartedRun
    from tests.embedded_aws import EmbeddedAws

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aws_environment", "registry_variable")]

#: Seconds for a run of 200 parts.
_WAIT_SECONDS = 240.0

#: Small files, each of which is a part, and the parts of the large one.
FILES, PARTS = 194, 6


@dataclass
class BatchStack:
    """The stack of examples/batch on the embedded AWS, and the tables to score, by file."""

    aws: EmbeddedAws
    directory: Path
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        copy = working_copy(REPOSITORY / "examples" / "batch", self.directory)
        write_emulator_override(copy, self.aws.url)
        self.terraform = TerraformStack(
            copy,
            environment=self.aws.process_environment(),
            variables={
                "python": function_python(),
                "max_concurrency": 6,
                "packages": {kind: str(built_package(kind)) for kind in ("runtime", "control")},
            },
        )
        self.terraform.init()
        self.terraform.apply()
        self.outputs = self.terraform.outputs()
        self.bucket = self.outputs["bucket"]
        self.s3 = self.aws.client("s3")
        self.states = self.aws.client("stepfunctions")
        self.functions = self.aws.client("lambda")
        self.faults = self.aws.directory / "lambda-faults.json"

    def put_tables(self) -> None:
        """Put many small files, and a large one that is cut into parts."""
        for number in range(FILES):
            name = f"2026-{number % 12 + 1:02d}/{number:03d}.csv"
            self.tables[name] = customers(20, number)
            self.put(f"in/{name}", self.tables[name].to_csv(index=False))
        large = self.tables["2026-12/large.jsonl"] = customers(150_000, 1000)
        self.put("in/2026-12/large.jsonl", large.to_json(orient="records", lines=True))

    def put(self, key: str, text: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def batch(self, output: str, inputs: str = "in/", **options: Any) -> BatchRun:
        return sdk.batch(
            "overnight-score:prod",
            f"s3://{self.bucket}/{inputs}",
            f"s3://{self.bucket}/out/{output}/",
            output_format="csv",
            part_bytes=2**20,
            **options,
        )

    def fail(self, times: int = 3, **keys: str) -> None:
        """Let Lambda fail parts some times each: by error, a pattern of their sources."""
        faults = [
            {"key": key, "error": f"Lambda.{error}", "times": times} for error, key in keys.items()
        ]
        self.faults.write_text(json.dumps(faults))

    def read(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def objects(self, prefix: str) -> dict[str, str]:
        """Return the ETag of each object below a prefix, by key without it."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {
            item["Key"].removeprefix(prefix): item["ETag"]
            for page in pages
            for item in page.get("Contents", [])
        }

    def manifests(self, output: str) -> dict[str, str]:
        """Return the ETag of each part's manifest, which is another if it is scored again."""
        found = self.objects(f"out/{output}/")
        return {key: tag for key, tag in found.items() if key.endswith(".csv.manifest.json")}

    def scores(self, output: str) -> pd.DataFrame:
        """Return the answers of all parts, in the order of the sources and of their rows."""
        keys = sorted(key for key in self.objects(f"out/{output}/") if key.endswith(".csv"))
        tables = [pd.read_csv(io.BytesIO(self.read(f"out/{output}/{key}"))) for key in keys]
        return pd.concat(tables, ignore_index=True).filter(like="probabilities")

    def expected(self, model: LogisticRegression) -> pd.DataFrame:
        """Return what one `infer` of everything answers."""
        tables = [self.tables[key] for key in sorted(self.tables)]
        return pd.DataFrame(model.predict_proba(pd.concat(tables, ignore_index=True)))


@pytest.fixture(scope="module")
def stack(
    embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BatchStack]:
    directory = tmp_path_factory.mktemp("batch")
    yield BatchStack(embedded_aws, directory)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def registry_variable(stack: BatchStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", stack.outputs["registry_uri"])


def push(regularisation: float = 1.0) -> LogisticRegression:
    model = fit(regularisation)
    sdk.push_model(model, "score", example=customers(5), alias="prod", wait=True)
    return model


def unfinished_runs() -> list[StartedRun]:
    """Return the runs whose Lambda versions the releaser keeps."""
    [deployment] = sdk.Registry().release_log.deployments("score")
    return [*RunLog(sdk.Registry().store, deployment).unfinished(Clock().date())]


def test_throttled_parts_are_scored_and_those_that_crash_are_listed(stack: BatchStack) -> None:
    push()
    stack.put_tables()
    stack.fail(TooManyRequestsException="in/*5.csv", Unknown="in/2026-03/0*")
    crashed = {key for key in stack.tables if key.startswith("2026-03/0")}
    run = stack.batch("first", tolerate=100 * (len(crashed) - 1) / (FILES + PARTS))
    with pytest.raises(sdk.BatchFailedError) as raised:
        run.wait(_WAIT_SECONDS)

    prefix = f"s3://{stack.bucket}/in/"
    assert {each.source.removeprefix(prefix) for each in raised.value.failures} == crashed
    assert all("Lambda.Unknown" in each.message for each in raised.value.failures)
    status = run.status()
    assert (status.state, status.failed) == ("failed", len(crashed))
    assert status.scored == FILES + PARTS - len(crashed)
    assert "_SUCCESS" not in stack.objects("out/first/")


def test_a_redrive_scores_what_is_missing_and_nothing_else(stack: BatchStack) -> None:
    stack.faults.unlink()
    before = stack.manifests("first")
    result = sdk.batch_run(f"s3://{stack.bucket}/out/first/").redrive().wait(_WAIT_SECONDS)

    rows = sum(map(len, stack.tables.values()))
    assert (result.parts, result.failed, result.rows) == (FILES + PARTS, 0, rows)
    assert result.gb_seconds
    after = stack.manifests("first")
    assert len(after) == FILES + PARTS
    assert {key: after[key] for key in before} == before
    assert "_SUCCESS" in stack.objects("out/first/")


def test_the_outputs_are_what_one_call_answers(stack: BatchStack) -> None:
    np.testing.assert_allclose(stack.scores("first"), stack.expected(fit()), rtol=1e-4, atol=1e-5)


def test_a_stopped_run_ends_with_the_version_that_it_began_with(stack: BatchStack) -> None:
    stack.fail(times=10**6, TooManyRequestsException="in/2026-1*")  # so that it is not over soon
    run = stack.batch("second", max_concurrency=2)
    while len(stack.manifests("second")) < 20:
        time.sleep(0.1)
    push(0.001)  # a promotion meanwhile
    run.stop()
    stack.faults.unlink()
    assert run.status().state == "stopped"
    [unfinished] = unfinished_runs()

    # As if weeks had passed since.
    stack.functions.delete_function(
        FunctionName="overnight-score", Qualifier=unfinished.lambda_version
    )
    result = run.redrive().wait(_WAIT_SECONDS)
    assert (Pin.parse(result.model), result.failed) == (unfinished.pin, 0)
    assert unfinished.pin.version == 1
    np.testing.assert_allclose(stack.scores("second"), stack.expected(fit()), rtol=1e-4, atol=1e-5)
    alias = stack.functions.get_alias(FunctionName="overnight-score", Name="prod")
    assert not result.function.endswith(f":{alias['FunctionVersion']}")
    assert unfinished_runs() == [unfinished]  # the stopped execution has no end


def test_the_next_run_is_answered_by_the_new_version(
    stack: BatchStack, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [f"s3://{stack.bucket}/{name}" for name in ("in/2026-01/*.csv", "out/third/")]
    assert shearling(["batch", "run", "overnight-score:prod", *places, "--wait", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"].startswith("score:2@")


def test_a_part_with_an_invalid_row_fails_the_run_unless_that_is_tolerated(
    stack: BatchStack,
) -> None:
    stack.put("in/rows/good.csv", "amount,age\n1,2\n")
    stack.put("in/rows/bad.csv", "amount,age\n1,old\n")
    with pytest.raises(sdk.BatchFailedError) as raised:
        stack.batch("rows", "in/rows/").wait(_WAIT_SECONDS)
    [failure] = raised.value.failures
    assert (failure.row, failure.column, failure.value) == (2, "age", "'old'")

    assert stack.batch("tolerant", "in/rows/", tolerate=50).wait(_WAIT_SECONDS).failed == 1
    assert "_SUCCESS" in stack.objects("out/tolerant/")


def test_a_run_that_names_nothing_fails_with_the_reason(stack: BatchStack) -> None:
    with pytest.raises(sdk.BatchFailedError, match=r"inputs: 's3://.*/in/2027/'"):
        stack.batch("nothing", "in/2027/").wait(_WAIT_SECONDS)


def test_everything_is_destroyed(stack: BatchStack) -> None:
    stack.terraform.destroy()
    assert not stack.states.list_state_machines()["stateMachines"]
