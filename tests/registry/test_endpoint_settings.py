"""The endpoints that a deployment record asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shearling.bundle.json_reader import Field
from shearling.errors import BundleError
from shearling.registry.endpoint_settings import (
    EndpointSettings,
    Instances,
    Serverless,
    read_endpoint_settings,
)
from tests.support.releases import deploy, memory_registry

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE = "000000000000.dkr.ecr.eu-west-1.amazonaws.com/acme:1"
ROLE = "arn:aws:iam::000000000000:role/acme-fraud-endpoint"
GIVEN: dict[str, Any] = {"endpoint_prefix": "acme-fraud", "role_arn": ROLE, "image_uri": IMAGE}
INSTANCES = {"instance_type": "ml.m5.large", "instances": {"min": 1, "max": 4, "target": 600}}
ASYNCHRONOUS = {
    "instance_type": "ml.m5.large",
    "instances": {"min": 0, "max": 2, "target": 5},
    "calls_uri": "s3://acme-jobs/calls/",
}
SERVERLESS = {"serverless": {"memory_mb": 2048, "max_concurrency": 20}}


def _read(*parts: Mapping[str, Any]) -> EndpointSettings | None:
    return read_endpoint_settings(
        Field({key: value for part in parts for key, value in part.items()}, "sagemaker")
    )


def test_a_deployment_without_endpoints_has_no_settings() -> None:
    assert deploy(memory_registry()).sagemaker is None


def test_a_deployment_has_the_settings_of_its_endpoints() -> None:
    deployment = deploy(memory_registry(), sagemaker={**GIVEN, **INSTANCES})
    assert deployment.sagemaker == EndpointSettings(
        endpoint_prefix="acme-fraud",
        role_arn=ROLE,
        image_uri=IMAGE,
        instance_type="ml.m5.large",
        instances=Instances(min=1, max=4, target=600),
    )


def test_a_serverless_endpoint_has_memory_and_concurrency() -> None:
    read = _read(GIVEN, SERVERLESS)
    assert read
    assert read.serverless == Serverless(memory_mb=2048, max_concurrency=20)


def test_an_asynchronous_endpoint_has_a_folder_for_its_calls() -> None:
    read = _read(GIVEN, ASYNCHRONOUS)
    assert read
    assert read.instances == Instances(min=0, max=2, target=5)
    assert read.calls_uri == "s3://acme-jobs/calls"


def test_fields_of_later_versions_are_ignored() -> None:
    assert _read(GIVEN, SERVERLESS, {"later": 1}) == _read(GIVEN, SERVERLESS)


@pytest.mark.parametrize("field", [*GIVEN])
def test_a_required_field_is_named_if_it_is_missing(field: str) -> None:
    given = {key: value for key, value in GIVEN.items() if key != field}
    with pytest.raises(BundleError, match=rf"sagemaker\.{field}"):
        _read(given, SERVERLESS)


@pytest.mark.parametrize(
    "capacity",
    [
        {},
        {**INSTANCES, **SERVERLESS},
        {"instance_type": "ml.m5.large"},
        {"instances": INSTANCES["instances"]},
        {"instances": INSTANCES["instances"], **SERVERLESS},
        {"instance_type": "ml.m5.large", **SERVERLESS},
    ],
)
def test_instances_and_serverless_exclude_each_other(capacity: Mapping[str, Any]) -> None:
    with pytest.raises(BundleError, match="expected either"):
        _read(GIVEN, capacity)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"instances": {"min": 2, "max": 1, "target": 1}}, r"instances\.max"),
        ({"instances": {"min": 0, "max": 0, "target": 1}}, r"instances\.max"),
        ({"instances": {"min": 0, "max": 1, "target": 1}}, "calls_uri"),
        ({"calls_uri": "s3://acme-jobs/calls"}, "calls_uri"),
        ({"instances": {"min": -1, "max": 1, "target": 1}}, r"instances\.min"),
        ({"instances": {"min": 1, "max": 1, "target": 0}}, r"instances\.target"),
        ({"endpoint_prefix": "-acme"}, "endpoint_prefix"),
        ({"endpoint_prefix": "acme_fraud"}, "endpoint_prefix"),
        ({"endpoint_prefix": "a" * 55}, "endpoint_prefix"),
        ({"role_arn": ""}, "role_arn"),
        ({"keep_minutes": "30"}, "keep_minutes"),
        ({"environment": {"LEVEL": 1}}, r"environment\.LEVEL"),
        ({"tags": ["x"]}, "tags"),
        ({"subnet_ids": [""]}, r"subnet_ids\[0\]"),
    ],
)
def test_an_invalid_field_is_named(change: Mapping[str, Any], field: str) -> None:
    with pytest.raises(BundleError, match=rf"sagemaker\.{field}"):
        _read(GIVEN, INSTANCES, change)
