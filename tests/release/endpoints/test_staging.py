"""Releases whose models are served by endpoints."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shearling.aliases.status import status
from shearling.release.trigger import Trigger
from tests.support.endpoints import ASYNCHRONOUS, SETTINGS, EndpointStage
from tests.support.fake_lambda import refusal
from tests.support.releases import failing, pin, publish_sized

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.release.clock import Clock


@pytest.fixture
def stage() -> EndpointStage:
    return EndpointStage()


def later(stage: EndpointStage, **duration: int) -> Clock:
    """Return a clock that is this much ahead of the release records."""
    date = datetime.now(UTC) + timedelta(**duration)
    return dataclasses.replace(stage.fake.time.clock, date=lambda: date)


# Creation


def test_a_release_makes_an_endpoint_and_says_what_is_happening(stage: EndpointStage) -> None:
    stage.name(2)
    outcome = stage.release()
    name = stage.endpoint(2)
    assert (outcome.outcome, outcome.reason) == ("staging", f"endpoint {name} is Creating")
    assert [record.outcome for record in stage.records()] == ["staging"]
    assert "PublishVersion" not in stage.fake.calls
    assert stage.fake.moves == []


def test_the_status_shows_what_is_happening(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.name(2)
    stage.release()
    row = next(row for row in status("fraud", stage.registry) if row.alias == "prod")
    assert (row.version, row.serves, row.outcome) == (2, 1, "staging")
    assert row.reason == f"endpoint {stage.endpoint(2)} is Creating"


def test_the_name_has_the_function_and_a_digest(stage: EndpointStage) -> None:
    stage.name(2)
    stage.release()
    [name] = stage.sagemaker.endpoints
    prefix, _, digest = name.rpartition("-")
    assert prefix == "acme-fraud"
    assert (len(digest), int(digest, 16) >= 0) == (8, True)


def test_the_container_gets_the_registry_the_pin_and_terraforms_variables(
    stage: EndpointStage,
) -> None:
    stage.configure(environment={"LEVEL": "debug", "SHEARLING_MODEL": "other"})
    stage.name(2)
    stage.release()
    model = stage.sagemaker.models[stage.endpoint(2)]
    assert model["PrimaryContainer"] == {
        "Image": SETTINGS["image_uri"],
        "Environment": {
            "LEVEL": "debug",
            "SHEARLING_REGISTRY": stage.registry.store.uri,
            "SHEARLING_MODEL": pin(2),
        },
    }
    assert model["ExecutionRoleArn"] == SETTINGS["role_arn"]
    assert "VpcConfig" not in model


def test_model_configuration_and_endpoint_have_the_tags(stage: EndpointStage) -> None:
    stage.configure(tags={"Team": "risk"})
    stage.name(2)
    stage.release()
    assert len(stage.sagemaker.tags) == 3
    for tags in stage.sagemaker.tags.values():
        assert tags == {
            "Team": "risk",
            "shearling:deployment": stage.deployment.key,
            "shearling:function": "acme-fraud",
            "shearling:releaser": "acme_releaser",
            "shearling:model": pin(2),
        }


@pytest.mark.parametrize(
    ("settings", "variant"),
    [
        (
            {"instances": {"min": 2, "max": 3, "target": 9}, "startup_seconds": 900},
            {
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 2,
                "ContainerStartupHealthCheckTimeoutInSeconds": 900,
            },
        ),
        (
            {
                "instances": None,
                "instance_type": None,
                "serverless": {"memory_mb": 2048, "max_concurrency": 20},
            },
            {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 20}},
        ),
    ],
)
def test_the_configuration_has_the_capacity(
    stage: EndpointStage, settings: dict[str, Any], variant: dict[str, Any]
) -> None:
    stage.configure(**settings)
    stage.name(2)
    stage.release()
    name = stage.endpoint(2)
    assert stage.sagemaker.configurations[name]["ProductionVariants"] == [
        {"VariantName": "AllTraffic", "ModelName": name, **variant}
    ]


def test_containers_in_a_vpc_and_volumes_with_a_key(stage: EndpointStage) -> None:
    stage.configure(subnet_ids=["subnet-1"], security_group_ids=["sg-1"], kms_key_arn="key")
    stage.name(2)
    stage.release()
    name = stage.endpoint(2)
    vpc = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert stage.sagemaker.models[name]["VpcConfig"] == vpc
    assert stage.sagemaker.configurations[name]["KmsKeyId"] == "key"


# Service


def test_an_endpoint_in_service_is_checked_and_released(stage: EndpointStage) -> None:
    stage.name(2)
    stage.release()
    stage.sagemaker.finish()
    outcome = stage.release(trigger=Trigger.ENTRY)
    assert outcome.outcome == "released"
    assert stage.fake.shown("prod") == pin(2)
    assert stage.shown_endpoint() == stage.endpoint(2)
    assert stage.fake.checked == [outcome.lambda_version]


def test_a_release_repeats_nothing(stage: EndpointStage) -> None:
    stage.serve(2)
    assert stage.release().outcome == "unchanged"
    calls = stage.sagemaker.calls
    assert [calls.count(f"Create{it}") for it in ("Model", "EndpointConfig", "Endpoint")] == [1] * 3


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
def test_a_releaser_that_was_stopped_is_continued_by_the_next_one(
    stage: EndpointStage, operation: str
) -> None:
    stage.name(2)

    def stop(name: str) -> None:
        if name == operation:
            raise KeyboardInterrupt

    stage.sagemaker.before = stop
    with pytest.raises(KeyboardInterrupt):
        stage.release()
    stage.sagemaker.before = len
    stage.finish()
    assert stage.sagemaker.names == {stage.shown_endpoint()}


def test_two_aliases_with_the_same_version_share_an_endpoint(stage: EndpointStage) -> None:
    stage.serve(2)
    stage.serve(2, "staging")
    assert len(stage.sagemaker.endpoints) == 1
    assert stage.shown_endpoint("staging") == stage.shown_endpoint("prod")


def test_a_canary_has_an_endpoint_of_its_own(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.finish()
    [canary] = stage.fake.weights("prod")
    assert stage.endpoint_of(canary) == stage.endpoint(2)
    assert stage.shown_endpoint() == stage.endpoint(1)


def test_an_endpoint_that_somebody_deleted_is_made_again(stage: EndpointStage) -> None:
    stage.serve(2)
    name, number = stage.shown_endpoint(), stage.fake.aliases["prod"]["FunctionVersion"]
    stage.sagemaker.clients.sagemaker.delete_endpoint(EndpointName=name)
    assert stage.release(trigger=Trigger.SCHEDULE).reason == f"endpoint {name} is Deleting"
    stage.finish()
    assert stage.sagemaker.status(name) == "InService"
    assert stage.fake.aliases["prod"]["FunctionVersion"] == number


@pytest.mark.parametrize(
    "change",
    [
        {"image_uri": f"{SETTINGS['image_uri']}1"},
        {"instance_type": "ml.m5.xlarge"},
        {"instances": {"min": 1, "max": 2, "target": 600}},
        {"environment": {"LEVEL": "debug"}},
        {"role_arn": f"{SETTINGS['role_arn']}-2"},
    ],
)
def test_another_setting_makes_another_endpoint_and_the_alias_moves_when_it_serves(
    stage: EndpointStage, change: dict[str, Any]
) -> None:
    stage.serve(2)
    before = stage.shown_endpoint()
    stage.configure(**change)
    assert stage.release(trigger=Trigger.APPLY).outcome == "staging"
    assert stage.shown_endpoint() == before
    stage.sagemaker.finish()
    assert stage.release(trigger=Trigger.ENTRY).outcome == "released"
    assert stage.shown_endpoint() not in ("", before)


def test_an_apply_after_a_failed_version_keeps_the_served_one_until_its_new_endpoint_serves(
    stage: EndpointStage,
) -> None:
    stage.serve(1)
    stage.name(2)
    stage.sagemaker.failure = lambda it: "It crashed." if it == pin(2) else ""
    stage.release()
    stage.sagemaker.finish()
    stage.release()
    before = stage.shown_endpoint()
    stage.configure(instance_type="ml.m5.xlarge")
    waiting = stage.release(trigger=Trigger.APPLY)
    assert waiting.outcome == "failed"
    assert "waits: endpoint" in waiting.reason
    assert "Apply again when that is done" in waiting.reason
    assert stage.shown_endpoint() == before
    stage.sagemaker.finish()
    stage.release(trigger=Trigger.APPLY)
    assert stage.fake.shown("prod") == pin(1)
    assert stage.shown_endpoint() != before
    for _ in range(4):
        stage.sagemaker.finish()
        stage.release(trigger=Trigger.SCHEDULE)
    assert (stage.records()[-1].outcome, stage.fake.shown("prod")) == ("failed", pin(1))


def test_another_time_to_keep_endpoints_makes_none(stage: EndpointStage) -> None:
    stage.serve(2)
    stage.configure(keep_minutes=5, tags={"Team": "risk"})
    assert stage.release(trigger=Trigger.APPLY).outcome == "unchanged"


def test_an_alias_serves_while_endpoints_are_turned_on_and_off(stage: EndpointStage) -> None:
    stage.turn_off()
    stage.serve(1)
    before = stage.fake.aliases["prod"]["FunctionVersion"]
    stage.configure()
    assert stage.release(trigger=Trigger.APPLY).outcome == "staging"
    assert stage.fake.aliases["prod"]["FunctionVersion"] == before
    stage.finish()
    assert stage.shown_endpoint()
    stage.turn_off()
    assert stage.release(trigger=Trigger.APPLY).outcome == "released"
    assert stage.fake.aliases["prod"]["FunctionVersion"] == before


def test_a_model_that_does_not_fit_into_the_function_fits_into_an_endpoint(
    stage: EndpointStage, tmp_path: Path
) -> None:
    stage.serve(publish_sized(stage, tmp_path, 9_000 * 2**20).version)
    assert stage.shown_endpoint()


# Scaling


def test_an_endpoint_with_more_instances_follows_its_load(stage: EndpointStage) -> None:
    stage.configure(instances={"min": 1, "max": 4, "target": 600})
    stage.serve(2)
    [(place, target)] = stage.sagemaker.targets.items()
    assert place == f"endpoint/{stage.endpoint(2)}/variant/AllTraffic"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    [policy] = stage.sagemaker.policies.values()
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 600


def test_an_endpoint_with_a_fixed_number_of_instances_is_not_scaled(stage: EndpointStage) -> None:
    stage.serve(2)
    assert stage.sagemaker.targets == {}


def test_an_asynchronous_endpoint_starts_with_an_instance_and_writes_to_its_folder(
    stage: EndpointStage,
) -> None:
    stage.configure(**ASYNCHRONOUS)
    stage.serve(2)
    configuration = stage.sagemaker.configurations[stage.endpoint(2)]
    assert configuration["ProductionVariants"][0]["InitialInstanceCount"] == 1
    assert configuration["AsyncInferenceConfig"]["OutputConfig"] == {
        "S3OutputPath": "s3://acme-jobs/calls/answers",
        "S3FailurePath": "s3://acme-jobs/calls/failures",
    }


def test_an_asynchronous_endpoint_follows_its_backlog_from_zero(stage: EndpointStage) -> None:
    stage.configure(**ASYNCHRONOUS)
    stage.serve(2)
    name = stage.endpoint(2)
    [target] = stage.sagemaker.targets.values()
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 2)
    tracking = stage.sagemaker.policies[name]["TargetTrackingScalingPolicyConfiguration"]
    metric = tracking["CustomizedMetricSpecification"]["MetricName"]
    assert (metric, tracking["TargetValue"]) == ("ApproximateBacklogSizePerInstance", 5)
    [alarm] = stage.sagemaker.alarms.values()
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": name}]
    assert alarm["AlarmActions"] == [f"arn:aws:autoscaling:eu-west-1:000:{name}-start"]


def test_the_alarm_of_an_asynchronous_endpoint_is_deleted_with_it(stage: EndpointStage) -> None:
    stage.configure(**ASYNCHRONOUS)
    stage.serve(2)
    stage.turn_off()
    stage.serve(1)
    stage.remove_unused()
    assert stage.sagemaker.names == set()
    assert (stage.sagemaker.alarms, stage.sagemaker.targets, stage.sagemaker.policies) == ({},) * 3


def test_an_instance_is_started_before_an_endpoint_without_one_is_checked(
    stage: EndpointStage,
) -> None:
    stage.configure(**ASYNCHRONOUS)
    stage.serve(2)
    endpoint = stage.sagemaker.endpoints[stage.endpoint(2)]
    endpoint["instances"] = 0
    stage.change_code("code-2")
    assert stage.release(trigger=Trigger.APPLY).outcome == "staging"
    assert endpoint["instances"] == 1
    stage.finish()


def test_no_instance_is_started_for_an_alias_that_is_served(stage: EndpointStage) -> None:
    stage.configure(**ASYNCHRONOUS)
    stage.serve(2)
    endpoint = stage.sagemaker.endpoints[stage.endpoint(2)]
    endpoint["instances"] = 0
    for trigger in (Trigger.SCHEDULE, Trigger.APPLY):
        assert stage.release(trigger=trigger).outcome == "unchanged"
    assert endpoint["instances"] == 0


# Failure


def test_a_failed_endpoint_fails_the_release_with_its_reason(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.sagemaker.failure = lambda _: "The container did not pass the ping health check."
    stage.name(2)
    stage.release()
    stage.sagemaker.finish()
    outcome = stage.release(trigger=Trigger.ENTRY)
    assert outcome.outcome == "failed"
    assert "The container did not pass the ping health check. Its containers" in outcome.reason
    assert f"/aws/sagemaker/Endpoints/{stage.endpoint(2)}" in outcome.reason
    assert stage.fake.shown("prod") == pin(1)
    assert stage.records()[-1].reason == outcome.reason


def test_the_schedule_does_not_repeat_a_failure_that_would_repeat_itself(
    stage: EndpointStage,
) -> None:
    stage.sagemaker.failure = lambda _: "The container did not pass the ping health check."
    stage.name(2)
    for _ in range(6):
        stage.release(trigger=Trigger.SCHEDULE)
        stage.sagemaker.finish()
    assert stage.sagemaker.calls.count("CreateEndpoint") == 1


def test_another_setting_is_tried_after_a_failure(stage: EndpointStage) -> None:
    stage.sagemaker.failure = lambda _: "The container did not pass the ping health check."
    stage.name(2)
    stage.release()
    stage.sagemaker.finish()
    stage.release()
    stage.sagemaker.failure = lambda _: ""
    stage.configure(instance_type="ml.m5.xlarge")
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "failed"
    stage.sagemaker.finish()
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"


def test_a_setting_that_fails_too_is_tried_once(stage: EndpointStage) -> None:
    stage.sagemaker.failure = lambda _: "The container did not pass the ping health check."
    stage.name(2)
    stage.release()
    stage.sagemaker.finish()
    stage.release()
    stage.configure(instance_type="ml.m5.xlarge")
    for _ in range(6):
        assert stage.release(trigger=Trigger.SCHEDULE).outcome == "failed"
        stage.sagemaker.finish()
    assert stage.sagemaker.calls.count("CreateEndpoint") == 2
    assert stage.endpoint(2) in stage.records()[-1].reason


def test_setting_the_alias_again_tries_a_failed_endpoint_again(stage: EndpointStage) -> None:
    reasons = iter(["It crashed.", ""])
    stage.sagemaker.failure = lambda _: next(reasons)
    stage.name(2)
    stage.release(trigger=Trigger.ENTRY)
    stage.sagemaker.finish()
    assert stage.release(trigger=Trigger.ENTRY).outcome == "failed"
    stage.name(2)
    stage.finish()
    assert stage.fake.shown("prod") == pin(2)


def test_the_schedule_tries_again_when_aws_has_no_capacity(stage: EndpointStage) -> None:
    reasons = iter(["Unable to provision: InsufficientInstanceCapacity error", ""])
    stage.sagemaker.failure = lambda _: next(reasons)
    stage.name(2)
    outcomes = []
    for _ in range(5):
        outcomes.append(stage.release(trigger=Trigger.SCHEDULE).outcome)
        stage.sagemaker.finish()
    assert outcomes == ["staging", "failed", "failed", "failed", "released"]


def test_a_request_deletes_a_failed_endpoint_and_makes_another(stage: EndpointStage) -> None:
    reasons = iter(["It crashed.", ""])
    stage.sagemaker.failure = lambda _: next(reasons)
    stage.name(2)
    stage.release()
    stage.sagemaker.finish()
    assert stage.release().outcome == "failed"
    outcome = stage.release()
    assert (outcome.outcome, stage.sagemaker.status(stage.endpoint(2))) == ("staging", "Deleting")
    stage.sagemaker.finish()
    stage.finish()
    assert stage.fake.shown("prod") == pin(2)


def test_a_failed_check_leaves_the_alias(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.fake.check = failing(passed=False, reason="its answers differ")
    stage.name(2)
    stage.release()
    stage.sagemaker.finish()
    outcome = stage.release()
    assert (outcome.outcome, stage.fake.shown("prod")) == ("failed", pin(1))
    assert "its answers differ" in outcome.reason


def test_an_endpoint_that_is_never_in_service_fails_after_sagemakers_own_limits(
    stage: EndpointStage,
) -> None:
    stage.configure(startup_seconds=3600)
    stage.sagemaker.settle = 99
    stage.name(2)
    stage.release()
    assert stage.release(clock=later(stage, minutes=115)).outcome == "staging"
    outcome = stage.release(clock=later(stage, minutes=125))
    assert outcome.outcome == "failed"
    assert outcome.reason.startswith(
        f"endpoint {stage.endpoint(2)} was not in service within 120 minutes"
    )
    stage.sagemaker.finish()
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"


# Refusals


def test_a_quota_fails_the_release_with_sagemakers_words_until_it_is_raised(
    stage: EndpointStage,
) -> None:
    limit = "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances"
    stage.sagemaker.refusals["CreateEndpoint"] = [refusal("ResourceLimitExceeded", limit)]
    stage.name(2)
    outcome = stage.release()
    assert outcome.outcome == "failed"
    assert limit in outcome.reason
    stage.release(trigger=Trigger.SCHEDULE)
    stage.sagemaker.finish()
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"


def test_throttling_is_waited_out(stage: EndpointStage) -> None:
    throttled = refusal("ThrottlingException", "Rate exceeded")
    stage.sagemaker.refusals["CreateEndpoint"] = [throttled] * 3
    stage.name(2)
    assert stage.release().outcome == "staging"


def test_throttling_without_end_leaves_the_release_to_the_next_trigger(
    stage: EndpointStage,
) -> None:
    throttled = refusal("ThrottlingException", "Rate exceeded")
    stage.sagemaker.refusals["CreateEndpoint"] = [throttled] * 1000
    stage.name(2)
    outcome = stage.release(patience_seconds=60)
    assert (outcome.outcome, outcome.is_recorded, stage.records()) == ("failed", False, [])
    stage.sagemaker.refusals.clear()
    stage.finish()


def test_a_new_role_is_given_time(stage: EndpointStage) -> None:
    new = refusal("ValidationException", "Could not assume role arn:aws:iam::0:role/x.")
    stage.sagemaker.refusals["CreateModel"] = [new] * 3
    stage.name(2)
    assert stage.release().outcome == "staging"


def test_a_missing_permission_is_named(stage: EndpointStage) -> None:
    denied = refusal("AccessDeniedException", "not authorized to perform sagemaker:CreateModel")
    stage.sagemaker.refusals["CreateModel"] = [denied] * 1000
    stage.name(2)
    outcome = stage.release()
    assert outcome.outcome == "failed"
    assert "sagemaker:CreateModel" in outcome.reason
