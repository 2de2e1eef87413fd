"""A release through boto3 on the embedded AWS: real requests, answers and refusals."""

from __future__ import annotations

import io
import uuid
import zipfile
from typing import TYPE_CHECKING

import pytest

from shearling.lambda_api import lambda_client
from shearling.release.reconcile import release_alias
from shearling.release.trigger import Trigger
from tests.support.packages import function_python
from tests.support.releases import deploy, memory_registry, pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_lambda import LambdaClient

_SOURCE = """
import os
def handler(event, context):
    model = os.environ.get("SHEARLING_MODEL")
    if event.get("shearling") == "check":
        passed = ":3@" not in model
        return {"shearling": "check", "model": model, "passed": passed, "reason": "three is bad"}
    return {"model": model}
"""


@pytest.fixture
def client(aws_environment: dict[str, str]) -> Iterator[LambdaClient]:
    client = lambda_client(aws_environment["AWS_REGION"])
    yield client
    client.close()


@pytest.fixture
def function(client: LambdaClient) -> str:
    name = f"acme-{uuid.uuid4().hex[:8]}"
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("function.py", _SOURCE)
    client.create_function(
        FunctionName=name,
        Runtime=f"python{function_python()}",  # type: ignore[arg-type]
        Role="arn:aws:iam::000000000000:role/any",
        Handler="function.handler",
        Code={"ZipFile": package.getvalue()},
        Environment={"Variables": {"COLOUR": "blue"}},
        Publish=True,
    )
    client.create_alias(FunctionName=name, Name="prod", FunctionVersion="1")
    return name


def test_an_alias_is_released_left_alone_refused_and_brought_back(
    client: LambdaClient, function: str
) -> None:
    registry = memory_registry()
    deployment = deploy(registry, function, aliases=["prod"])

    def shown() -> str:
        answer = client.invoke(FunctionName=function, Qualifier="prod", Payload=b"{}")
        return answer["Payload"].read().decode()

    assert release_alias(client, registry, deployment, "prod").outcome == "unchanged"
    for version, outcome, serves in ((1, "released", 1), (2, "released", 2), (3, "failed", 2)):
        registry.set_alias("fraud", "prod", version)
        released = release_alias(client, registry, deployment, "prod")
        assert (released.outcome, released.reason) == (
            outcome,
            "" if outcome == "released" else "the model did not pass its check: three is bad",
        )
        assert pin(serves) in shown()
    assert (
        release_alias(client, registry, deployment, "prod", trigger=Trigger.SCHEDULE).outcome
        == "failed"
    )
    registry.set_alias("fraud", "prod", 1)
    assert release_alias(client, registry, deployment, "prod").lambda_version == "2"
    assert release_alias(client, registry, deployment, "prod").outcome == "unchanged"
    assert pin(1) in shown()
    variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    assert variables["COLOUR"] == "blue"
    moved = memory_registry()
    elsewhere = deploy(moved, function, aliases=["prod"])
    refused = release_alias(client, moved, elsewhere, "prod")
    assert refused.outcome == "failed"
    assert registry.store.uri in refused.reason
    assert moved.store.uri in refused.reason
    assert pin(1) in shown()
    assert "no alias 'beta'" in release_alias(client, registry, deployment, "beta").reason
