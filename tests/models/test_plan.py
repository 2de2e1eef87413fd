"""What a function needs is estimated from the bundle, and written as Terraform."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import hcl2
import pytest

from shearling.bundle.digests import Descriptor
from shearling.bundle.manifest import Environment
from shearling.errors import InvalidRefError, ModelNotFoundError, PackageError
from shearling.models.plan import Plan, plan, terraform_models, undeployed_by
from shearling.registry.registry import Registry
from tests.support.bundles import scaling_bundle
from tests.support.releases import deploy

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle.manifest import Manifest

MIB = 2**20


@pytest.fixture
def registry() -> Registry:
    return Registry(f"memory://{uuid.uuid4().hex}")


def planned(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    manifest: Manifest,
    *,
    weights_mb: int = 0,
    **changes: Any,
) -> Plan:
    """Plan a bundle whose weights are larger than any test would write."""
    weights = Descriptor(path="a" * 64, digest=f"sha256:{'a' * 64}", size=weights_mb * MIB)
    large = replace(manifest, files=(*manifest.files, weights), **changes)
    monkeypatch.setattr(Registry, "manifest", lambda *_: large)
    return plan(manifest.model, registry=registry)


@pytest.fixture
def manifest(registry: Registry, tmp_path: Path) -> Manifest:
    bundle = scaling_bundle(tmp_path)
    bundle.publish(registry)
    return bundle.manifest


def test_a_small_model_needs_the_defaults(registry: Registry, manifest: Manifest) -> None:
    found = plan(manifest.model, registry=registry)
    assert found.settings == {"memory_mb": "1024", "aliases": "{ prod = {} }"}


def test_packed_weights_are_in_memory_twice(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(registry, monkeypatch, manifest, weights_mb=1000)
    assert found.memory_mb == 2304  # 256 + 2 * 1001, in steps of 256
    assert found.settings["ephemeral_storage_mb"] == str(1001 + 64)


def test_mapped_weights_need_no_memory(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**manifest.options, "prepack": False}
    found = planned(registry, monkeypatch, manifest, weights_mb=4000, options=options)
    assert found.memory_mb == 1024


def test_a_bundle_larger_than_tmp_gets_a_file_system(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(registry, monkeypatch, manifest, weights_mb=10_240)
    assert found.settings["file_system"] == "{}"
    assert "ephemeral_storage_mb" not in found.settings
    assert "set `vpc` too" in str(found)


def test_a_model_that_fits_no_function_has_the_remedy(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = planned(registry, monkeypatch, manifest, weights_mb=6000)
    assert found.memory_mb == 10_240
    assert 'load="latency"' in found.reasons["memory_mb"]


def test_a_pickle_is_allowed_and_has_its_own_package_and_python(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(python="3.12", requirements=("scikit-learn==1.7.0",))
    found = planned(registry, monkeypatch, manifest, format="cloudpickle", environment=environment)
    assert found.settings["allow_pickle"] == "true"
    assert found.settings["package"] == '"build/fraud.zip"'
    assert found.settings["python"] == '"3.12"'
    assert "shearling package runtime --for fraud:1" in str(found)


def test_a_pickle_of_a_python_that_aws_does_not_have_is_refused(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(python="3.11", requirements=())
    with pytest.raises(
        PackageError, match=r"no function on AWS.*fraud:1.*from Python 3\.12 or new"
    ):
        planned(registry, monkeypatch, manifest, format="cloudpickle", environment=environment)


def test_values_are_those_of_json(
    registry: Registry, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(python="3.12", requirements=())
    changes = {"format": "cloudpickle", "environment": environment}
    found = planned(registry, monkeypatch, manifest, weights_mb=10_240, **changes)
    assert found.values == {
        "memory_mb": 10_240,
        "file_system": {},
        "allow_pickle": True,
        "package": "build/fraud.zip",
        "python": "3.12",
        "aliases": {"prod": {}},
    }


def test_aliases_may_be_given_and_several_have_a_default(
    registry: Registry, manifest: Manifest
) -> None:
    registry.set_alias(manifest.model, "blue", 1)
    for aliases, default in ((["staging", "prod", "prod"], "prod"), (["b", "a"], "b")):
        found = plan(manifest.model, aliases=aliases, registry=registry)
        assert found.aliases == tuple(dict.fromkeys(aliases))
        assert found.values["default_alias"] == default
    assert "default_alias" not in plan(manifest.model, aliases=["dev"], registry=registry).values
    with pytest.raises(InvalidRefError, match="'Prod'"):
        plan(manifest.model, aliases=["Prod"], registry=registry)


def test_models_with_a_function_that_are_not_planned_are_told(
    registry: Registry, manifest: Manifest
) -> None:
    for model in ("fraud", "embed", "churn"):
        deploy(registry, f"acme-{model}", model=model)
    assert undeployed_by([plan(manifest.model, registry=registry)], registry=registry) == [
        "churn",
        "embed",
    ]


def test_aliases_are_those_of_the_registry_with_one_as_default(
    registry: Registry, manifest: Manifest
) -> None:
    for alias in ("blue", "green"):
        registry.set_alias(manifest.model, alias, 1)
    found = plan(manifest.model, registry=registry)
    assert found.settings["aliases"] == "{ blue = {}, green = {} }"
    assert found.settings["default_alias"] == '"blue"'


def test_the_terraform_is_valid_and_has_every_model(registry: Registry, manifest: Manifest) -> None:
    first = plan(manifest.model, registry=registry)
    second = replace(first, pin=replace(first.pin, model="2nd-model"), tmp_mb=None)
    parsed = hcl2.loads(terraform_models([first, second]) + "\n")["models"]
    assert [name.strip('"') for name in parsed] == ["fraud", "2nd-model"]
    assert parsed["fraud"]["memory_mb"] == 1024


def test_an_unknown_model_is_refused(registry: Registry) -> None:
    with pytest.raises(ModelNotFoundError, match="absent"):
        plan("absent", registry=registry)
