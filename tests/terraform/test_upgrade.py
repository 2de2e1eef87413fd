"""What an apply of this version changes on stacks that earlier versions applied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.embedded_aws import REGION
from tests.support.emulated_stack import write_root
from tests.support.plans import planned_functions
from tests.support.recorded_stack import STATES, RecordedStack, resources, types
from tests.support.terraform_cli import REPOSITORY, working_copy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

pytestmark = pytest.mark.slow

#: The configuration of `0.1-acme.json` in this version.
ACME = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "%(region)s"
}

variable "packages" { type = any }
variable "names" { type = list(string) }

resource "aws_vpc" "models" {
  cidr_block = "10.20.0.0/16"
}

resource "aws_subnet" "models" {
  count = 2

  vpc_id            = aws_vpc.models.id
  cidr_block        = cidrsubnet(aws_vpc.models.cidr_block, 8, count.index)
  availability_zone = ["%(region)sa", "%(region)sb"][count.index]
}

locals {
  key         = "arn:aws:kms:%(region)s:000000000000:key"
  certificate = "arn:aws:acm:%(region)s:000000000000:certificate/1"
}

module "inference" {
  source = "./terraform"

  name     = "acme"
  packages = var.packages

  models = {
    fraud = {
      aliases       = { prod = { provisioned_concurrency = 1 }, staging = {} }
      default_alias = "prod"
    }
    embed = { file_system = {}, aliases = { prod = {} } }
  }

  vpc = {
    vpc_id  = aws_vpc.models.id
    subnets = { for index, id in sort(aws_subnet.models[*].id) : var.names[index] => id }
  }

  registry = {
    kms_key_arn           = "${local.key}/11111111-2222-3333-4444-555555555555"
    previous_kms_key_arns = ["${local.key}/66666666-2222-3333-4444-555555555555"]
  }

  api = { domain = { name = "http.example.com", certificate_arn = local.certificate } }
  rest_api = {
    domain      = { name = "rest.example.com", certificate_arn = local.certificate }
    usage_plans = { gold = { requests_per_second = 5, burst = 5, api_keys = ["checkout"] } }
  }

  reconcile_interval_minutes = 7
}
"""

MOVED = """
moved {
  from = module.inference.module.file_system[0].aws_efs_mount_target.models["%s"]
  to   = module.inference.module.file_system[0].aws_efs_mount_target.models["%s"]
}
"""

#: What an apply replaces: packages are named by their content, and a new package is released.
REPLACED = {"aws_s3_object", "aws_lambda_invocation"}


def acme(aws: EmbeddedAws, directory: Path, names: list[str], moved: str = "") -> dict[str, Any]:
    write_root(directory, ACME % {"region": REGION} + moved)
    return RecordedStack(aws, directory, "0.1-acme").plan(names=names)


