"""What each right of a plan reaches in the registry, with keys that somebody hostile would try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.embedded_aws import REGION
from tests.support.emulated_stack import emulated_stack, write_root
from tests.support.iam import allows, denies
from tests.support.plans import planned
from tests.support.registry_keys import HEX, HOSTILE, NUMBER, PROMOTED, PUSHED
from tests.support.terraform_cli import REPOSITORY

if TYPE_CHECKING:
    from tests.embedded_aws import EmbeddedAws

pytestmark = pytest.mark.slow

STACK = """
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

  name        = "acme"
  packages    = { runtime = "%(packages)s/runtime.zip", control = "%(packages)s/control.zip" }
  models      = { fraud = { aliases = { prod = {}, staging = {} }, default_alias = "prod" } }
  registry    = { prefix = "ml" }
  push_models = ["churn"]
}

output "push_policy" {
  value = module.inference.push_policy
}

output "promote_policies" {
  value = module.inference.promote_policies
}
"""

BUCKET = f"arn:aws:s3:::acme-000000000000-{REGION}"


@pytest.fixture(scope="module")
def plan(embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("policies")
    packages = REPOSITORY / "terraform" / "tests" / "packages"
    write_root(directory, STACK % {"region": REGION, "packages": packages})
    return emulated_stack(embedded_aws, directory).plan()


def arn(key: str) -> str:
    return f"{BUCKET}/ml/{key}"


def output(plan: dict[str, Any], name: str) -> Any:
    return plan["planned_values"]["outputs"][name]["value"]


def puts(policy: str, keys: list[str]) -> list[str]:
    """The keys that a policy lets somebody write."""
    return [key for key in keys if allows(policy, "s3:PutObject", arn(key))]


def test_who_pushes_writes_bundles_of_the_models_and_nothing_else(plan: dict[str, Any]) -> None:
    policy = output(plan, "push_policy")
    assert puts(policy, PUSHED) == PUSHED
    assert puts(policy, [*PROMOTED, *HOSTILE]) == []


def test_who_promotes_writes_entries_of_that_alias_and_nothing_else(plan: dict[str, Any]) -> None:
    for target, policy in output(plan, "promote_policies").items():
        alias = target.removeprefix("fraud:")
        entries = [key.replace("/prod/", f"/{alias}/") for key in PROMOTED]
        assert puts(policy, entries) == entries
        others = {*PUSHED, *PROMOTED, *HOSTILE} - set(entries)
        assert puts(policy, sorted(others)) == []


@pytest.mark.parametrize(
    "action",
    [
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:PutObjectAcl",
        "s3:PutObjectTagging",
        "s3:PutBucketPolicy",
        "lambda:InvokeFunction",
    ],
)
def test_nobody_who_pushes_or_promotes_may_do_anything_else(
    plan: dict[str, Any], action: str
) -> None:
    for policy in (output(plan, "push_policy"), *output(plan, "promote_policies").values()):
        for resource in (BUCKET, *map(arn, [*PUSHED, *PROMOTED, *HOSTILE])):
            assert not allows(policy, action, resource)


def role_policies(plan: dict[str, Any]) -> dict[str, str]:
    """The policies of roles that are known when it is planned, by their address."""
    policies = planned(plan, "aws_iam_role_policy")
    return {address: each["policy"] for address, each in policies.items() if each.get("policy")}


def test_functions_write_releases_of_their_own_and_nothing_else(plan: dict[str, Any]) -> None:
    release = f"releases/000000000000-{REGION}-acme-fraud-0a1b2c3d/prod/{NUMBER}.json"
    others = [f"releases/000000000000-{REGION}-acme-churn-0a1b2c3d/prod/{NUMBER}.json"]
    keys = [*PUSHED, *PROMOTED, *others, *(key for key in HOSTILE if key != release)]
    policies = role_policies(plan)
    assert any(".releaser." in address for address in policies)
    for address, policy in policies.items():
        assert puts(policy, keys) == [], address
        assert puts(policy, [release]) == ([release] if ".releaser." in address else [])


def bucket_policy(plan: dict[str, Any]) -> str:
    [attached] = planned(plan, "aws_s3_bucket_policy").values()
    return str(attached["policy"])


@pytest.mark.parametrize("key", [*PUSHED, *PROMOTED, HOSTILE[-5]])
def test_the_bucket_takes_records_and_blobs_only_under_new_keys(
    plan: dict[str, Any], key: str
) -> None:
    policy = bucket_policy(plan)
    # A put, and what completes a multipart upload.
    created = {"aws:securetransport": "true", "s3:objectcreationoperation": "true"}
    assert denies(policy, "s3:PutObject", arn(key), created)
    assert not denies(policy, "s3:PutObject", arn(key), {**created, "s3:if-none-match": "*"})
    # The parts of a multipart upload.
    part = {**created, "s3:objectcreationoperation": "false"}
    assert not denies(policy, "s3:PutObject", arn(key), part)
    for action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
        assert denies(policy, action, arn(key), created)


@pytest.mark.parametrize(
    "unreadable",
    [
        {"s3:x-amz-storage-class": "DEEP_ARCHIVE"},
        {"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"},
        {"s3:x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:::key/theirs"},
    ],
)
def test_the_bucket_takes_no_record_or_blob_that_others_cannot_read(
    plan: dict[str, Any], unreadable: dict[str, str]
) -> None:
    policy = bucket_policy(plan)
    for key in (*PUSHED, *PROMOTED):
        # A put, and the request that begins a multipart upload.
        for is_creation in ("true", "false"):
            request = {"s3:objectcreationoperation": is_creation, "s3:if-none-match": "*"}
            assert not denies(policy, "s3:PutObject", arn(key), request)
            assert denies(policy, "s3:PutObject", arn(key), request | unreadable)


def test_terraform_replaces_and_deletes_its_own_objects(plan: dict[str, Any]) -> None:
    policy = bucket_policy(plan)
    created = {"aws:securetransport": "true", "s3:objectcreationoperation": "true"}
    for key in ("deployments/x.json", f"packages/acme/{HEX}.zip"):
        for action in ("s3:PutObject", "s3:DeleteObject"):
            assert not denies(policy, action, arn(key), created)
    assert denies(
        policy, "s3:GetObject", arn("deployments/x.json"), {"aws:securetransport": "false"}
    )
