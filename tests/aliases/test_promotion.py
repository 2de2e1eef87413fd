"""A promotion that would break callers is refused, and so is an alias that nobody knows."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shearling.aliases.delete import delete_alias
from shearling.aliases.history import history
from shearling.aliases.rollback import rollback
from shearling.aliases.set_alias import compare_with_current, set_alias
from shearling.errors import (
    BreakingChangeError,
    ModelNotFoundError,
    RegistryError,
    ReleaseError,
)
from shearling.storage.blobs import blob_key
from shearling.tensors.spec import TensorSpec
from tests.support.bundles import scaling_bundle
from tests.support.releases import deploy, memory_registry, record

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry

X = TensorSpec(name="X", datatype="FP32", shape=(-1, 2))
WHOLE = replace(X, datatype="INT64")
STRICT = replace(X, nullable=False)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Versions 1 and 2 accept floats, 3 accepts integers, 4 no missing values."""
    registry = memory_registry(0)
    publish(registry, tmp_path, X, X, WHOLE, STRICT)
    return registry


def publish(registry: Registry, directory: Path, *inputs: TensorSpec, **details: Any) -> None:
    for number, spec in enumerate(inputs):
        bundle = scaling_bundle(directory, factor=2.0 + number)
        signature = replace(bundle.manifest.signature, inputs=(spec,))
        manifest = replace(bundle.manifest, signature=signature)
        registry.publish(manifest, bundle.files, details)


def named(registry: Registry) -> str:
    entry = registry.alias_entry("fraud", "prod")
    return entry.named if entry else ""


def test_a_version_that_breaks_callers_is_refused_with_what_breaks_them(
    registry: Registry,
) -> None:
    set_alias("fraud", "prod", 1, registry=registry)
    with pytest.raises(BreakingChangeError) as caught:
        set_alias("fraud", "prod", 3, registry=registry)
    change = "input 'X': FP32 -> INT64 (refuses values that INT64 does not have, such as 0.5)"
    assert str(caught.value).splitlines()[:3] == [
        "fraud:prod is not moved, because callers would break.",
        "Version 3 breaks callers of version 1:",
        f"  {change}",
    ]
    assert "shearling diff fraud:1 fraud:3" in str(caught.value)
    assert "allow_breaking=True" in str(caught.value)
    assert caught.value.changes == (change,)
    assert change in caught.value.reason
    assert isinstance(caught.value, ReleaseError)
    assert named(registry) == "1"


def test_a_version_that_breaks_callers_is_set_where_that_is_allowed(registry: Registry) -> None:
    set_alias("fraud", "prod", 1, registry=registry)
    set_alias("fraud", "prod", 3, allow_breaking=True, registry=registry)
    assert named(registry) == "3"


def test_a_version_with_the_same_contract_is_set(registry: Registry) -> None:
    for version in (1, 2, 2):
        set_alias("fraud", "prod", version, registry=registry)
    assert named(registry) == "2"


def test_a_first_entry_and_one_after_the_end_have_nothing_to_compare_with(
    registry: Registry,
) -> None:
    set_alias("fraud", "prod", 3, registry=registry)
    delete_alias("fraud", "prod", registry=registry)
    set_alias("fraud", "prod", 1, registry=registry)
    assert named(registry) == "1"


@pytest.mark.parametrize(
    ("current", "canary", "version", "new_canary"),
    [(1, None, 1, 3), (2, 3, 1, None), (3, 1, 3, None), (1, 4, 3, None)],
)
def test_a_canary_is_compared_on_both_sides(
    registry: Registry, current: int, canary: int | None, version: int, new_canary: int | None
) -> None:
    def share(number: int | None) -> dict[str, int] | None:
        return {"version": number, "percent": 50} if number else None

    registry.set_alias("fraud", "prod", current, canary=share(canary))
    with pytest.raises(BreakingChangeError, match="callers would break"):
        set_alias("fraud", "prod", version, canary=share(new_canary), registry=registry)
    assert named(registry).startswith(str(current))


