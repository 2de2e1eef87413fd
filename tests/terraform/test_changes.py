"""What the changes that users make do to a stack that exists: which resources, in which order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.emulated_stack import write_root
from tests.support.recorded_stack import PACKAGES, STATES, RecordedStack, resources, types

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

pytestmark = pytest.mark.slow

#: A later plan of the recorded stack depends on this resource, which changes.
DEPENDS_ON = """
  depends_on = [terraform_data.other]
}

variable "other" { default = "" }

resource "terraform_data" "other" {
  input = var.other
}
"""

KEYS = "arn:aws:kms:eu-central-1:000000000000:key"
OLD_KEYS = [f"{KEYS}/{digit}1111111-2222-3333-4444-555555555555" for digit in "16"]
NEW_KEY = f"{KEYS}/91111111-2222-3333-4444-555555555555"

#: The models of the recorded stack.
FRAUD: dict[str, Any] = {
    "aliases": {"prod": {"provisioned_concurrency": 1}, "staging": {}},
    "default_alias": "prod",
}
EMBED: dict[str, Any] = {"file_system": {}, "aliases": {"prod": {}}}

#: What is replaced when functions change: they are released again.
RELEASED = {"aws_lambda_invocation": "delete, create"}
#: A stage serves its deployment until it has the new one.
DEPLOYED = {"aws_api_gateway_deployment": "create, delete"}
#: Each function has one object in the registry, and each package one object.
OBJECTS = {"aws_s3_object": "delete, create"}

FILE_SYSTEM = {
    f"aws_efs_{kind}": "delete, create"
    for kind in ("access_point", "file_system", "file_system_policy", "mount_target")
}


def stack(aws: EmbeddedAws, directory: Path, root: str) -> RecordedStack:
    write_root(directory, root)
    return RecordedStack(aws, directory, "0.2-acme")


@pytest.fixture(scope="module")
def acme(embedded_aws: EmbeddedAws, tmp_path_factory: pytest.TempPathFactory) -> RecordedStack:
    """A stack with everything."""
    root = (STATES / "0.2-acme.tf").read_text()
    return stack(embedded_aws, tmp_path_factory.mktemp("acme"), root)


def replaced(plan: dict[str, Any]) -> dict[str, str]:
    """The types of resources that a plan replaces, and in which order."""
    changes = [(each["type"], each["change"]["actions"]) for each in plan["resource_changes"]]
    return {kind: ", ".join(actions) for kind, actions in changes if len(actions) > 1}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param(
            {"packages": {**PACKAGES, "runtime": "packages/own.zip"}}, RELEASED, id="package"
        ),
        pytest.param({"models": {"scam": FRAUD, "embed": EMBED}}, DEPLOYED, id="model-renamed"),
        pytest.param(
            {
                "models": {
                    "fraud": {"aliases": {"staging": {}}},
                    "embed": {
                        **EMBED,
                        "aliases": {"prod": {}, "next": {}},
                        "default_alias": "prod",
                    },
                }
            },
            RELEASED | DEPLOYED,
            id="alias-added-and-default-alias-removed",
        ),
        pytest.param(
            {
                "registry": {
                    "kms_key_arn": OLD_KEYS[0],
                    "previous_kms_key_arns": OLD_KEYS[1:],
                    "prefix": "ml",
                }
            },
            RELEASED | OBJECTS,
            id="prefix",
        ),
        pytest.param(
            {
                "registry": {"kms_key_arn": NEW_KEY, "previous_kms_key_arns": OLD_KEYS},
                "api": {
                    "authorization": "JWT",
                    "jwt": {"issuer": "https://a.b", "audience": ["c"]},
                },
            },
            {},
            id="key-of-the-registry-and-authorization-of-the-api",
        ),
        pytest.param(
            {"file_system": {"kms_key_arn": NEW_KEY}},
            RELEASED | FILE_SYSTEM,
            id="key-of-the-file-system",
        ),
        pytest.param(
            {"file_system": {"kms_key_arn": NEW_KEY}, "rest_api": None},
            RELEASED | FILE_SYSTEM,
            id="key-of-the-file-system-without-a-rest-api",
        ),
    ],
)
def test_a_change_replaces_nothing_else_and_in_this_order(
    acme: RecordedStack, variables: dict[str, Any], expected: dict[str, str]
) -> None:
    assert replaced(acme.plan(**variables)) == expected


def test_another_subnet_adds_a_mount_target_and_changes_functions_in_place(
    acme: RecordedStack,
) -> None:
    plan = acme.plan(subnets={"a": 0, "b": 1, "c": 2})
    (target,) = (each for each in resources(plan, "create") if "aws_efs" in each)
    assert target.endswith('.aws_efs_mount_target.models["a"]')
    assert types(plan, "delete") == set(RELEASED)
    assert "aws_lambda_function" in types(plan, "update")


def test_another_name_replaces_the_bucket_and_gives_it_that_name(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    """The destroy guard refuses that apply while the registry has models."""
    root = (STATES / "0.2-acme.tf").read_text().replace('= "acme"', '= "beta"')
    recorded = stack(embedded_aws, tmp_path, root)
    _remember(tmp_path / "terraform.tfstate", _name("acme", "module.registry"))
    plan = recorded.plan()
    (bucket,) = (each for each in plan["resource_changes"] if each["type"] == "aws_s3_bucket")
    assert bucket["change"]["actions"] == ["delete", "create"]
    assert bucket["change"]["after"]["bucket"] == "beta-000000000000-eu-central-1"


def _name(name: str, module: str) -> dict[str, Any]:
    """The resource that replaces a bucket with another name; 0.2 did not have it yet."""
    value = {"type": "string", "value": name}
    attributes = {"id": "11111111-2222-3333-4444-555555555555", "input": value, "output": value}
    return {
        "mode": "managed",
        "module": f"module.inference.{module}",
        "type": "terraform_data",
        "name": "name",
        "provider": 'provider["terraform.io/builtin/terraform"]',
        "instances": [{"schema_version": 0, "attributes": attributes}],
    }


def _bucket(name: str, module: str) -> dict[str, Any]:
    return {
        "mode": "managed",
        "module": f"module.inference.{module}",
        "type": "aws_s3_bucket",
        "name": "objects",
        "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
        "instances": [{"schema_version": 0, "attributes": {"id": name, "bucket": name}}],
    }


def _remember(state: Path, *recorded: dict[str, Any]) -> None:
    """Add resources to a state."""
    document = json.loads(state.read_text())
    document["resources"] += recorded
    state.write_text(json.dumps(document))


def test_a_stack_that_waits_for_a_changed_resource_replaces_nothing(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    """Its data sources are read during the apply, and unknown at plan."""
    root = (STATES / "0.2-acme.tf").read_text().rstrip().removesuffix("}") + DEPENDS_ON
    plan = stack(embedded_aws, tmp_path, root).plan(other="changed")
    assert types(plan, "delete") == set()


def test_a_stack_that_waits_for_a_changed_resource_keeps_the_bucket_of_its_jobs(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    """Another bucket would lose all jobs."""
    root = (STATES / "0.2-acme.tf").read_text().rstrip().removesuffix("}") + DEPENDS_ON
    recorded = stack(embedded_aws, tmp_path, root)
    module = 'module.jobs[0].module.bucket["fraud"]'
    bucket = _bucket("acme-fraud-jobs-000000000000-eu-central-1", module)
    _remember(tmp_path / "terraform.tfstate", bucket, _name("acme-fraud", module))
    plan = recorded.plan(other="changed", models={"fraud": {**FRAUD, "jobs": {}}, "embed": EMBED})
    assert "aws_s3_bucket" not in types(plan, "delete") | types(plan, "create")
