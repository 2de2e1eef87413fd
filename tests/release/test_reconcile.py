from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from shearling.lambda_api import lambda_client
from shearling.release.trigger import Trigger
from shearling.storage.store import Store
from tests.support.fake_lambda import PIN, passing
from tests.support.releases import Stage, deploy, memory_registry, pin


@pytest.fixture
def stage() -> Stage:
    return Stage()


# Desired state


def test_an_alias_serves_what_the_registry_names(stage: Stage) -> None:
    entry = stage.name(2)
    outcome = stage.release()
    assert stage.fake.shown("prod") == pin(2)
    assert (outcome.outcome, outcome.version, outcome.lambda_version) == ("released", 2, "2")
    [record] = stage.records()
    assert (record.outcome, record.entry, record.version) == ("released", entry, 2)
    assert (record.lambda_version, record.code_sha256) == ("2", "code-1")
    assert set(record.timings) >= {"publish", "check", "move"}
    assert stage.fake.checked == ["2"]


def test_every_alias_keeps_its_own_model(stage: Stage) -> None:
    stage.name(1)
    stage.name(2, "staging")
    stage.release("prod")
    stage.release("staging")
    assert (stage.fake.shown("prod"), stage.fake.shown("staging")) == (pin(1), pin(2))


def test_a_release_of_an_up_to_date_alias_writes_and_changes_nothing(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    calls = len(stage.fake.calls)
    outcome = stage.release()
    assert outcome.outcome == "unchanged"
    assert len(stage.records()) == 1
    writes = {"UpdateAlias", "PublishVersion", "UpdateFunctionConfiguration", "Invoke"}
    assert not writes & set(stage.fake.calls[calls:])


def test_an_entry_that_names_what_is_served_already_gets_its_record(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    again = stage.name(2)
    assert stage.release().outcome == "released"
    assert [record.entry for record in stage.records()] == [1, again]
    assert stage.fake.checked == ["2"]


def test_a_move_whose_answer_and_record_were_lost_is_recorded_by_the_next_release(
    stage: Stage,
) -> None:
    stage.name(2)
    stage.release()
    stage.name(3)
    stage.die_before_the_record()
    assert stage.fake.shown("prod") == pin(3)
    stage.release()
    assert stage.records()[-1].version == 3


def test_a_record_that_the_store_refuses_is_not_a_failure_of_the_entry(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.name(2)
    refusals, create = [False] * 20, Store.create
    monkeypatch.setattr(Store, "create", lambda *it: refusals.pop() if refusals else create(*it))
    assert "attempts although the key does not exist" in stage.release().reason
    assert (stage.fake.shown("prod"), stage.records()) == (pin(2), [])
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"
    assert stage.fake.checked == ["2", "2"]


def test_an_alias_that_the_registry_does_not_name_serves_no_model_and_has_no_record(
    stage: Stage,
) -> None:
    outcome = stage.release()
    assert (outcome.outcome, outcome.version) == ("unchanged", None)
    assert stage.fake.shown("prod") == ""
    assert stage.records() == []
    assert stage.fake.checked == []


def test_a_new_alias_that_terraform_created_at_another_alias_s_version_is_emptied(
    stage: Stage,
) -> None:
    stage.name(2)
    stage.release()
    stage.fake.create_alias("staging", "2")
    outcome = stage.release("staging")
    assert (outcome.outcome, outcome.version) == ("released", None)
    assert stage.fake.shown("staging") == ""
    assert stage.fake.shown("prod") == pin(2)


def test_without_a_model_new_code_is_served_without_the_pin_that_latest_still_has(
    stage: Stage,
) -> None:
    stage.name(2)
    stage.release("prod")
    stage.change_code("code-2")
    stage.fake.publish_version()
    stage.release("staging")
    served = stage.fake.functions[stage.fake.aliases["staging"]["FunctionVersion"]]
    assert served["CodeSha256"] == "code-2"
    assert PIN not in served["Environment"]["Variables"]


def test_an_alias_s_version_that_does_not_exist_is_a_recorded_failure(stage: Stage) -> None:
    stage.name(3)
    registry = memory_registry(2, store=None)
    stage.registry = registry
    stage.deployment = deploy(registry)
    registry.set_alias("fraud", "prod", 2)
    registry.store.write(
        "models/fraud/aliases/prod/0000000002.json",
        b'{"id":"x","created":"2026-01-01T00:00:00+00:00","version":9,"canary":null,"reason":""}',
    )
    assert "no version 9" in stage.release().reason
    assert stage.records()[-1].outcome == "failed"


# Canaries


def test_a_canary_gets_its_share_and_both_versions_are_checked(stage: Stage) -> None:
    stage.name(1)
    stage.release()
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.release()
    assert stage.fake.shown("prod") == pin(1)
    [(number, share)] = stage.fake.weights("prod").items()
    assert (stage.fake.pin(number), share) == (pin(2), 0.1)
    assert stage.fake.checked == ["2", "3"]
    assert stage.release().outcome == "unchanged"


def test_a_canary_that_is_promoted_or_dropped_leaves_no_weights(stage: Stage) -> None:
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.release()
    stage.name(2)
    stage.release()
    assert (stage.fake.shown("prod"), stage.fake.weights("prod")) == (pin(2), {})


def test_a_canary_that_fails_its_check_leaves_the_alias_as_it_was(stage: Stage) -> None:
    stage.name(1)
    stage.release()
    stage.fake.check = lambda it: {
        **passing(it),
        "passed": it["Environment"]["Variables"][PIN] != pin(2),
    }
    stage.name(1, canary={"version": 2, "percent": 10})
    assert stage.release().outcome == "failed"
    assert (stage.fake.shown("prod"), stage.fake.weights("prod")) == (pin(1), {})


# Reusing and publishing versions


def test_going_back_uses_the_published_version_again(stage: Stage) -> None:
    for version in (1, 2):
        stage.name(version)
        stage.release()
    calls = len(stage.fake.calls)
    stage.name(1)
    assert stage.release().lambda_version == "2"
    assert "PublishVersion" not in stage.fake.calls[calls:]


def test_two_aliases_of_one_model_version_share_a_lambda_version(stage: Stage) -> None:
    for alias in ("prod", "staging"):
        stage.name(2, alias)
        stage.release(alias)
    assert stage.fake.published == ["1", "2"]


def test_new_code_keeps_every_alias_s_model(stage: Stage) -> None:
    for alias, version in (("prod", 1), ("staging", 2)):
        stage.name(version, alias)
        stage.release(alias)
    stage.change_code("code-2")
    stage.fake.publish_version()
    for alias, version in (("prod", 1), ("staging", 2)):
        assert stage.release(alias).outcome == "released"
        served = stage.fake.functions[stage.fake.aliases[alias]["FunctionVersion"]]
        assert served["CodeSha256"] == "code-2"
        assert stage.fake.shown(alias) == pin(version)


@pytest.mark.parametrize(
    "changes",
    [
        {"MemorySize": 1024},
        {"Timeout": 60},
        {"SnapStart": {"ApplyOn": "PublishedVersions"}},
        {"Environment": {"Variables": {"SHEARLING_REGISTRY": "memory://y"}}},
        {"SomethingThatLambdaLearnsTomorrow": "on"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_changed_configuration_makes_a_new_version(stage: Stage, changes: Any) -> None:
    stage.name(2)
    stage.release()
    stage.change_latest(**changes)
    assert stage.release().lambda_version == "3"
    assert stage.release().outcome == "unchanged"


@pytest.mark.parametrize(
    "changes",
    [{"Description": "new words"}, {"RuntimeVersionConfig": {"RuntimeVersionArn": "patched"}}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_change_that_nobody_configured_makes_no_new_version(stage: Stage, changes: Any) -> None:
    stage.name(2)
    stage.release()
    stage.change_latest(**changes)
    assert stage.release().outcome == "unchanged"


def test_the_other_variables_of_the_function_are_kept(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    variables = stage.fake.latest["Environment"]["Variables"]
    assert variables == {"SHEARLING_REGISTRY": "memory://x", PIN: pin(2)}


def test_all_pages_of_versions_and_aliases_are_read(stage: Stage) -> None:
    stage.fake.page_size = 1
    for version in (1, 2, 3, 1):
        stage.name(version)
        stage.release()
    assert stage.fake.published == ["1", "2", "3", "4"]


def test_a_version_that_cannot_start_is_a_failure_with_lambda_s_reason(stage: Stage) -> None:
    stage.name(2)
    stage.fake.settle = 0
    stage.fake.before = lambda name: (
        stage.fake.functions["2"].update(State="Failed", StateReason="the subnet is gone")
        if name == "GetFunctionConfiguration" and "2" in stage.fake.functions
        else None
    )
    assert "the subnet is gone" in stage.release().reason
    assert stage.fake.shown("prod") == ""


def test_a_function_whose_update_failed_is_not_published(stage: Stage) -> None:
    stage.name(2)

    def break_latest(name: str) -> None:
        if name == "GetFunctionConfiguration":
            stage.fake.latest.update(LastUpdateStatus="Failed", LastUpdateStatusReason="no KMS")

    stage.fake.settle = 0
    stage.fake.before = break_latest
    assert "no KMS" in stage.release().reason
    assert "PublishVersion" not in stage.fake.calls


def test_variables_that_cannot_be_read_are_never_written_back(stage: Stage) -> None:
    stage.name(2)
    error = {"ErrorCode": "AccessDeniedException", "Message": "no kms:Decrypt"}
    stage.fake.latest["Environment"] = {"Error": error}
    outcome = stage.release()
    assert outcome.outcome == "failed"
    assert "kms:Decrypt" in outcome.reason
    assert "UpdateFunctionConfiguration" not in stage.fake.calls
    assert "PublishVersion" not in stage.fake.calls
    stage.release(trigger=Trigger.SCHEDULE)
    assert len(stage.records()) == 1


# The client


def test_the_client_waits_longer_than_a_function_runs_and_never_retries() -> None:
    config: Any = lambda_client("eu-west-1").meta.config
    assert config.read_timeout > 900
    assert config.retries["total_max_attempts"] == 1


def test_boto3_is_not_imported_with_the_module() -> None:
    program = "import shearling.release.reconcile, sys; print(sorted(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert "shearling.release.reconcile" in answer.stdout
    assert "'boto3'" not in answer.stdout
    assert "'botocore'" not in answer.stdout
