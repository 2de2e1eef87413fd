"""A registry in a bucket that another configuration, or the same one, defines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.emulated_stack import emulated_stack, write_root
from tests.support.iam import allows
from tests.support.plans import planned
from tests.support.registry_keys import HOSTILE, NUMBER, PROMOTED, PUSHED
from tests.support.terraform_cli import REPOSITORY, TerraformError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

pytestmark = pytest.mark.slow

#: The bucket is created by the same apply, and merges the module's policy into its own.
STACK = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "eu-central-1"
}

variable "packages" { type = any }

variable "python" {
  type    = string
  default = "3.13"
}

resource "aws_s3_bucket" "models" {
  bucket = "acme-models"
}

module "inference" {
  source = "./terraform"

  name     = "acme"
  packages = var.packages
  python   = var.python
  models   = { fraud = { aliases = { prod = {} } } }
  registry = { bucket = %s, prefix = "ml", accounts = ["222222222222"] }
}

data "aws_iam_policy_document" "models" {
  source_policy_documents = [module.inference.bucket_policy]
}

resource "aws_s3_bucket_policy" "models" {
  bucket = aws_s3_bucket.models.id
  policy = data.aws_iam_policy_document.models.json
}
"""

OTHER = "arn:aws:iam::222222222222:root"
THEIRS = [
    f"releases/222222222222-eu-central-1-acme-fraud-0a1b2c3d/prod/{NUMBER}.json",
    "deployments/222222222222-eu-central-1-acme-fraud-0a1b2c3d.json",
]


def plan_of(aws: EmbeddedAws, directory: Path, bucket: str, **variables: object) -> dict[str, Any]:
    write_root(directory, STACK % bucket)
    packages = {
        kind: str(REPOSITORY / "terraform" / "tests" / "packages" / f"{kind}.zip")
        for kind in ("runtime", "control")
    }
    return emulated_stack(aws, directory, packages=packages, **variables).plan()


def test_its_policy_lets_another_account_serve_and_nothing_else(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    plan = plan_of(embedded_aws, tmp_path, "aws_s3_bucket.models.bucket")
    [policy] = [each["policy"] for each in planned(plan, "aws_s3_bucket_policy").values()]
    assert {each["Effect"] for each in json.loads(policy)["Statement"]} == {"Allow", "Deny"}

    def may(action: str, key: str, principal: str = OTHER) -> bool:
        context = {
            "aws:securetransport": "true",
            "s3:objectcreationoperation": "true",
            "s3:if-none-match": "*",
        }
        resource = f"arn:aws:s3:::acme-models/ml/{key}"
        return allows(policy, action, resource, context, principal=principal)

    assert all(may("s3:PutObject", key) for key in THEIRS)
    assert [key for key in (*PUSHED, *PROMOTED, *HOSTILE) if may("s3:PutObject", key)] == []
    assert all(may("s3:GetObject", key) for key in (*PUSHED, *PROMOTED, *THEIRS))
    assert may("s3:DeleteObject", THEIRS[1])
    assert [key for key in (*PUSHED, *PROMOTED, *HOSTILE) if may("s3:DeleteObject", key)] == []
    assert not may("s3:GetObject", PUSHED[0], "arn:aws:iam::333333333333:root")


def test_a_name_that_is_unknown_at_plan_is_refused_with_what_to_write(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    with pytest.raises(TerraformError) as refused:
        plan_of(embedded_aws, tmp_path, "aws_s3_bucket.models.id")
    message = str(refused.value)
    assert "write `aws_s3_bucket.NAME.bucket` instead of `.id`" in message
    assert message.count("Error:") == 1


def test_a_python_that_the_provider_does_not_know_is_refused_at_plan(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    """The provider's version 5 knows no Python 3.14, and 6 does."""
    with pytest.raises(TerraformError, match=r"expected runtime to be one of .*got python3\.14"):
        plan_of(embedded_aws, tmp_path, "aws_s3_bucket.models.bucket", python="3.14")
