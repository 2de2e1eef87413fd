"""Fixtures that several test modules share."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from shearling.registry.registry import Registry
from tests.embedded_aws import FOREIGN, EmbeddedAws
from tests.support.attack import attack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A busy machine is slow, which is no failure of what is tested.
# CI tries the same examples each time: what it says of a change must not depend on luck.
settings.register_profile(
    "shearling",
    max_examples=attack(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize="CI" in os.environ,
)
settings.load_profile("shearling")


# A push measures in a process of its own, which takes a second; the tests of that ask for it.
os.environ.setdefault("SHEARLING_MEASURE", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that none of them ends long after the rest."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def embedded_aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as running:
        yield running


@pytest.fixture(scope="module")
def bucket(embedded_aws: EmbeddedAws, request: pytest.FixtureRequest) -> str:
    """A bucket of the test module's own."""
    name: str = request.module.__name__.removeprefix("tests.").replace(".", "-").replace("_", "-")
    client = embedded_aws.client("s3")
    location = {"LocationConstraint": client.meta.region_name}
    client.create_bucket(Bucket=name, CreateBucketConfiguration=location)
    client.close()
    return name


@pytest.fixture
def aws_environment(embedded_aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let this process use the embedded AWS, and no other."""
    for variable in FOREIGN:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    for variable, value in embedded_aws.environment().items():
        monkeypatch.setenv(variable, value)
    return embedded_aws.environment()


@pytest.fixture
def s3_uri(bucket: str, aws_environment: dict[str, str]) -> str:
    """An empty registry in S3."""
    assert aws_environment
    return f"s3://{bucket}/{uuid.uuid4().hex}"


@pytest.fixture(params=["memory", "directory", "s3"])
def registry_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry in each kind of store."""
    match request.param:
        case "memory":
            return f"memory://{uuid.uuid4().hex}"
        case "directory":
            return str(tmp_path / "registry")
        case _:
            uri: str = request.getfixturevalue("s3_uri")
            return uri


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's own cache is not what is tested."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def registry(cache: Path) -> Registry:
    """An empty registry in memory; what is loaded from it goes to a cache of the test's own."""
    assert not cache.exists()
    return Registry(f"memory://{uuid.uuid4().hex}")
