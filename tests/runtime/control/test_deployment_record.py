"""Records of deployments in a bucket of another region, which the releaser writes for Terraform."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from shearling.errors import ReleaseError
from shearling.registry.registry import REGISTRY_VARIABLE, Registry
from shearling_runtime.control import releaser
from tests.runtime.control.test_releaser import Context

if TYPE_CHECKING:
    from pathlib import Path

KEY = "deployments/000000000000-eu-west-1-acme-fraud-0a1b2c3d.json"
RECORD = {
    "account": "000000000000",
    "aliases": ["prod"],
    "api_url": None,
    "function": "acme-fraud",
    "model": "fraud",
    "region": "eu-west-1",
    "releaser": "acme_releaser",
    "runtime": "python3.13",
}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv(REGISTRY_VARIABLE, str(tmp_path / "registry"))
    return Registry(str(tmp_path / "registry"))


def apply(action: str, key: str = KEY, previous: dict[str, Any] | None = None) -> None:
    terraform = {"action": action, "prev_input": previous}
    event = {"shearling": "deployment", "key": key, "record": RECORD, "tf": terraform}
    assert releaser.handler(event, Context()) == {}


def test_a_deployment_is_found_until_terraform_deletes_it(registry: Registry) -> None:
    apply("create")
    (deployment,) = registry.release_log.deployments("fraud")
    assert (deployment.function, deployment.region) == ("acme-fraud", "eu-west-1")
    apply("delete")
    assert registry.release_log.deployments("fraud") == []
    apply("delete")  # again, after an apply that was interrupted


def test_an_update_under_another_key_deletes_the_earlier_record(registry: Registry) -> None:
    apply("create")
    key = KEY.replace("0a1b2c3d", "99999999")
    apply("update", key, {"key": KEY})
    assert registry.store.names("deployments") == [key.removeprefix("deployments/")]
    assert json.loads(registry.store.read(key) or b"") == RECORD


@pytest.mark.parametrize(
    "key", ["models/fraud/versions/0000000001.json", "deployments/../models/x.json", "", None]
)
def test_nothing_but_records_of_deployments_is_written(registry: Registry, key: Any) -> None:
    with pytest.raises(ReleaseError, match="is not the key of a deployment record"):
        apply("create", key)
    assert registry.store.names("models") == []
