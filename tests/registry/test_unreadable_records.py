"""Records that nobody but their writer can read, in a bucket whose policy lets them be created."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import shearling as sdk
from shearling.registry.record_reader import InvalidRecordError
from shearling.registry.registry import Registry
from tests.support.bundles import scaling_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from tests.embedded_aws import EmbeddedAws


@pytest.fixture(
    params=[
        {"StorageClass": "DEEP_ARCHIVE"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    ],
    ids=["archived", "customer key"],
)
def unreadable(request: pytest.FixtureRequest) -> dict[str, str]:
    options: dict[str, str] = request.param
    return options


def test_an_unreadable_version_stops_no_push(
    s3_uri: str, tmp_path: Path, embedded_aws: EmbeddedAws, unreadable: dict[str, Any]
) -> None:
    registry = Registry(s3_uri)
    scaling_bundle(tmp_path).publish(registry)
    put(embedded_aws, s3_uri, "models/fraud/versions/0000000002.json", unreadable)
    assert scaling_bundle(tmp_path, factor=3.0).publish(registry).pin.version == 3
    assert [version.pin.version for version in registry.versions("fraud")] == [1, 3]
    with pytest.raises(InvalidRecordError, match="is not a record: cannot read"):
        registry.version("fraud:2")


def test_an_unreadable_entry_freezes_no_alias(
    s3_uri: str, tmp_path: Path, embedded_aws: EmbeddedAws, unreadable: dict[str, Any]
) -> None:
    registry = Registry(s3_uri)
    for factor in (2.0, 3.0):
        scaling_bundle(tmp_path, factor=factor).publish(registry)
        sdk.set_alias("fraud", "prod", int(factor) - 1, registry=registry)
    put(embedded_aws, s3_uri, "models/fraud/aliases/prod/0000000003.json", unreadable)
    assert sdk.rollback("fraud", "prod", registry=registry).version == 1
    assert sdk.set_alias("fraud", "prod", 2, registry=registry).number == 5
    assert [entry.number for entry in registry.history("fraud", "prod")] == [1, 2, 4, 5]


def put(aws: EmbeddedAws, uri: str, name: str, options: dict[str, Any]) -> None:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    aws.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"{}", **options)
