"""The planner's two steps, over files of this machine and a function that does not exist."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from shearling.batches.run_document import RunDocument
from shearling.errors import InvalidRequestError, ReleaseError
from shearling.registry.registry import REGISTRY_VARIABLE
from shearling.registry.run_log import RunLog
from shearling_runtime.control import planner
from tests.support.releases import Stage, deploy, pin

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = "arn:aws:states:eu-west-1:000000000000:stateMachine:acme_batch"


@dataclass
class Context:
    aws_request_id: str = "r-1"
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:000000000000:function:acme_planner"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@dataclass
class Runs:
    """A run of two files by a stack whose function serves version 1."""

    stage: Stage
    directory: Path

    @property
    def document(self) -> dict[str, Any]:
        return RunDocument(
            run="run-1",
            model="fraud",
            alias="prod",
            inputs=(f"{self.directory}/in/",),
            output=f"{self.directory}/out/",
            max_concurrency=200,
        ).document()

    def plan(self, execution: str = "run-1", **changes: Any) -> dict[str, Any]:
        event = {
            "shearling": "plan",
            "run": {**self.document, **changes},
            "execution": execution,
            "began": self.stage.fake.time.clock.date().isoformat(),
        }
        return planner.handler(event, Context())

    def finish(self, plan: dict[str, Any], **state: Any) -> dict[str, Any]:
        event = {"shearling": "finish", "run": self.document, "state": {"plan": plan, **state}}
        return planner.handler(event, Context())

    @property
    def versions(self) -> list[str]:
        """The Lambda versions that runs need."""
        log = RunLog(self.stage.registry.store, self.stage.deployment)
        now = self.stage.fake.time.clock.date()
        return [run.lambda_version for run in log.unfinished(now)]

    def release(self, version: int) -> str:
        self.stage.name(version)
        assert self.stage.release().outcome == "released"
        return str(self.stage.fake.aliases["prod"]["FunctionVersion"])


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    stage = Stage()
    stage.deployment = deploy(stage.registry, batch=MACHINE)
    for name in ("a", "b"):
        path = tmp_path / "in" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("1,2\n")
    monkeypatch.setenv(REGISTRY_VARIABLE, stage.registry.store.uri)
    monkeypatch.setenv(planner.RELEASER_VARIABLE, "acme_releaser")
    monkeypatch.setenv(planner.CONCURRENCY_VARIABLE, "100")
    monkeypatch.setattr(planner, "_registry", lambda _: stage.registry)
    monkeypatch.setattr(planner, "_client", lambda _: stage.fake.client)
    monkeypatch.setattr(planner, "_CLOCK", stage.fake.time.clock)
    return Runs(stage, tmp_path)


def test_a_plan_says_what_the_state_machine_needs(runs: Runs) -> None:
    number = runs.release(1)
    planned = runs.plan()
    place = f"{runs.directory}/out/_run/".removeprefix("/")
    function = f"arn:aws:lambda:eu-west-1:000000000000:function:acme-fraud:{number}"
    assert (planned["bucket"], planned["folder"], planned["parts"]) == ("/", place, 2)
    assert (planned["function_arn"], planned["max_concurrency"]) == (function, 100)
    assert planned["tolerated_failure_percentage"] == 0
    found = json.loads((runs.directory / "out/_run/run.json").read_text())
    assert (found["pin"], found["function"], found["memory_mb"]) == (pin(1), function, 512)


def test_a_run_needs_its_version_from_the_plan_to_the_end(runs: Runs) -> None:
    number = runs.release(1)
    planned = runs.plan()
    assert runs.versions == [number]
    runs.finish(planned)
    assert runs.versions == []


def test_a_plan_again_keeps_the_version_after_a_promotion(runs: Runs) -> None:
    number = runs.release(1)
    runs.plan()
    assert runs.release(2) != number
    assert runs.plan("run-1-redrive-2")["function_arn"].endswith(f":{number}")


def test_a_run_by_version_needs_no_alias(runs: Runs) -> None:
    number = runs.release(1)
    runs.release(2)
    changes: dict[str, Any] = {"alias": "", "version": 1}
    assert runs.plan(**changes)["function_arn"].endswith(f":{number}")


def test_a_run_leaves_a_tenth_of_the_concurrency_to_others(runs: Runs) -> None:
    runs.release(1)
    runs.stage.fake.reserved_concurrency = 20
    assert runs.plan()["max_concurrency"] == 18


def test_an_end_says_why_a_run_failed(runs: Runs) -> None:
    runs.release(1)
    failure = {"Error": "States.ExceedToleratedFailureThreshold", "Cause": "too many"}
    ended = runs.finish(runs.plan(), failure=failure)
    assert ended["status"] == "failed"
    assert ended["reason"].startswith("2 of 2 parts have no result. The first is of ")
    assert ended["reason"].endswith("ended with States.ExceedToleratedFailureThreshold: too many")


@pytest.mark.parametrize("changes", [{"batch": ""}, {"releaser": "other_releaser"}])
def test_a_model_of_no_run_of_this_stack_is_refused(runs: Runs, changes: dict[str, str]) -> None:
    deploy(runs.stage.registry, **{"batch": MACHINE, **changes})
    with pytest.raises(ReleaseError, match=r"not fraud\. Add it to Terraform's batch\.models"):
        runs.plan()


def test_a_malformed_run_is_refused_by_field(runs: Runs) -> None:
    with pytest.raises(InvalidRequestError, match="tolerated_failure_percentage: 101"):
        runs.plan(tolerated_failure_percentage=101)
    with pytest.raises(InvalidRequestError, match='expected "plan" or "finish"'):
        planner.handler({"shearling": "score"}, Context())
