"""The logs of containers are kept as long as Terraform says."""

from __future__ import annotations

import pytest

from shearling.release.trigger import Trigger
from tests.support.endpoints import EndpointStage
from tests.support.fake_lambda import refusal


@pytest.fixture
def stage() -> EndpointStage:
    stage = EndpointStage()
    stage.configure(log_retention_days=30, log_key_arn="arn:aws:kms:eu-west-1:000000000000:key/1")
    return stage


def test_an_endpoint_has_a_log_group_before_it_writes_to_it(stage: EndpointStage) -> None:
    stage.name(1)
    stage.release()
    [(name, group)] = stage.sagemaker.log_groups.items()
    assert name == f"/aws/sagemaker/Endpoints/{stage.endpoint(1)}"
    assert group["retentionInDays"] == 30
    assert group["kmsKeyId"].endswith("key/1")
    assert group["tags"]["shearling:function"] == "acme-fraud"
    calls = stage.sagemaker.calls
    assert calls.index("PutRetentionPolicy") < calls.index("CreateEndpoint")


def test_another_retention_holds_for_an_endpoint_that_serves(stage: EndpointStage) -> None:
    stage.serve(1)
    name = stage.shown_endpoint()
    stage.configure(log_retention_days=7)
    assert stage.release(trigger=Trigger.APPLY).outcome in ("released", "unchanged")
    assert stage.shown_endpoint() == name
    [group] = stage.sagemaker.log_groups.values()
    assert group["retentionInDays"] == 7


def test_without_a_number_of_days_sagemaker_makes_the_log_group(stage: EndpointStage) -> None:
    stage.configure()
    stage.serve(1)
    assert stage.sagemaker.log_groups == {}


def test_a_release_that_may_not_make_the_log_group_says_so(stage: EndpointStage) -> None:
    stage.sagemaker.refusals["CreateLogGroup"] = [refusal("AccessDeniedException")] * 99
    stage.name(1)
    outcome = stage.release()
    assert outcome.outcome == "failed"
    assert "access to the logs of acme-fraud denied" in outcome.reason
    assert stage.sagemaker.endpoints == {}
