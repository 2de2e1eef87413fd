"""What the options of the composed module change, from tags to networks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.embedded_aws import REGION
from tests.support.plans import planned_functions

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

KEY = f"arn:aws:kms:{REGION}:000000000000:key/"


def resources(plan: dict[str, Any], *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The planned resources of the module, by address; of some types only if they are given."""
    for each in plan["resource_changes"]:
        after = each["change"]["after"]
        ours = each["address"].startswith("module.inference.") and each["mode"] == "managed"
        if after and ours and (not kinds or each["type"] in kinds):
            yield each["address"], after


def test_everything_but_objects_has_the_tags(everything: dict[str, Any]) -> None:
    untagged = {
        address
        for address, resource in resources(everything)
        if "tags" in resource and (resource["tags"] or {}).get("team") != "ml"
    }
    assert untagged == {address for address, _ in resources(everything, "aws_s3_object")}


def test_logs_variables_and_the_queue_have_their_keys(everything: dict[str, Any]) -> None:
    groups = [group for _, group in resources(everything, "aws_cloudwatch_log_group")]
    assert {group["kms_key_id"] for group in groups} == {f"{KEY}logs"}
    assert {each["kms_key_arn"] for each in planned_functions(everything).values()} == {
        f"{KEY}environment"
    }
    [(_, queue)] = resources(everything, "aws_sqs_queue")
    assert queue["kms_master_key_id"] == f"{KEY}queue"


def test_a_level_of_the_log_keeps_the_lines_with_metrics(everything: dict[str, Any]) -> None:
    levels = {
        (
            each["logging_config"][0]["system_log_level"],
            each["logging_config"][0]["application_log_level"],
        )
        for each in planned_functions(everything).values()
    }
    assert levels == {("WARN", "INFO")}


def test_functions_and_the_rest_api_are_traced_and_may_report_it(
    everything: dict[str, Any],
) -> None:
    assert {
        each["tracing_config"][0]["mode"] for each in planned_functions(everything).values()
    } == {"Active"}
    [(_, stage)] = resources(everything, "aws_api_gateway_stage")
    assert stage["xray_tracing_enabled"]
    policies = everything["output_changes"]["policies"]["after"]["roles"]
    for policy in policies.values():
        assert "xray:PutTraceSegments" in json.dumps(json.loads(policy))


def test_functions_take_signed_packages_alone(everything: dict[str, Any]) -> None:
    configs = {each["code_signing_config_arn"] for each in planned_functions(everything).values()}
    assert configs == {f"arn:aws:lambda:{REGION}:000000000000:code-signing-config:csc-1"}


def test_s3_logs_who_accessed_the_bucket(everything: dict[str, Any]) -> None:
    [(_, logging)] = resources(everything, "aws_s3_bucket_logging")
    assert logging["target_bucket"] == "access-logs"
    assert logging["target_prefix"] == f"{logging['bucket']}/"


def test_detailed_metrics_are_off_unless_they_are_asked_for(everything: dict[str, Any]) -> None:
    [(_, stage)] = resources(everything, "aws_apigatewayv2_stage")
    assert stage["default_route_settings"][0]["detailed_metrics_enabled"] is False
    [(_, settings)] = resources(everything, "aws_api_gateway_method_settings")
    assert settings["settings"][0]["metrics_enabled"] is True


def test_a_given_role_is_used_and_its_policy_is_an_output(everything: dict[str, Any]) -> None:
    made = [address for address, _ in resources(everything, "aws_iam_role", "aws_iam_role_policy")]
    assert not [address for address in made if '"ranker"' in address]
    policy = everything["output_changes"]["policies"]["after"]["roles"]["acme-ranker"]
    assert "ReadRegistry" in policy
    assert "ManageNetworkInterfaces" in policy


def test_roles_and_log_groups_are_outputs(everything: dict[str, Any]) -> None:
    names = everything["output_changes"]["names"]["after"]
    every = [
        "acme-embed",
        "acme-fraud",
        "acme-ranker",
        "acme-scorer",
        "acme_batch",
        "acme_index",
        "acme_planner",
        "acme_releaser",
        "acme_stager",
    ]
    assert names["roles"] == every
    assert sorted(names["log_groups"]) == sorted([*every, "api", "rest_api"])


def test_a_package_may_be_in_s3_and_its_hash_unknown_at_plan(everything: dict[str, Any]) -> None:
    ranker = planned_functions(everything)["acme-ranker"]
    assert (ranker["s3_bucket"], ranker["s3_key"]) == ("builds", "ranker.zip")
    assert planned_functions(everything)["acme-fraud"]["s3_bucket"] != "builds"


def test_a_model_with_a_network_reaches_s3_and_nothing_else(everything: dict[str, Any]) -> None:
    """Asserted on the plan: the emulated AWS has no packets to refuse."""
    [(_, group)] = [
        each for each in resources(everything, "aws_security_group") if "s3_only" in each[0]
    ]
    assert "ingress" not in group
    [rule] = [
        rule
        for address, rule in resources(everything, "aws_vpc_security_group_egress_rule")
        if ".module.network[0]." in address
    ]
    assert (rule["ip_protocol"], rule["from_port"], rule["to_port"]) == ("tcp", 443, 443)
    assert rule["prefix_list_id"].startswith("pl-")
    assert rule["cidr_ipv4"] is None

    ranker = planned_functions(everything)["acme-ranker"]["vpc_config"][0]
    embed = planned_functions(everything)["acme-embed"]["vpc_config"][0]
    assert ranker["subnet_ids"] == embed["subnet_ids"]
    # The group is created first, so its ID is not known.
    assert "security_group_ids" not in ranker


def test_the_gateway_of_such_a_network_admits_reads_of_the_registry_alone(
    everything: dict[str, Any],
) -> None:
    [(address, gateway)] = resources(everything, "aws_vpc_endpoint")
    assert ".module.network[0]." in address
    bucket = f"arn:aws:s3:::acme-000000000000-{REGION}"
    assert json.loads(gateway["policy"])["Statement"] == [
        {
            "Sid": "ReadRegistry",
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [bucket, f"{bucket}/*"],
        }
    ]
