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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import shearling as sdk
from examples.batch.train_and_push import customers, fit
from shearling.batches.run_document import RunDocument
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

    from tests.embedded_aws import EmbeddedAws

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aws_environment", "registry_variable")]

#: Seconds for a run of 200 parts.
_WAIT_SECONDS = 240.0

#: Small files, one of which is a part, and the parts of the large one.
FILES, PARTS = 194, 6


@dataclass
class BatchStack:
    """The stack of examples/batch on the embedded AWS, and the objects to score."""

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
        self.machine = self.outputs["state_machine_arn"]
        self.s3 = self.aws.client("s3")
        self.states = self.aws.client("stepfunctions")
        self.faults = self.aws.directory / "lambda-faults.json"

    def put_files(self) -> None:
        """Put many small files, and a large one that is cut into parts."""
        for number in range(FILES):
            self.put(f"in/2026-{number % 12 + 1:02d}/{number:03d}.csv", customers(20, number))
        self.put("in/2026-12/large.jsonl", customers(150_000, 1000))

    def put(self, key: str, table: pd.DataFrame) -> None:
        text = (
            table.to_json(orient="records", lines=True)
            if key.endswith("jsonl")
            else table.to_csv(index=False)
        )
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())
        self.tables[key.removeprefix("in/")] = table

    def run(self, run: str, output: str, **changes: Any) -> RunDocument:
        document = RunDocument(
            run=run,
            model="score",
            alias="prod",
            inputs=(f"s3://{self.bucket}/in/",),
            output=f"s3://{self.bucket}/out/{output}/",
            output_format="csv",
            part_bytes=2**20,
        )
        return replace(document, **changes)

    def start(self, run: RunDocument, execution: str | None = None) -> str:
        started = self.states.start_execution(
            stateMachineArn=self.machine,
            name=execution or run.run,
            input=json.dumps(run.document()),
        )
        arn: str = started["executionArn"]
        return arn

    def end_of(self, execution: str) -> dict[str, Any]:
        ends = time.monotonic() + _WAIT_SECONDS
        while (found := self.states.describe_execution(executionArn=execution))[
            "status"
        ] == "RUNNING":
            assert time.monotonic() < ends, "never ended"
            time.sleep(0.2)
        answer: dict[str, Any] = found
        return answer

    def counts(self, execution: str) -> dict[str, int]:
        """Return how many parts of the execution's map have each state."""
        runs = self.states.list_map_runs(executionArn=execution)["mapRuns"]
        if not runs:
            return {"succeeded": 0, "failed": 0}
        found: dict[str, int] = self.states.describe_map_run(mapRunArn=runs[0]["mapRunArn"])[
            "itemCounts"
        ]
        return found

    def read(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def document(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(key))
        return found

    def objects(self, prefix: str) -> dict[str, str]:
        """Return the ETag of each object below a prefix, by key without it."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {
            item["Key"].removeprefix(prefix): item["ETag"]
            for page in pages
            for item in page.get("Contents", [])
        }

    def throttle(self, *faults: dict[str, Any]) -> None:
        self.faults.write_text(json.dumps(faults))

    def scores(self, prefix: str) -> pd.DataFrame:
        """Return the answers of all parts, in the order of the sources and of their rows."""
        names = sorted(key for key in self.objects(prefix) if key.endswith(".csv"))
        found = [pd.read_csv(io.BytesIO(self.read(prefix + name))) for name in names]
        return pd.concat(found, ignore_index=True)

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


def manifests(stack: BatchStack, prefix: str) -> dict[str, str]:
    """Return the ETag of each part's manifest, which changes if the part is scored again."""
    found = stack.objects(prefix)
    return {
        key: tag for key, tag in found.items() if key.endswith(".manifest.json") and key[0] != "_"
    }


def run_log() -> RunLog:
    """Return the log of the function's runs, by which the releaser keeps versions."""
    [deployment] = sdk.Registry().release_log.deployments("score")
    return RunLog(sdk.Registry().store, deployment)


def test_throttled_parts_are_scored_and_those_that_crash_are_listed(stack: BatchStack) -> None:
    push()
    stack.put_files()
    stack.throttle(
        {"key": "in/*5.csv", "error": "Lambda.TooManyRequestsException", "times": 3},
        {"key": "in/2026-03/0*", "error": "Lambda.Unknown", "times": 99},
    )
    run = stack.run("first", "first", tolerated_failure_percentage=0.4)
    execution = stack.start(run)
    ended = stack.end_of(execution)

    assert ended["status"] == "FAILED"
    crashed = sum(key.startswith("2026-03/0") for key in stack.tables)
    assert f"{crashed} of {FILES + PARTS} parts have no result" in ended["cause"]
    assert stack.counts(execution)["succeeded"] == FILES + PARTS - crashed
    summary = stack.document("out/first/_manifest.json")
    assert (summary["status"], summary["failed"]) == ("failed", crashed)
    assert "Lambda.Unknown" in summary["failures"][0]["message"]
    assert "out/first/_SUCCESS" not in stack.objects("out/first/")


def test_a_run_again_scores_what_is_missing_and_nothing_else(stack: BatchStack) -> None:
    stack.faults.unlink()
    before = manifests(stack, "out/first/")
    run = stack.run("first", "first", tolerated_failure_percentage=0.4)
    ended = stack.end_of(stack.start(run, "first-2"))

    assert ended["status"] == "SUCCEEDED", ended
    after = manifests(stack, "out/first/")
    assert len(after) == FILES + PARTS
    assert {key: after[key] for key in before} == before
    assert "_SUCCESS" in stack.objects("out/first/")


def test_the_parts_are_what_one_call_answers(stack: BatchStack) -> None:
    found = stack.scores("out/first/").filter(like="probabilities")
    np.testing.assert_allclose(found, stack.expected(fit()), rtol=1e-4, atol=1e-5)
    rows = sum(map(len, stack.tables.values()))
    summary = stack.document("out/first/_manifest.json")
    assert (summary["parts"], summary["failed"], summary["rows"]) == (FILES + PARTS, 0, rows)


def test_a_stopped_run_ends_with_the_version_that_it_began_with(stack: BatchStack) -> None:
    run = stack.run("second", "second", max_concurrency=2)
    execution = stack.start(run)
    while stack.counts(execution)["succeeded"] < 20:
        time.sleep(0.1)
    push(0.001)  # a promotion meanwhile
    stack.states.stop_execution(executionArn=execution)
    assert stack.end_of(execution)["status"] == "ABORTED"
    [unfinished] = run_log().unfinished(Clock().date())

    # As if weeks had passed.
    functions = stack.aws.client("lambda")
    functions.delete_function(FunctionName="overnight-score", Qualifier=unfinished.lambda_version)
    assert stack.end_of(stack.start(run, "second-2"))["status"] == "SUCCEEDED"
    models = {
        stack.document(f"out/second/{key}")["model"] for key in manifests(stack, "out/second/")
    }
    assert models == {str(unfinished.pin)}
    assert unfinished.pin.version == 1
    found = stack.scores("out/second/").filter(like="probabilities")
    np.testing.assert_allclose(found, stack.expected(fit()), rtol=1e-4, atol=1e-5)
    served = functions.get_alias(FunctionName="overnight-score", Name="prod")["FunctionVersion"]
    again = {run.lambda_version for run in run_log().unfinished(Clock().date())}
    assert served not in again
    functions.close()


def test_the_next_run_is_answered_by_the_new_version(stack: BatchStack) -> None:
    run = stack.run("third", "third", inputs=(f"s3://{stack.bucket}/in/2026-01/*.csv",))
    assert stack.end_of(stack.start(run))["status"] == "SUCCEEDED"
    assert stack.document("out/third/_manifest.json")["model"].startswith("score:2@")


def test_a_part_with_an_invalid_row_fails_the_run_and_is_listed(stack: BatchStack) -> None:
    for name, text in {"good": b"amount,age\n1,2\n", "bad": b"amount,age\n1,old\n"}.items():
        stack.s3.put_object(Bucket=stack.bucket, Key=f"in/rows/{name}.csv", Body=text)
    run = stack.run("rows", "rows", inputs=(f"s3://{stack.bucket}/in/rows/",))
    ended = stack.end_of(stack.start(run))
    assert (ended["status"], ended["error"]) == ("FAILED", "RunFailed")
    [failure] = stack.document("out/rows/_manifest.json")["failures"]
    assert (failure["row"], failure["column"], failure["value"]) == (2, "age", "'old'")

    tolerant = replace(run, run="tolerant", output=run.output.replace("rows", "tolerant"))
    tolerant = replace(tolerant, tolerated_failure_percentage=50)
    assert stack.end_of(stack.start(tolerant))["status"] == "SUCCEEDED"
    assert "_SUCCESS" in stack.objects("out/tolerant/")


def test_a_run_that_names_nothing_fails_with_the_reason(stack: BatchStack) -> None:
    run = stack.run("fourth", "fourth", inputs=(f"s3://{stack.bucket}/in/2027/",))
    ended = stack.end_of(stack.start(run))
    assert (ended["status"], ended["error"]) == ("FAILED", "InvalidRequestError")
    assert "inputs" in ended["cause"]


def test_everything_is_destroyed(stack: BatchStack) -> None:
    stack.terraform.destroy()
    assert not stack.states.list_state_machines()["stateMachines"]