def test_an_alias_that_moves_meanwhile_is_compared_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_alias("fraud", "prod", 3, registry=registry)
    log_class = type(registry.alias_log("fraud", "prod"))
    write = log_class._write

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.undo()
        registry.set_alias("fraud", "prod", 1)
        return write(*arguments)

    monkeypatch.setattr(log_class, "_write", overtaken)
    with pytest.raises(BreakingChangeError, match="version 1"):
        set_alias("fraud", "prod", 3, registry=registry)
    assert named(registry) == "1"


def test_after_a_failed_release_the_served_version_is_the_one_that_callers_know(
    registry: Registry,
) -> None:
    deployment = deploy(registry)
    set_alias("fraud", "prod", 1, registry=registry)
    record(registry, deployment, "prod", 1, 1)
    set_alias("fraud", "prod", 4, allow_breaking=True, registry=registry)
    record(registry, deployment, "prod", 2, 4, outcome="failed")
    with pytest.raises(BreakingChangeError, match="callers of version 1"):
        set_alias("fraud", "prod", 3, registry=registry)
    set_alias("fraud", "prod", 2, registry=registry)
    assert named(registry) == "2"


def test_a_bundle_that_cannot_be_read_does_not_keep_an_alias_on_it(registry: Registry) -> None:
    set_alias("fraud", "prod", 1, registry=registry)
    registry.store.write(blob_key(registry.resolve("fraud:1").hex), b"damaged")
    (comparison,) = compare_with_current("fraud", "prod", 3, registry=registry)
    assert "unknown, since the manifest of fraud:1" in str(comparison)
    set_alias("fraud", "prod", 3, registry=registry)
    assert named(registry) == "3"


def test_categories_that_an_older_push_did_not_record_are_unknown_and_not_refused(
    registry: Registry, tmp_path: Path
) -> None:
    known = replace(X, categories=((1.0, 2.0), None))
    registry = memory_registry(0)
    publish(registry, tmp_path, X, shearling="0.1.0")
    publish(registry, tmp_path, known, shearling="0.3.0", contract=2)
    set_alias("fraud", "prod", 1, registry=registry)
    set_alias("fraud", "prod", 2, registry=registry)
    assert named(registry) == "2"


def test_a_record_that_is_put_past_the_sdk_is_not_compared(registry: Registry) -> None:
    registry.set_alias("fraud", "prod", 1)
    registry.set_alias("fraud", "prod", 3)
    assert named(registry) == "3"


