"""Terraform takes what `shearling plan` prints, as it is printed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shearling.bundle.manifest import Environment
from shearling.models.plan import plan, terraform_models
from shearling.registry.registry import Registry
from tests.embedded_aws import REGION
from tests.support.bundles import scaling_bundle
from tests.support.emulated_stack import emulated_stack, write_root
from tests.support.plans import planned_functions
from tests.support.terraform_cli import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

pytestmark = pytest.mark.slow

ROOT = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "%(region)s"
}

module "inference" {
  source = "./terraform"

  name     = "acme"
  packages = { runtime = "%(packages)s/runtime.zip", control = "%(packages)s/control.zip" }
  vpc      = { vpc_id = "vpc-1", subnets = { a = "subnet-1" } }

  endpoint_image_uri = "000000000000.dkr.ecr.%(region)s.amazonaws.com/acme@sha256:${sha256("")}"

%(models)s
}
"""


def test_terraform_plans_every_kind_of_model_that_a_plan_prints(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    scaling_bundle(tmp_path).publish(registry)
    small = plan("fraud", aliases=["prod", "staging"], registry=registry)
    packages = REPOSITORY / "terraform" / "tests" / "packages"
    plans = [
        replace(small, memory_mb=1792, tmp_mb=2048, timeout_seconds=120),
        replace(small, pin=replace(small.pin, model="2nd"), tmp_mb=None),
        replace(
            small,
            pin=replace(small.pin, model="huge"),
            placement="sagemaker",
            instance_type="ml.m5.2xlarge",
        ),
        replace(
            small,
            pin=replace(small.pin, model="ranker"),
            environment=Environment(python="3.12", requirements=()),
        ),
    ]
    models = terraform_models(plans).replace("build/ranker.zip", f"{packages}/runtime.zip")
    root = tmp_path / "root"
    root.mkdir()
    write_root(root, ROOT % {"region": REGION, "packages": packages, "models": models})
    functions = planned_functions(emulated_stack(embedded_aws, root).plan())
    fraud, ranker = functions["acme-fraud"], functions["acme-ranker"]
    assert (fraud["memory_size"], fraud["timeout"]) == (1792, 120)
    assert fraud["ephemeral_storage"] == [{"size": 2048}]
    assert functions["acme-2nd"]["file_system_config"]
    assert functions["acme-huge"]["memory_size"] == 512
    assert ranker["runtime"] == "python3.12"
    assert ranker["environment"][0]["variables"]["SHEARLING_ALLOW_PICKLE"] == "true"
