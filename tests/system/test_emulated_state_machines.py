"""The embedded AWS runs a Distributed Map as AWS does, where its own differs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.test_embedded_aws import ROLE, create

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.embedded_aws import EmbeddedAws

MAP = {
    "StartAt": "Parts",
    "States": {
        "Parts": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrencyPath": "$.limits.concurrency",
            "ToleratedFailurePercentagePath": "$.limits.tolerated",
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "Part",
                "States": {
                    "Part": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::lambda:invoke",
                        "Parameters": {"FunctionName": "part", "Payload.$": "$"},
                        "Retry": [
                            {
                                "ErrorEquals": ["Lambda.TooManyRequestsException"],
                                "IntervalSeconds": 1,
                                "MaxAttempts": 2,
                            }
                        ],
                        "End": True,
                    }
                },
            },
            "ResultPath": None,
            "End": True,
        }
    },
}


def parts(*keys: str, concurrency: int = 4, tolerated: float = 0) -> str:
    items = [{"source": {"key": key}} for key in keys]
    limits = {"concurrency": concurrency, "tolerated": tolerated}
    return json.dumps({"items": items, "limits": limits})


def run_of(states: Any, execution: str) -> dict[str, Any]:
    """Return the map run of an execution, once that has ended."""
    while states.describe_execution(executionArn=execution)["status"] == "RUNNING":
        time.sleep(0.05)
    [run] = states.list_map_runs(executionArn=execution)["mapRuns"]
    found: dict[str, Any] = states.describe_map_run(mapRunArn=run["mapRunArn"])
    return found


@pytest.fixture(scope="module")
def states(embedded_aws: EmbeddedAws) -> Iterator[tuple[Any, str]]:
    functions = embedded_aws.client("lambda")
    create(functions, "part")
    states = embedded_aws.client("stepfunctions")
    machine = states.create_state_machine(name="map", definition=json.dumps(MAP), roleArn=ROLE)
    yield states, machine["stateMachineArn"]
    states.delete_state_machine(stateMachineArn=machine["stateMachineArn"])
    functions.delete_function(FunctionName="part")
    for client in (states, functions):
        client.close()


def test_a_map_takes_its_limits_from_paths(states: tuple[Any, str]) -> None:
    client, machine = states
    started = client.start_execution(stateMachineArn=machine, input=parts("a", tolerated=25))
    found = run_of(client, started["executionArn"])
    assert (found["maxConcurrency"], found["toleratedFailurePercentage"]) == (4, 25)


def test_lambda_fails_parts_as_often_as_a_test_asks(
    embedded_aws: EmbeddedAws, states: tuple[Any, str]
) -> None:
    client, machine = states
    throttle = {"key": "slow-*", "error": "Lambda.TooManyRequestsException", "times": 2}
    crash = {"key": "broken-*", "error": "Lambda.Unknown", "times": 100}
    faults = embedded_aws.directory / "lambda-faults.json"
    faults.write_text(json.dumps([throttle, crash]))
    text = parts("slow-1", "slow-2", "broken-1", "fine", tolerated=25)
    started = client.start_execution(stateMachineArn=machine, input=text)
    counts = run_of(client, started["executionArn"])["itemCounts"]
    faults.unlink()
    assert (counts["succeeded"], counts["failed"]) == (3, 1)


def test_no_part_of_a_stopped_execution_begins(states: tuple[Any, str]) -> None:
    client, machine = states
    text = parts(*map(str, range(200)), concurrency=1)
    execution = client.start_execution(stateMachineArn=machine, input=text)["executionArn"]
    while not client.list_map_runs(executionArn=execution)["mapRuns"]:
        time.sleep(0.05)
    client.stop_execution(executionArn=execution)
    [run] = client.list_map_runs(executionArn=execution)["mapRuns"]
    while (found := client.describe_map_run(mapRunArn=run["mapRunArn"]))["status"] == "RUNNING":
        time.sleep(0.05)
    assert found["itemCounts"]["succeeded"] < 100
    assert client.describe_execution(executionArn=execution)["status"] == "ABORTED"
