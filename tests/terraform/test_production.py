"""examples/production, planned with the real provider in both of its environments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.emulated_stack import emulated_stack
from tests.support.plans import planned, planned_functions
from tests.support.terraform_cli import REPOSITORY, working_copy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

pytestmark = pytest.mark.slow

PACKAGES = REPOSITORY / "terraform" / "tests" / "packages"


@pytest.fixture(scope="module")
def vpc(embedded_aws: EmbeddedAws) -> str:
    """A VPC with two subnets for models, another one, and a route table."""
    ec2 = embedded_aws.client("ec2")
    vpc_id: str = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]

    def tags(kind: str, tier: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": [{"Key": "tier", "Value": tier}]}]

    for index, (zone, tier) in enumerate([("a", "models"), ("b", "models"), ("c", "other")]):
        ec2.create_subnet(
            VpcId=vpc_id,
            CidrBlock=f"10.30.{index}.0/24",
            AvailabilityZone=f"eu-central-1{zone}",
            TagSpecifications=tags("subnet", tier),
        )
    ec2.create_route_table(VpcId=vpc_id, TagSpecifications=tags("route-table", "models"))
    return vpc_id


@pytest.fixture(scope="module")
def example(vpc: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = working_copy(
        REPOSITORY / "examples" / "production", tmp_path_factory.mktemp("production")
    )
    # Read after the file of the environment, which names another VPC.
    (directory / "zz.auto.tfvars").write_text(f'vpc_id = "{vpc}"\n')
    return directory


def plan_of(aws: EmbeddedAws, example: Path, environment: str) -> dict[str, Any]:
    values = (example / "environments" / f"{environment}.tfvars").read_text()
    (example / "a.auto.tfvars").write_text(values)
    packages = {kind: str(PACKAGES / f"{kind}.zip") for kind in ("runtime", "control")}
    own = str(PACKAGES / "own.zip")
    return emulated_stack(aws, example, packages=packages, ranker_package=own).plan()


def found(plan: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return list(planned(plan, kind).values())


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_an_environment_plans_its_models_under_its_own_names(
    embedded_aws: EmbeddedAws, example: Path, environment: str
) -> None:
    plan = plan_of(embedded_aws, example, environment)
    functions = planned_functions(plan)
    name = f"acme-{environment}"
    models = {f"{name}-{model}" for model in ("fraud", "embed", "ranker")}
    assert set(functions) == models | {f"{name}_{ours}" for ours in ("releaser", "stager", "index")}
    assert {each["tracing_config"][0]["mode"] for each in functions.values()} == {"Active"}
    assert {each["tags"]["environment"] for each in functions.values()} == {environment}
    assert {each["s3_bucket"] for each in functions.values()} == {f"acme-models-{environment}"}

    # What exists stays as it is; each subnet for models has a mount target.
    assert found(plan, "aws_s3_bucket") == []
    assert len(found(plan, "aws_efs_mount_target")) == 2
    (stack_key,) = {each["kms_key_id"] for each in found(plan, "aws_efs_file_system")}
    assert {each["kms_key_arn"] for each in functions.values()} == {stack_key}
    assert {each["authorization_type"] for each in found(plan, "aws_apigatewayv2_route")} == {"JWT"}

    concurrency = found(plan, "aws_lambda_provisioned_concurrency_config")
    ready = [each["provisioned_concurrent_executions"] for each in concurrency]
    assert ready == ([2] if environment == "production" else [])
    policy = plan["planned_values"]["outputs"]["bucket_policy"]["value"]
    assert f"acme-models-{environment}/{environment}/blobs/*" in policy
