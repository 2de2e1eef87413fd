"""Endpoints by boto3's own clients over HTTP, with containers that are real processes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from shearling.endpoints.invoke import Endpoint
from shearling.errors import ModelNotReadyError, ReleaseError
from shearling.registry.registry import Registry
from shearling.release.clock import Clock
from shearling.release.endpoints.clients import endpoints_behind
from shearling.release.endpoints.removal import delete_parts
from shearling.release.staging import BeingStagedError
from tests.support.bundles import scaling_bundle
from tests.support.endpoints import SETTINGS
from tests.support.fake_lambda import refusal
from tests.support.releases import deploy
from tests.support.sagemaker_runtime import KEYS
from tests.support.small_sagemaker import SmallSageMaker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shearling.refs import Pin
    from shearling.release.endpoints.in_service import Endpoints

ROWS = json.dumps({"instances": [[1, 2]]}).encode()


@pytest.fixture
def sagemaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallSageMaker]:
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    small = SmallSageMaker(directory=tmp_path, variables=KEYS, region=KEYS["AWS_REGION"])
    with small.running():
        for name, value in {**KEYS, **small.environment}.items():
            monkeypatch.setenv(name, value)
        yield small


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path / "registry"))


@pytest.fixture
def pin(registry: Registry, tmp_path: Path) -> Pin:
    return scaling_bundle(tmp_path).publish(registry).pin


@contextmanager
def endpoints(sagemaker: SmallSageMaker, registry: Registry) -> Iterator[Endpoints]:
    """The endpoints of a function, as the releaser has them."""
    deployment = deploy(registry, region=sagemaker.region, sagemaker=SETTINGS)
    clients, clock = sagemaker.clients, Clock()
    made = endpoints_behind(deployment, clients, registry, clock, clock.now() + 60)
    assert made
    yield made
    clients.sagemaker.close()
    clients.scaling.close()
    clients.logs.close()


def test_an_endpoint_serves_when_its_container_has_the_model_until_it_is_deleted(
    sagemaker: SmallSageMaker, registry: Registry, pin: Pin
) -> None:
    events: list[Any] = []
    sagemaker.on_change = events.append
    sagemaker.may_serve.clear()
    with endpoints(sagemaker, registry) as made:
        endpoint = Endpoint(made.name(str(pin)), is_ours=True)
        with pytest.raises(BeingStagedError, match="is Creating"):
            made.require(str(pin), is_under_way=False)
        with pytest.raises(ModelNotReadyError, match="not found"):
            endpoint.invoke(ROWS, "application/json", "application/json")
        sagemaker.may_serve.set()
        sagemaker.wait_until_no_endpoint_changes()
        made.require(str(pin), is_under_way=True)
        answer, _ = endpoint.invoke(ROWS, "application/json", "application/json")
        assert json.loads(answer)["predictions"] == [[2.0, 4.0]]
        container = sagemaker.container(endpoint.name)
        assert not delete_parts(made.sagemaker, made.scaling, endpoint.name)
        sagemaker.wait_until_no_endpoint_changes()
        assert delete_parts(made.sagemaker, made.scaling, endpoint.name)
    assert not sagemaker.names
    assert container.process.poll() is not None
    assert [event["EndpointStatus"] for event in events] == ["CREATING", "IN_SERVICE"]


def test_an_endpoint_whose_container_ends_fails_with_sagemakers_reason(
    sagemaker: SmallSageMaker, registry: Registry, pin: Pin
) -> None:
    sagemaker.variables = {"SHEARLING_WORKERS": "many"}
    with endpoints(sagemaker, registry) as made:
        with pytest.raises(BeingStagedError):
            made.require(str(pin), is_under_way=False)
        sagemaker.wait_until_no_endpoint_changes()
        with pytest.raises(ReleaseError, match="did not pass the ping health check"):
            made.require(str(pin), is_under_way=True)
    assert "SHEARLING_WORKERS is 'many'" in sagemaker.container(made.name(str(pin))).log


def test_an_endpoint_whose_container_is_never_ready_fails_after_its_time_to_start(
    sagemaker: SmallSageMaker, registry: Registry, pin: Pin
) -> None:
    sagemaker.startup_seconds = 1.5
    missing = f"{str(pin)[:-4]}0000"
    with endpoints(sagemaker, registry) as made:
        with pytest.raises(BeingStagedError):
            made.require(missing, is_under_way=False)
        sagemaker.wait_until_no_endpoint_changes()
        with pytest.raises(ReleaseError, match="did not pass the ping health check"):
            made.require(missing, is_under_way=True)


def test_what_sagemaker_refuses_is_tried_again_or_told_with_its_reason(
    sagemaker: SmallSageMaker, registry: Registry, pin: Pin
) -> None:
    sagemaker.refusals["CreateModel"] = [refusal("ThrottlingException", "Rate exceeded")]
    limit = "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances"
    sagemaker.refusals["CreateEndpoint"] = [refusal("ResourceLimitExceeded", limit)]
    with endpoints(sagemaker, registry) as made, pytest.raises(ReleaseError, match=limit):
        made.require(str(pin), is_under_way=False)
    assert sagemaker.calls.count("CreateModel") == 2
