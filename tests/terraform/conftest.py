"""A plan of a stack that uses everything, which several test modules look at."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.embedded_aws import REGION
from tests.support.emulated_stack import emulated_stack, write_root
from tests.support.recorded_stack import STATES
from tests.support.terraform_cli import REPOSITORY

if TYPE_CHECKING:
    from tests.embedded_aws import EmbeddedAws

#: `states/0.1-acme.json` as it would be configured today, with every option and a third model.
EVERYTHING = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "%(region)s"
}

resource "aws_vpc" "models" {
  cidr_block = "10.20.0.0/16"
}

resource "aws_subnet" "models" {
  count = 2

  vpc_id            = aws_vpc.models.id
  cidr_block        = cidrsubnet(aws_vpc.models.cidr_block, 8, count.index)
  availability_zone = ["%(region)sa", "%(region)sb"][count.index]
}

resource "aws_iam_role" "ranker" {
  assume_role_policy = "{}"
}

resource "aws_s3_object" "ranker" {
  bucket  = "builds"
  key     = "ranker.zip"
  content = "zip"
}

locals {
  key         = "arn:aws:kms:%(region)s:000000000000:key"
  certificate = "arn:aws:acm:%(region)s:000000000000:certificate/1"
  images      = "000000000000.dkr.ecr.%(region)s.amazonaws.com"

  container_role = "arn:aws:iam::000000000000:role/containers"
}

module "inference" {
  source = "./terraform"

  name     = "acme"
  packages = { runtime = "%(packages)s/runtime.zip", control = "%(packages)s/control.zip" }

  models = {
    fraud = {
      aliases       = { prod = { provisioned_concurrency = 1 }, staging = {} }
      default_alias = "prod"
    }
    embed = { file_system = {}, aliases = { prod = {} } }
    scorer = {
      aliases   = { prod = {} }
      sagemaker = { instance_type = "ml.m5.xlarge", role = { arn = local.container_role } }
    }
    ranker = {
      aliases      = { prod = {} }
      allow_pickle = true
      network      = {}
      role         = { arn = aws_iam_role.ranker.arn }
      package = {
        bucket           = aws_s3_object.ranker.bucket
        key              = aws_s3_object.ranker.key
        source_code_hash = aws_s3_object.ranker.checksum_sha256
      }
    }
  }

  image_repository   = {}
  endpoint_image_uri = "${local.images}/acme@sha256:${sha256("image")}"

  vpc = {
    vpc_id          = aws_vpc.models.id
    subnets         = { for index, id in sort(aws_subnet.models[*].id) : index => id }
    route_table_ids = ["rtb-1"]
  }

  registry = {
    kms_key_arn           = "${local.key}/registry"
    previous_kms_key_arns = ["${local.key}/previous"]
    access_log            = { bucket = "access-logs" }
  }

  api = { domain = { name = "http.example.com", certificate_arn = local.certificate } }
  rest_api = {
    domain           = { name = "rest.example.com", certificate_arn = local.certificate }
    usage_plans      = { gold = { requests_per_second = 5, burst = 5, api_keys = ["checkout"] } }
    detailed_metrics = true
  }

  batch = {
    sources         = ["s3://lake/2026/"]
    outputs         = ["s3://scores/runs/"]
    models          = ["fraud"]
    source_key_arns = ["${local.key}/lake"]
    output_key_arns = ["${local.key}/scores"]
  }

  tags = { team = "ml" }

  kms = {
    logs_key_arn        = "${local.key}/logs"
    environment_key_arn = "${local.key}/environment"
    queue_key_arn       = "${local.key}/queue"
  }

  log_level               = "WARN"
  tracing                 = "Active"
  code_signing_config_arn = "arn:aws:lambda:%(region)s:000000000000:code-signing-config:csc-1"
}

output "policies" {
  value = {
    push    = module.inference.push_policy
    promote = module.inference.promote_policies
    invoke  = module.inference.invoke_policies
    index   = module.inference.index_policy
    release = module.inference.release_policy
    prune   = module.inference.prune_policy
    batch   = module.inference.batch_policy

    containers = module.inference.endpoint_role_policies
    # All policies of a role in one.
    roles = {
      for name, policies in module.inference.role_policies : name => jsonencode({
        Version   = "2012-10-17"
        Statement = flatten([for policy in policies : jsondecode(policy).Statement])
      })
    }
  }
}

output "names" {
  value = {
    roles      = keys(module.inference.role_arns)
    log_groups = module.inference.log_group_names
  }
}
"""


@pytest.fixture(scope="session")
def everything(
    embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The plan of that stack, on its recorded state: what is created first has no ARN yet."""
    directory = tmp_path_factory.mktemp("everything")
    packages = REPOSITORY / "terraform" / "tests" / "packages"
    write_root(directory, EVERYTHING % {"region": REGION, "packages": packages})
    shutil.copy(STATES / "0.1-acme.json", directory / "terraform.tfstate")
    return emulated_stack(embedded_aws, directory).plan(refresh=False)
