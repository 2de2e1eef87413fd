"""What a plan says of SageMaker endpoints, and who may do what with them.

Asserted on the plan: the emulated AWS has no SageMaker.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from shearling.bundle.json_reader import Field
from shearling.registry.endpoint_settings import EndpointSettings, Instances
from shearling.registry.record_reader import read_deployment
from tests.embedded_aws import REGION
from tests.support.emulated_stack import emulated_stack
from tests.support.iam import allows
from tests.support.plans import planned, planned_functions
from tests.support.terraform_cli import REPOSITORY, working_copy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws

pytestmark = pytest.mark.slow

PLACE = f"{REGION}:000000000000"
SAGEMAKER = f"arn:aws:sagemaker:{PLACE}"
OURS, NEIGHBOUR, FOREIGN = "acme-scorer-1a2b3c4d", "acme-scorer-2-1a2b3c4d", "beta-scorer-1a2b3c4d"
BUCKET = f"arn:aws:s3:::acme-000000000000-{REGION}"

IMAGE = hashlib.sha256(b"image").hexdigest()
THINGS = {"Model": "model", "EndpointConfig": "endpoint-config", "Endpoint": "endpoint"}


@pytest.fixture(scope="module")
def policies(everything: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = everything["output_changes"]["policies"]["after"]
    return found


def test_the_releaser_reads_what_terraform_writes(everything: dict[str, Any]) -> None:
    [record] = [
        each["content"]
        for address, each in planned(everything, "aws_s3_object").items()
        if address.endswith('.deployment["scorer"]')
    ]
    deployment = read_deployment("deployments/scorer.json", Field(json.loads(record), "record"))
    assert deployment.sagemaker == EndpointSettings(
        endpoint_prefix="acme-scorer",
        role_arn="arn:aws:iam::000000000000:role/containers",
        image_uri=f"000000000000.dkr.ecr.{REGION}.amazonaws.com/acme@sha256:{IMAGE}",
        instance_type="ml.m5.xlarge",
        instances=Instances(min=1, max=1, target=600),
        log_retention_days=30,
        log_key_arn=f"arn:aws:kms:{PLACE}:key/logs",
        environment={"SHEARLING_REGISTRY": f"s3://acme-000000000000-{REGION}"},
        tags={"team": "ml"},
    )


@pytest.mark.parametrize("verb", ["Create", "Describe", "Delete"])
def test_the_releaser_makes_and_deletes_endpoints_of_its_stack_alone(
    policies: dict[str, Any], verb: str
) -> None:
    policy = policies["roles"]["acme_releaser"]
    for name, thing in THINGS.items():
        action = f"sagemaker:{verb}{name}"
        assert allows(policy, action, f"{SAGEMAKER}:{thing}/{OURS}")
        # Also of a model that has been removed from the stack.
        assert allows(policy, action, f"{SAGEMAKER}:{thing}/acme-removed-1a2b3c4d")
        assert not allows(policy, action, f"{SAGEMAKER}:{thing}/{FOREIGN}")
        assert not allows(policy, action, f"{SAGEMAKER}:{thing}/acme-by-hand")


def test_the_releaser_passes_the_containers_role_to_sagemaker_and_nothing_else(
    policies: dict[str, Any],
) -> None:
    policy = policies["roles"]["acme_releaser"]
    role, other = (f"arn:aws:iam::000000000000:role/{name}" for name in ("containers", "admin"))
    to_sagemaker = {"iam:passedtoservice": "sagemaker.amazonaws.com"}
    assert allows(policy, "iam:PassRole", role, to_sagemaker)
    assert not allows(policy, "iam:PassRole", other, to_sagemaker)
    assert not allows(policy, "iam:PassRole", role, {"iam:passedtoservice": "ec2.amazonaws.com"})


def test_the_releaser_scales_endpoints_and_nothing_else(policies: dict[str, Any]) -> None:
    policy = policies["roles"]["acme_releaser"]
    target = f"arn:aws:application-autoscaling:{PLACE}:scalable-target/0a1b"
    key = "application-autoscaling:service-namespace"
    action = "application-autoscaling:DeregisterScalableTarget"
    assert allows(policy, action, target, {key: "sagemaker"})
    assert not allows(policy, action, target, {key: "ecs"})


def test_only_the_function_of_a_model_calls_its_endpoints(policies: dict[str, Any]) -> None:
    for name, policy in policies["roles"].items():
        is_its_own = name == "acme-scorer"
        action = "sagemaker:InvokeEndpoint"
        assert allows(policy, action, f"{SAGEMAKER}:endpoint/{OURS}") is is_its_own
        for other in (NEIGHBOUR, FOREIGN, "acme-scorer"):
            assert not allows(policy, action, f"{SAGEMAKER}:endpoint/{other}")


def test_containers_read_blobs_and_their_image_and_change_nothing(
    policies: dict[str, Any],
) -> None:
    policy = policies["containers"]["scorer"]
    assert allows(policy, "s3:GetObject", f"{BUCKET}/blobs/sha256/{64 * '0'}")
    for key in ("models/scorer/versions/0000000001.json", "releases/x.json", "packages/x.zip"):
        assert not allows(policy, "s3:GetObject", f"{BUCKET}/{key}")
    assert not allows(policy, "s3:PutObject", f"{BUCKET}/blobs/sha256/{64 * '0'}")
    repository = f"arn:aws:ecr:{PLACE}:repository"
    assert allows(policy, "ecr:BatchGetImage", f"{repository}/acme")
    assert not allows(policy, "ecr:BatchGetImage", f"{repository}/others")
    assert not allows(policy, "ecr:PutImage", f"{repository}/acme")
    logs = f"arn:aws:logs:{PLACE}:log-group:/aws/sagemaker/Endpoints"
    assert allows(policy, "logs:PutLogEvents", f"{logs}/{OURS}:log-stream:AllTraffic/i-1")
    assert not allows(policy, "logs:PutLogEvents", f"{logs}/{FOREIGN}:log-stream:AllTraffic/i-1")
    assert not allows(policy, "sagemaker:InvokeEndpoint", f"{SAGEMAKER}:endpoint/{OURS}")


def test_the_example_moves_a_model_to_an_endpoint_by_one_variable(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    directory = working_copy(REPOSITORY / "examples" / "beyond-lambda", tmp_path)
    packages = REPOSITORY / "terraform" / "tests" / "packages"
    common = {"packages": {kind: packages / f"{kind}.zip" for kind in ("runtime", "control")}}
    stack = emulated_stack(embedded_aws, directory, **common)
    function = stack.plan()
    stack.set_variables(
        image_uri=f"000000000000.dkr.ecr.{REGION}.amazonaws.com/beyond@sha256:{IMAGE}", **common
    )
    endpoint = stack.plan()

    def added(kind: str) -> set[str]:
        return set(planned(endpoint, kind)) - set(planned(function, kind))

    sizes = [
        planned_functions(plan)["beyond-embed"]["memory_size"] for plan in (function, endpoint)
    ]
    assert sizes == [3008, 512]
    assert added("aws_iam_role") == {
        'module.inference.module.sagemaker[0].aws_iam_role.endpoint["embed"]'
    }
    assert added("aws_lambda_invocation") == {
        "module.inference.module.releaser.aws_lambda_invocation.endpoint_guard[0]"
    }
    assert added("aws_cloudwatch_event_rule") == {
        "module.inference.module.releaser.aws_cloudwatch_event_rule.endpoint_changed[0]"
    }
    assert len(added("aws_cloudwatch_metric_alarm")) == 2
