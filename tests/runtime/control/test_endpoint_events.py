"""The events by which the releaser brings endpoints into service and removes them."""

from __future__ import annotations

from typing import Any

import pytest

from shearling.errors import ReleaseError
from shearling_runtime.control import releaser
from tests.runtime.control.test_releaser import Context, s3_event
from tests.support.endpoints import EndpointStage
from tests.support.fake_lambda import refusal
from tests.support.releases import pin

ENTRY = s3_event("models/fraud/aliases/prod/0000000001.json")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> EndpointStage:
    stage = EndpointStage()
    monkeypatch.setenv("SHEARLING_REGISTRY", stage.registry.store.uri)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "acme_releaser")
    monkeypatch.setattr(releaser, "_client", lambda _: stage.fake.client)
    monkeypatch.setattr(releaser, "_endpoint_clients", lambda _: stage.sagemaker.clients)
    monkeypatch.setattr(releaser, "_CLOCK", stage.fake.time.clock)
    return stage


def endpoint_event(name: str, status: str = "IN_SERVICE") -> dict[str, Any]:
    """Return an event of EventBridge as SageMaker documents it."""
    arn = f"arn:aws:sagemaker:eu-west-1:000000000000:endpoint/{name}"
    return {
        "version": "0",
        "id": "d2921b5a-b0ad-cace-a8e3-0f159d018e06",
        "detail-type": "SageMaker Endpoint State Change",
        "source": "aws.sagemaker",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": "eu-west-1",
        "resources": [arn],
        "detail": {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": name,
            "ProductionVariants": [
                {"DesiredWeight": 1.0, "DesiredInstanceCount": 1.0, "VariantName": "AllTraffic"}
            ],
            "EndpointStatus": status,
            "CreationTime": 1583831889050,
            "LastModifiedTime": 1583831889050,
            "Tags": {},
        },
    }


def outcomes(event: dict[str, Any]) -> list[tuple[str, str]]:
    results = releaser.handler(event, Context())["results"]
    return sorted((it["alias"], it["outcome"]) for it in results)


def test_an_event_of_sagemaker_continues_the_release(stage: EndpointStage) -> None:
    stage.name(2)
    assert outcomes(ENTRY) == [("prod", "staging")]
    stage.sagemaker.finish()
    found = outcomes(endpoint_event(stage.endpoint(2)))
    assert found == [("prod", "released"), ("staging", "unchanged")]
    assert stage.fake.shown("prod") == pin(2)


def test_the_schedule_continues_it_if_the_event_is_lost(stage: EndpointStage) -> None:
    stage.name(2)
    outcomes(ENTRY)
    stage.sagemaker.finish()
    assert ("prod", "released") in outcomes({"sweep": True})


@pytest.mark.parametrize(
    "name", ["acme-fraud-2-0a1b2c3d", "acme-fraud", "fraud-0a1b2c3d", "acme-fraud-0a1b2c3d4", ""]
)
def test_events_about_endpoints_of_others_are_ignored(stage: EndpointStage, name: str) -> None:
    stage.name(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(releaser, "release_alias", pytest.fail)
        if name:
            assert outcomes(endpoint_event(name)) == []
        else:
            with pytest.raises(ReleaseError, match="not a request to release"):
                releaser.handler(endpoint_event(name), Context())


def test_a_recorded_failure_of_an_endpoint_is_no_failure_of_the_event(
    stage: EndpointStage,
) -> None:
    stage.sagemaker.failure = lambda _: "It crashed."
    stage.name(2)
    outcomes(ENTRY)
    stage.sagemaker.finish()
    event = endpoint_event(stage.endpoint(2), "FAILED")
    assert ("prod", "failed") in outcomes(event)
    assert ("prod", "failed") in outcomes(event)
    assert stage.sagemaker.calls.count("CreateEndpoint") == 1


def test_lambda_repeats_an_event_that_could_not_be_handled(stage: EndpointStage) -> None:
    stage.name(2)
    outcomes(ENTRY)
    stage.sagemaker.refusals["ListTags"] = [refusal("ThrottlingException")] * 9999
    with pytest.raises(ReleaseError, match="no time left"):
        releaser.handler(endpoint_event(stage.endpoint(2)), Context())


def test_an_apply_that_begins_to_make_an_endpoint_succeeds(stage: EndpointStage) -> None:
    stage.name(2)
    assert ("prod", "staging") in outcomes({"function": "acme-fraud"})


def test_the_schedule_removes_unused_endpoints(stage: EndpointStage) -> None:
    stage.serve(1)
    stage.serve(2)
    for _ in range(5):
        outcomes({"sweep": True})
        stage.fake.time.seconds += 11 * 60
        stage.sagemaker.finish()
    assert stage.sagemaker.names == {stage.shown_endpoint()}


def test_without_endpoints_the_schedule_does_not_ask_sagemaker(stage: EndpointStage) -> None:
    stage.turn_off()
    stage.serve(1)
    outcomes({"sweep": True})
    assert stage.sagemaker.calls == []


def guard(action: str) -> dict[str, Any]:
    event = {"shearling": "guard_endpoints", "tf": {"action": action}}
    return releaser.handler(event, Context())


def test_destroy_deletes_the_endpoints_and_an_apply_does_not(stage: EndpointStage) -> None:
    stage.serve(1)
    for action in ("create", "update"):
        assert guard(action) == {}
    assert stage.sagemaker.names == {stage.shown_endpoint()}
    stage.destroy()
    assert guard("delete") == {}
    assert stage.sagemaker.names == set()


def test_destroy_says_what_is_left_before_the_functions_timeout(stage: EndpointStage) -> None:
    stage.sagemaker.settle = 9999
    stage.name(1)
    outcomes(ENTRY)
    stage.destroy()
    with pytest.raises(ReleaseError, match=stage.endpoint(1)):
        guard("delete")
    assert stage.fake.time.seconds < 600
