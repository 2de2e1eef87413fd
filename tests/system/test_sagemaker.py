"""A model that SageMaker endpoints serve: one stack, from the first endpoint to the destroy.

The endpoints are real containers' servers in a small SageMaker, which tells the emulator's events
what happens to them. The emulator enforces no permission here: the plan's tests show them. The
tests run in order.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import shearling as sdk
from tests.embedded_aws import ACCOUNT, REGION
from tests.support.bundles import scaling_bundle, scaling_graph
from tests.support.deployed_model import DeployedModel
from tests.support.emulated_stack import emulated_stack, write_root
from tests.support.packages import built_package, function_python
from tests.support.small_sagemaker import SmallSageMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws
    from tests.support.terraform_cli import TerraformStack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aws_environment", "registry_variable")]

MAIN = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "%(region)s"
}

variable "sagemaker" {
  type    = any
  default = null
}

module "inference" {
  source = "./terraform"

  name     = "large"
  packages = { runtime = "%(runtime)s", control = "%(control)s" }
  python   = "%(python)s"
  registry = { force_destroy = true }
  api      = {}

  models = {
    fraud = {
      aliases       = { prod = {} }
      default_alias = "prod"
      sagemaker     = var.sagemaker
    }
  }
}

output "stack" {
  value = {
    registry_uri = module.inference.registry_uri
    api_id       = module.inference.api_id
  }
}
"""

SAGEMAKER = {
    "image_uri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/models@sha256:{'0' * 64}",
    "instance_type": "ml.m5.large",
    "instances": {"min": 1, "max": 2},
    "keep_minutes": 0,
}

ROWS = np.array([[1, 2], [3, 4]], np.float32)
FUNCTION = "large-fraud"


@dataclass
class Stack:
    """The stack, and the SageMaker that it uses."""

    aws: EmbeddedAws
    sagemaker: SmallSageMaker
    terraform: TerraformStack
    model: DeployedModel
    registry_uri: str

    def push(self, factor: float) -> int:
        """Push a model that multiplies, and return its version."""
        return sdk.push_model(scaling_graph(factor), "fraud", example=ROWS).version

    def factors(self, calls: int = 1) -> set[float]:
        """Call prod, and return by which numbers the answers were multiplied."""
        answers = [self.model.by_alias("prod", ROWS) for _ in range(calls)]
        return {float(answer.outputs["Y"][0, 0]) for answer in answers}

    def endpoint(self, alias: str) -> str:
        """Return the name of the endpoint that an alias serves from; empty for the function."""
        client = self.aws.client("lambda")
        found = client.get_function_configuration(FunctionName=FUNCTION, Qualifier=alias)
        client.close()
        return str(found["Environment"]["Variables"].get("SHEARLING_STAGED_ENDPOINT", ""))

    def sweep(self) -> None:
        """Let the schedule remove what is unused."""
        client = self.aws.client("lambda")
        for _ in range(4):  # mark it, delete the endpoint, then the rest; one more finds nothing
            answer = client.invoke(FunctionName="large_releaser", Payload=b'{"sweep": true}')
            assert "FunctionError" not in answer, answer["Payload"].read()
            self.sagemaker.wait_until_no_endpoint_changes()
        client.close()


@pytest.fixture(scope="module")
def stack(embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("sagemaker")
    events = embedded_aws.client("events")
    sagemaker = SmallSageMaker(
        directory=directory,
        variables=embedded_aws.environment(),
        region=REGION,
        on_change=lambda detail: events.put_events(
            Entries=[
                {
                    "Source": "aws.sagemaker",
                    "DetailType": "SageMaker Endpoint State Change",
                    "Detail": json.dumps(detail),
                }
            ]
        ),
    )
    values = {
        "region": REGION,
        "python": function_python(),
        "runtime": built_package("runtime"),
        "control": built_package("control"),
    }
    write_root(directory, MAIN % values)
    terraform = emulated_stack(embedded_aws, directory)
    with sagemaker.running(), embedded_aws.function_variables(sagemaker.environment):
        terraform.apply()
        outputs: dict[str, str] = terraform.outputs()["stack"]
        yield Stack(
            embedded_aws,
            sagemaker,
            terraform,
            DeployedModel(embedded_aws, FUNCTION, outputs["api_id"], "fraud"),
            outputs["registry_uri"],
        )
    events.close()


@pytest.fixture
def registry_variable(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", stack.registry_uri)


def shown() -> Any:
    """Return the status of prod."""
    (row,) = sdk.status("fraud")
    return row


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.2)


def test_the_function_serves_a_model_until_its_endpoint_is_in_service(stack: Stack) -> None:
    sdk.set_alias("fraud", "prod", stack.push(2.0), wait=True, timeout_seconds=60)
    stack.sagemaker.may_serve.clear()
    stack.terraform.set_variables(sagemaker=SAGEMAKER)
    stack.terraform.apply()
    assert shown().outcome == "staging"
    (name,) = stack.sagemaker.endpoints
    assert name in shown().reason
    assert (stack.endpoint("prod"), stack.factors()) == ("", {2.0})
    stack.sagemaker.may_serve.set()
    wait_until(lambda: stack.endpoint("prod") == name)
    wait_until(lambda: shown().outcome == "released")
    assert stack.factors() == {2.0}


def test_the_endpoint_answers_by_alias_and_over_http(stack: Stack) -> None:
    for answer in (stack.model.by_alias("prod", ROWS), stack.model.over_http(None, ROWS)):
        assert (answer.status, answer.version) == (200, "1")
        np.testing.assert_array_equal(answer.outputs["Y"], 2 * ROWS)
    refused = stack.model.over_http("prod", ROWS[:, :1])
    assert refused.status == 400
    assert "does not fit [-1, 2] of input 'X'" in refused.document["error"]


def test_a_second_plan_has_nothing_to_change(stack: Stack) -> None:
    assert stack.terraform.changes() == {}


def test_a_canary_is_served_from_an_endpoint_of_its_own(stack: Stack) -> None:
    canary = {"version": stack.push(3.0), "percent": 50}
    sdk.set_alias("fraud", "prod", 1, canary=canary, wait=True, timeout_seconds=60)
    assert len(stack.sagemaker.endpoints) == 2
    assert stack.factors(calls=20) == {2.0, 3.0}


def test_the_endpoint_of_a_version_that_no_alias_names_is_deleted(stack: Stack) -> None:
    sdk.set_alias("fraud", "prod", 2, wait=True, timeout_seconds=60)
    stack.sweep()
    assert stack.sagemaker.names == {stack.endpoint("prod")}
    assert stack.factors() == {3.0}


def test_a_rollback_makes_the_endpoint_again(stack: Stack) -> None:
    sdk.rollback("fraud", "prod", wait=True, timeout_seconds=60)
    assert shown().serves == 1
    assert len(stack.sagemaker.endpoints) == 2
    assert stack.factors() == {2.0}


def test_a_container_that_does_not_start_leaves_the_alias_as_it_is(
    stack: Stack, tmp_path: Path
) -> None:
    version = scaling_bundle(tmp_path, promised=4.0).publish(stack.registry_uri).pin.version
    stack.sagemaker.startup_seconds = 3
    with pytest.raises(sdk.ReleaseError, match="did not pass the ping health check"):
        sdk.set_alias("fraud", "prod", version, wait=True, timeout_seconds=60)
    assert stack.factors() == {2.0}


def test_destroying_the_stack_leaves_no_endpoint(stack: Stack) -> None:
    assert stack.sagemaker.endpoints
    stack.terraform.destroy()
    assert stack.sagemaker.names == set()
    assert stack.sagemaker.targets == {}