@pytest.fixture(scope="module")
def upgrade(embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The plan of a stack with everything, whose subnets are numbered as their targets were."""
    return acme(embedded_aws, tmp_path_factory.mktemp("acme"), ["0", "1"])


def test_an_upgrade_replaces_packages_and_releases_and_nothing_else(
    upgrade: dict[str, Any],
) -> None:
    assert types(upgrade, "delete") == REPLACED
    assert types(upgrade, "create") == {
        *REPLACED,
        "aws_cloudwatch_metric_alarm",
        "terraform_data",
    }


def test_an_upgrade_changes_code_handlers_policies_metrics_and_descriptions_in_place(
    upgrade: dict[str, Any],
) -> None:
    changed: dict[str, set[str]] = {}
    for resource in upgrade["resource_changes"]:
        if resource["change"]["actions"] == ["update"]:
            before, after = resource["change"]["before"], resource["change"]["after"]
            names = {name for name, value in after.items() if before.get(name) != value}
            changed.setdefault(resource["type"], set()).update(names)
    assert changed == {
        "aws_api_gateway_method_settings": {"settings"},
        "aws_apigatewayv2_integration": {"description"},
        "aws_apigatewayv2_stage": {"default_route_settings"},
        "aws_cloudwatch_event_rule": {"description", "event_pattern"},
        "aws_cloudwatch_event_target": {"dead_letter_config"},
        "aws_cloudwatch_metric_alarm": {"alarm_description"},
        "aws_efs_file_system_policy": {"policy"},
        "aws_s3_bucket_policy": {"policy"},
        "aws_iam_role_policy": {"policy"},
        "aws_lambda_function": {"environment", "handler", "s3_key", "source_code_hash"},
    }


def test_mount_targets_are_kept_under_names_by_moved_blocks(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    moved = MOVED % ("0", "left") + MOVED % ("1", "right")
    plan = acme(embedded_aws, tmp_path, ["left", "right"], moved)
    assert types(plan, "delete") == REPLACED


def test_mount_targets_under_other_names_would_be_replaced_without_moved_blocks(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    plan = acme(embedded_aws, tmp_path, ["left", "right"])
    assert types(plan, "delete") == {*REPLACED, "aws_efs_mount_target"}


def test_the_large_model_example_keeps_its_network_and_its_file_system(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    directory = working_copy(REPOSITORY / "examples" / "large-model", tmp_path)
    state = json.loads((STATES / "0.1-large-model.json").read_text())
    subnets = {id_: "ab"[index] for index, id_ in attribute(state, "aws_subnet", "id").items()}
    targets = attribute(state, "aws_efs_mount_target", "subnet_id")
    moved = [MOVED % (number, subnets[subnet]) for number, subnet in targets.items()]
    (directory / "upgrade.tf").write_text("".join(moved))
    plan = RecordedStack(embedded_aws, directory, "0.1-large-model").plan(name="large")
    assert types(plan, "delete") == REPLACED
    updated = resources(plan, "update")
    assert not [address for address in updated if not address.startswith("module.inference.")]


@pytest.mark.parametrize(("example", "name"), [("quickstart", "quick"), ("large-model", "large")])
def test_an_upgrade_from_0_2_replaces_nothing(
    embedded_aws: EmbeddedAws, tmp_path: Path, example: str, name: str
) -> None:
    directory = working_copy(REPOSITORY / "examples" / example, tmp_path)
    plan = RecordedStack(embedded_aws, directory, f"0.2-{example}").plan(name=name)
    assert types(plan, "delete") == set()
    assert types(plan, "create") == {"aws_cloudwatch_metric_alarm", "terraform_data"}


def attribute(state: dict[str, Any], kind: str, name: str) -> dict[int, str]:
    """An attribute of each instance of a resource, by its index."""
    return {
        instance["index_key"]: instance["attributes"][name]
        for resource in state["resources"]
        if resource["type"] == kind
        for instance in resource["instances"]
    }


def test_each_function_runs_its_own_handler_in_the_package_of_its_kind(
    upgrade: dict[str, Any],
) -> None:
    functions = planned_functions(upgrade)
    assert {name: function["handler"] for name, function in functions.items()} == {
        "acme-fraud": "shearling_runtime.handler.handler",
        "acme-embed": "shearling_runtime.handler.handler",
        "acme_releaser": "shearling_runtime.control.releaser.handler",
        "acme_stager": "shearling_runtime.control.stager.handler",
        "acme_index": "shearling_runtime.control.catalog.handler",
    }
    packages = {name: function["s3_key"] for name, function in functions.items()}
    assert packages["acme-fraud"] == packages["acme-embed"]
    assert len({packages[name] for name in packages if "_" in name}) == 1
    assert packages["acme-fraud"] != packages["acme_releaser"]


def test_each_function_has_the_memory_and_the_time_that_its_work_needs(
    upgrade: dict[str, Any],
) -> None:
    sizes = {
        name: (function["memory_size"], function["timeout"], function["publish"])
        for name, function in planned_functions(upgrade).items()
    }
    assert sizes == {
        "acme-fraud": (1024, 30, True),
        "acme-embed": (1024, 30, True),
        "acme_releaser": (512, 900, False),
        "acme_stager": (2048, 900, False),
        "acme_index": (512, 15, False),
    }


def test_only_functions_with_a_file_system_mount_it_and_run_in_the_vpc(
    upgrade: dict[str, Any],
) -> None:
    mounts = {
        name: [mount["local_mount_path"] for mount in function["file_system_config"]]
        for name, function in planned_functions(upgrade).items()
        if function["vpc_config"]
    }
    assert mounts == {"acme-embed": ["/mnt/models"], "acme_stager": ["/mnt/models"]}