def test_a_rollback_tells_what_breaks_and_is_never_refused(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    set_alias("fraud", "prod", 1, registry=registry)
    set_alias("fraud", "prod", 3, allow_breaking=True, registry=registry)
    with caplog.at_level(logging.WARNING):
        rollback("fraud", "prod", registry=registry)
    assert named(registry) == "1"
    assert "contract of fraud:3 -> fraud:1:\n  breaking  input 'X': INT64 -> FP32" in caplog.text


def test_a_rollback_between_equal_contracts_says_nothing(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    for version in (1, 2):
        set_alias("fraud", "prod", version, registry=registry)
    rollback("fraud", "prod", registry=registry)
    assert caplog.text == ""


# Aliases that nobody knows


def test_without_a_function_the_next_steps_of_a_new_model_are_told(registry: Registry) -> None:
    deploy(registry, "acme-churn", model="churn", aliases=["prod"])
    with pytest.raises(
        ReleaseError,
        match=r"no function serves the model 'fraud'.*without an alias.*`shearling plan",
    ):
        set_alias("fraud", "prod", 2, registry=registry)


def test_an_alias_that_no_function_serves_and_that_was_never_set_is_refused(
    registry: Registry,
) -> None:
    deploy(registry, aliases=["prod", "staging"])
    with pytest.raises(
        ReleaseError, match=r"fraud:porduction was never set.*: prod, staging.*new=True"
    ):
        set_alias("fraud", "porduction", 2, registry=registry)
    assert registry.alias_entry("fraud", "porduction") is None


def test_a_new_alias_is_set_on_request_and_is_known_from_then_on(registry: Registry) -> None:
    deploy(registry)
    set_alias("fraud", "shadow", 1, new=True, registry=registry)
    set_alias("fraud", "shadow", 2, registry=registry)
    set_alias("fraud", "prod", 2, registry=registry)
    assert registry.resolve("fraud:shadow").version == 2


# One alias set to what another names


def test_an_alias_is_set_to_the_version_that_another_names(registry: Registry) -> None:
    set_alias("fraud", "staging", 2, registry=registry)
    assert set_alias("fraud", "prod", "staging", registry=registry).version == 2


@pytest.mark.parametrize("named", ["staging", "fraud:staging", "fraud:2"])
def test_a_canary_is_named_as_a_version_is(registry: Registry, named: str) -> None:
    set_alias("fraud", "staging", 2, registry=registry)
    canary = {"version": named, "percent": 5}
    entry = set_alias("fraud", "prod", 1, canary=canary, registry=registry)
    assert entry.canary == {"version": 2, "percent": 5}


def test_an_alias_with_a_canary_names_no_single_version(registry: Registry) -> None:
    set_alias("fraud", "staging", 1, canary={"version": 2, "percent": 5}, registry=registry)
    with pytest.raises(RegistryError, match=r"names two versions, 1 \(5 %: 2\)"):
        set_alias("fraud", "prod", "staging", registry=registry)
    with pytest.raises(ModelNotFoundError, match=r"no alias 'stagng'.*staging"):
        set_alias("fraud", "prod", "stagng", registry=registry)
    canary = {"version": "staging", "percent": 5}
    with pytest.raises(RegistryError, match="names two versions"):
        set_alias("fraud", "prod", 2, canary=canary, registry=registry)


# The end of an alias, and its history


def test_an_alias_is_deleted_and_a_rollback_restores_it(registry: Registry) -> None:
    set_alias("fraud", "porduction", 2, registry=registry)
    assert delete_alias("fraud", "porduction", reason="typo", registry=registry).version is None
    assert registry.aliases("fraud") == {}
    with pytest.raises(ModelNotFoundError, match=r"names no version.*`shearling rollback fraud p"):
        delete_alias("fraud", "porduction", registry=registry)
    assert rollback("fraud", "porduction", registry=registry).version == 2


def test_deleted_aliases_are_not_among_those_of_a_model(registry: Registry) -> None:
    for alias in ("green", "blue", "staging"):
        set_alias("fraud", alias, 1, new=True, registry=registry)
    delete_alias("fraud", "staging", registry=registry)
    for ref in ("fraud:staging", "fraud:stagin"):
        with pytest.raises(ModelNotFoundError, match=r"aliases: blue, green$"):
            registry.resolve(ref)


def test_an_alias_that_a_function_serves_is_not_deleted(registry: Registry) -> None:
    set_alias("fraud", "prod", 1, registry=registry)
    deploy(registry)
    with pytest.raises(ReleaseError, match=r"served by acme-fraud: remove .*terraform apply"):
        delete_alias("fraud", "prod", registry=registry)
    assert named(registry) == "1"


def test_the_history_has_the_last_outcome_of_each_entry_on_each_function(
    registry: Registry,
) -> None:
    for version in (1, 2, 2, 1):
        set_alias("fraud", "prod", version, registry=registry)
    one = deploy(registry)
    two = deploy(registry, "eu-fraud")
    record(registry, one, "prod", 1, 1)
    record(registry, one, "prod", 2, 2, outcome="failed", reason="too slow")
    record(registry, one, "prod", 2, 2)
    record(registry, two, "prod", 2, 2, outcome="failed", reason="raise memory_mb")
    past = [(it.entry.number, it.outcomes, it.reasons) for it in history(registry, "fraud", "prod")]
    assert past == [
        (4, {"acme-fraud": "pending", "eu-fraud": "pending"}, {}),
        (3, {"acme-fraud": "not released", "eu-fraud": "not released"}, {}),
        (
            2,
            {"acme-fraud": "released", "eu-fraud": "failed"},
            {"eu-fraud": "raise memory_mb"},
        ),
        (1, {"acme-fraud": "released", "eu-fraud": "not released"}, {}),
    ]
