"""Which releases run a check again, and rollbacks while no check can pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shearling.aliases.rollback import rollback
from shearling.bundle.canonical_json import canonical_json
from shearling.release.alias_state import AliasSnapshot
from shearling.release.lambda_function import LambdaAlias
from shearling.release.verdicts import wrong_versions
from shearling.storage.store import Store
from tests.support.fake_lambda import PIN, passing, refusal
from tests.support.releases import Stage, pin

if TYPE_CHECKING:
    from collections.abc import Callable

NO_CONCURRENCY = refusal("TooManyRequestsException", "ReservedFunctionConcurrentInvocationLimit")


@pytest.fixture
def stage() -> Stage:
    """Versions 1 and 2 were released in this order."""
    stage = Stage()
    for version in (1, 2):
        stage.name(version)
        stage.release()
    return stage


def roll_back(stage: Stage, **options: Any) -> str:
    rollback("fraud", "prod", registry=stage.registry, **options)
    return stage.release().outcome


def allow_no_invocation(stage: Stage) -> None:
    stage.fake.refusals["Invoke"] = [NO_CONCURRENCY] * 10_000


def crash(_: dict[str, Any]) -> dict[str, Any]:
    return {"errorMessage": "RequestId: 1 Error: Runtime exited with error: signal: killed"}


@pytest.mark.parametrize(
    "prevent",
    [allow_no_invocation, lambda stage: setattr(stage.fake, "check", crash)],
    ids=["no concurrency", "crash"],
)
def test_a_rollback_needs_no_check_of_what_was_released_before(
    stage: Stage, prevent: Callable[[Stage], object]
) -> None:
    prevent(stage)
    checks = len(stage.fake.checked)
    assert roll_back(stage) == "released"
    assert (stage.fake.shown("prod"), len(stage.fake.checked)) == (pin(1), checks)


def test_a_version_that_was_never_released_is_checked(stage: Stage) -> None:
    stage.name(3)
    stage.fake.check = crash
    assert stage.release().outcome == "failed"
    assert stage.fake.shown("prod") == pin(2)


def test_a_new_version_is_checked_without_reading_the_releases_before_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2) * 15:
        stage.name(version)
        stage.release()
    stage.name(3)
    keys = []
    read = Store.read

    def recorded(store: Store, key: str, **options: Any) -> bytes | None:
        keys.append(key)
        return read(store, key, **options)

    monkeypatch.setattr(Store, "read", recorded)
    assert stage.release().outcome == "released"
    assert len([key for key in keys if key.startswith("releases/")]) == 1


@pytest.mark.parametrize("change", [{"CodeSha256": "code-2"}, {"MemorySize": 1024}], ids=str)
def test_under_another_code_or_configuration_it_is_checked(
    stage: Stage, change: dict[str, Any]
) -> None:
    stage.change_latest(**change)
    stage.fake.check = crash
    assert roll_back(stage) == "failed"
    assert stage.fake.shown("prod") == pin(2)


def test_a_version_that_failed_a_later_check_needs_a_check_that_passes(stage: Stage) -> None:
    stage.change_code("code-2")
    stage.release()
    stage.name(3)
    stage.release()
    served = stage.fake.aliases["prod"]["FunctionVersion"]
    stage.judge_wrong("prod", 2)
    stage.name(2)
    stage.fake.check = crash
    assert stage.release().outcome == "failed"
    assert stage.fake.aliases["prod"]["FunctionVersion"] == served
    stage.fake.check = passing
    stage.name(2)
    assert stage.release().outcome == "released"


def test_a_version_that_failed_on_another_alias_of_the_function_is_checked(stage: Stage) -> None:
    stage.judge_wrong("staging", 1)
    stage.fake.check = crash
    assert roll_back(stage) == "failed"
    assert stage.fake.shown("prod") == pin(2)


def record_as_version_0_1(stage: Stage, entry: int, version: int) -> None:
    """Record a release of a Lambda version without saying which versions failed."""
    number = next(it for it in stage.fake.published if stage.fake.pin(it) == pin(version))
    record = {
        "id": str(entry),
        "created": "2026-01-01T00:00:00+00:00",
        "entry": entry,
        "version": version,
        "outcome": "released",
        "lambda_version": number,
    }
    key = f"releases/{stage.deployment.key}/prod/{entry:010d}.json"
    assert stage.registry.store.create(key, canonical_json(record))


def test_a_release_of_an_earlier_releaser_proves_nothing() -> None:
    stage = Stage()
    for version in (1, 2):
        stage.name(version, "staging")
        stage.release("staging")
        record_as_version_0_1(stage, stage.name(version), version)
    stage.name(3)
    stage.release()
    stage.fake.check = crash
    stage.name(1)
    assert stage.release().outcome == "failed"


def test_a_release_before_those_of_an_earlier_releaser_proves_nothing(stage: Stage) -> None:
    record_as_version_0_1(stage, stage.name(2), 2)
    stage.fake.check = crash
    stage.name(1)
    assert stage.release().outcome == "failed"


def test_a_record_names_the_newest_hundred_versions_that_failed() -> None:
    snapshot = AliasSnapshot(1, None, LambdaAlias("1", {}, "revision"), None, None)
    found = wrong_versions(snapshot, map(str, range(1, 151)), passed=["150"])
    assert found == tuple(map(str, range(50, 150)))


# --force


def test_a_forced_rollback_runs_no_check_under_new_code(stage: Stage) -> None:
    stage.change_code("code-2")
    allow_no_invocation(stage)
    assert roll_back(stage, force=True) == "released"
    assert stage.fake.shown("prod") == pin(1)
    assert stage.release().outcome == "unchanged"


def test_a_failed_rollback_can_be_forced(stage: Stage) -> None:
    stage.change_code("code-2")
    stage.fake.check = crash
    assert roll_back(stage) == "failed"
    assert roll_back(stage, force=True) == "released"
    assert stage.fake.shown("prod") == pin(1)


def test_what_was_judged_wrong_can_be_forced_and_stays(stage: Stage) -> None:
    stage.judge_wrong("prod", 1)
    stage.fake.check = crash
    assert roll_back(stage, force=True) == "released"
    assert stage.release().outcome == "unchanged"
    assert stage.fake.shown("prod") == pin(1)


def test_later_code_is_checked_after_a_forced_rollback(stage: Stage) -> None:
    assert roll_back(stage, force=True) == "released"
    stage.change_code("code-2")
    stage.fake.check = crash
    assert stage.release().outcome == "failed"
    served = stage.fake.functions[stage.fake.aliases["prod"]["FunctionVersion"]]
    assert (served["CodeSha256"], stage.fake.shown("prod")) == ("code-1", pin(1))


def test_a_model_that_was_never_released_cannot_be_forced(stage: Stage) -> None:
    current = stage.registry.alias_entry("fraud", "prod")
    assert current
    assert stage.registry.replace_entry(current, 3, "by hand", force=True)
    stage.fake.check = lambda it: {
        **passing(it),
        "passed": it["Environment"]["Variables"][PIN] != pin(3),
    }
    assert stage.release().outcome == "failed"
    assert stage.fake.shown("prod") == pin(2)
