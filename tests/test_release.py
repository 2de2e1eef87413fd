from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from shearling.errors import ReleaseError
from shearling.function import Function, lambda_client
from shearling.release import Outcome, release_alias
from tests.fake_lambda import PIN, FakeLambda, passing, refusal
from tests.releases import deploy, memory_registry, pin

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.registry import Deployment, Registry, Release


@dataclass
class Stage:
    """A function with the aliases prod and staging, as Terraform leaves it."""

    fake: FakeLambda = field(default_factory=lambda: FakeLambda(settle=2))
    registry: Registry = field(default_factory=memory_registry)

    def __post_init__(self) -> None:
        self.deployment: Deployment = deploy(self.registry)
        self.fake.publish_version()
        self.fake.functions["1"]["State"] = "Active"
        self.fake.create_alias("prod", "1")
        self.fake.create_alias("staging", "1")

    def name(self, version: int, alias: str = "prod", **more: Any) -> int:
        return self.registry.set_alias("fraud", alias, version, **more).number

    def release(self, alias: str = "prod", **more: Any) -> Outcome:
        clock = self.fake.time.clock
        more = {"clock": clock, **more}
        return release_alias(self.fake.client, self.registry, self.deployment, alias, **more)

    def records(self, alias: str = "prod") -> list[Release]:
        return self.registry.releases(self.deployment, alias)

    def change_latest(self, **changes: Any) -> None:
        """Change the function as Terraform does, without publishing."""
        self.fake.settle, settle = 0, self.fake.settle
        self.fake.update_function_configuration(changes, None)
        self.fake.settle = settle

    def change_code(self, code_sha256: str) -> None:
        self.fake.latest["CodeSha256"] = code_sha256
        self.change_latest()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def failing(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda configuration: {**passing(configuration), **changes}


def once(operation: str, action: Callable[[], object]) -> Callable[[str], None]:
    """Do something just before the first call of an operation."""
    todo = [action]

    def before(name: str) -> None:
        if name == operation and todo:
            todo.pop()()

    return before


# The wish


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


def test_a_release_that_finds_all_in_order_writes_and_changes_nothing(stage: Stage) -> None:
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(stage.registry), "record_release", _die)
        with pytest.raises(KeyboardInterrupt):
            stage.release()
    assert stage.fake.shown("prod") == pin(3)
    stage.release()
    assert stage.records()[-1].version == 3


def _die(*_: object) -> None:
    raise KeyboardInterrupt


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


# Versions: used again, or published


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
def test_what_nobody_configured_makes_no_new_version(stage: Stage, changes: Any) -> None:
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


def test_what_could_not_be_updated_is_not_published(stage: Stage) -> None:
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
    stage.release(sweep=True)
    assert len(stage.records()) == 1


# The gate


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"passed": False, "reason": "output differs"}, "output differs"),
        ({"passed": False, "worst_difference": "0.5"}, r"differ.*0\.5"),
        ({"passed": "yes"}, "did not pass"),
        ({"model": pin(3)}, "loaded 'fraud:3"),
        ({"model": None}, "loaded None"),
        ({"peak_memory_mb": 700}, "needs 700 MB and the function has 512: raise memory_mb"),
    ],
)
def test_an_answer_that_is_not_a_pass_for_this_model_fails_the_gate(
    stage: Stage, answer: dict[str, Any], expected: str
) -> None:
    stage.name(2)
    stage.fake.check = failing(**answer)
    _assert_gate_failed(stage, expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"error": "the registry is empty", "status": 503}, "the registry is empty"),
        ({"hello": "world"}, "hello"),
        (b"<html>", "<html>"),
        (b"[]", "crashed"),
        ({"errorMessage": "boom", "errorType": "ValueError"}, "ValueError: boom"),
        (
            {"errorMessage": "RequestId: 1-2 Error: Runtime exited with error: signal: killed"},
            r"raise memory_mb \(now 512\)",
        ),
        (
            {"errorMessage": "2026 1-2 Task timed out after 30.03 seconds"},
            "did not finish in the function's 30 s: raise timeout_seconds",
        ),
    ],
)
def test_a_crash_fails_the_gate_with_what_to_do(
    stage: Stage, answer: dict[str, Any] | bytes, expected: str
) -> None:
    stage.name(2)
    stage.fake.check = lambda _: answer
    _assert_gate_failed(stage, expected)


def _assert_gate_failed(stage: Stage, expected: str) -> None:
    outcome = stage.release()
    with pytest.raises(ReleaseError, match=expected) as caught:
        outcome.check()
    assert caught.value.reason == outcome.reason
    assert stage.fake.moves == []
    assert stage.fake.shown("prod") == ""
    [record] = stage.records()
    assert (record.outcome, record.version, record.lambda_version) == ("failed", 2, "1")
    assert record.reason == outcome.reason


def test_a_sweep_neither_checks_nor_records_a_known_failure_again(stage: Stage) -> None:
    stage.name(2)
    stage.fake.check = failing(passed=False, reason="wrong")
    stage.release()
    for _ in range(3):
        assert (stage.release(sweep=True).outcome, stage.release(sweep=True).reason) == (
            "failed",
            "the model did not pass its check: wrong",
        )
    assert stage.fake.checked == ["2"]
    assert stage.fake.published == ["1", "2"]
    assert len(stage.records()) == 1


def test_a_request_checks_again_and_the_same_failure_is_recorded_once(stage: Stage) -> None:
    stage.name(2)
    stage.fake.check = failing(passed=False)
    stage.release()
    assert stage.release().outcome == "failed"
    assert (stage.fake.checked, stage.fake.published) == (["2", "2"], ["1", "2"])
    assert len(stage.records()) == 1
    stage.fake.check = passing
    assert stage.release().outcome == "released"


@pytest.mark.parametrize("change", ["code", "memory", "entry"])
def test_a_sweep_tries_again_when_code_configuration_or_entry_changed(
    stage: Stage, change: str
) -> None:
    stage.name(2)
    stage.fake.check = failing(passed=False)
    stage.release(sweep=True)
    if change == "code":
        stage.change_code("code-2")
    elif change == "memory":
        stage.change_latest(MemorySize=2048)
    else:
        stage.name(2)
    stage.fake.check = passing
    assert stage.release(sweep=True).outcome == "released"


def test_new_code_that_fails_the_gate_leaves_the_alias_on_the_old(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    stage.change_code("code-2")
    stage.fake.check = failing(passed=False)
    assert stage.release().outcome == "failed"
    assert stage.fake.aliases["prod"]["FunctionVersion"] == "2"
    stage.change_code("code-1")
    assert stage.release(sweep=True).outcome == "released"
    assert [one.outcome for one in stage.records()] == ["released", "failed", "released"]


def test_a_version_that_another_releaser_left_unchecked_is_checked_before_it_is_shown(
    stage: Stage,
) -> None:
    stage.name(2)
    stage.release("prod")
    stage.name(2, "staging")
    stage.fake.create_alias("staging", "2")
    stage.fake.check = failing(passed=False)
    assert stage.release("staging").outcome == "failed"


def test_a_new_alias_whose_model_fails_does_not_keep_another_alias_s_model(stage: Stage) -> None:
    stage.name(1)
    stage.release()
    stage.fake.create_alias("staging", "2")
    stage.name(2, "staging")
    stage.fake.check = failing(passed=False)
    outcome = stage.release("staging")
    assert (outcome.outcome, outcome.lambda_version) == ("failed", "1")
    assert stage.fake.shown("staging") == ""


def test_a_function_whose_rights_do_not_hold_yet_is_asked_again_for_half_a_minute(
    stage: Stage,
) -> None:
    stage.name(2)
    denied = {"error": "cannot read blobs: access denied; see the README", "status": 503}
    stage.fake.check = lambda it: denied if len(stage.fake.checked) < 4 else passing(it)
    assert stage.release().outcome == "released"
    stage.name(3)
    stage.fake.check = lambda _: denied
    start = stage.fake.time.seconds
    assert "access denied" in stage.release().reason
    assert 30 <= stage.fake.time.seconds - start < 60


# What AWS does under way


def test_the_alias_is_moved_only_to_an_active_version(stage: Stage) -> None:
    stage.fake.settle = 5
    stage.name(1, canary={"version": 2, "percent": 50})
    stage.release()
    assert stage.fake.moves[-1].states == ("Active", "Active")


def test_terraform_s_update_under_way_is_waited_for(stage: Stage) -> None:
    stage.name(2)
    stage.fake.settle = 4
    stage.fake.update_function_code("code-2")
    stage.release()
    served = stage.fake.functions[stage.fake.aliases["prod"]["FunctionVersion"]]
    assert (stage.fake.shown("prod"), served["CodeSha256"]) == (pin(2), "code-2")


@pytest.mark.parametrize("code", ["ResourceConflictException", "PreconditionFailedException"])
@pytest.mark.parametrize(
    "operation",
    ["UpdateFunctionConfiguration", "PublishVersion", "Invoke", "UpdateAlias", "GetAlias"],
)
def test_a_conflict_anywhere_starts_again(stage: Stage, operation: str, code: str) -> None:
    stage.name(2)
    stage.fake.refusals[operation] = [refusal(code, status=409)] * 3
    assert stage.release().outcome == "released"
    assert stage.fake.shown("prod") == pin(2)


def test_endless_conflicts_are_given_up_undecided(stage: Stage) -> None:
    stage.name(2)
    stage.fake.refusals["PublishVersion"] = [refusal("ResourceConflictException")] * 1000
    assert "others keep changing" in stage.release().reason
    assert stage.records() == []
    assert stage.fake.time.seconds < 300


@pytest.mark.parametrize("code", ["TooManyRequestsException", "ThrottlingException"])
@pytest.mark.parametrize("operation", ["Invoke", "UpdateAlias", "PublishVersion", "ListAliases"])
def test_throttling_is_waited_out(stage: Stage, operation: str, code: str) -> None:
    stage.name(2)
    stage.fake.refusals[operation] = [refusal(code, status=429)] * 8
    assert stage.release().outcome == "released"
    assert stage.fake.checked == ["2"]


def test_throttling_without_end_is_undecided_and_not_recorded(stage: Stage) -> None:
    stage.name(2)
    stage.fake.refusals["*"] = [refusal("ThrottlingException")] * 10_000
    assert "no time left" in stage.release(patience_seconds=100).reason
    assert stage.records() == []
    assert 100 <= stage.fake.time.seconds < 110


def test_the_rights_of_a_fresh_role_are_waited_for(stage: Stage) -> None:
    stage.name(2)
    stage.fake.refusals["*"] = [refusal("AccessDeniedException", status=403)] * 6
    assert stage.release().outcome == "released"


def test_a_right_that_lacks_for_half_a_minute_is_a_recorded_failure(stage: Stage) -> None:
    stage.name(2)
    denied = refusal("AccessDeniedException", "not authorized to perform lambda:PublishVersion")
    stage.fake.refusals["PublishVersion"] = [denied] * 1000
    assert "lambda:PublishVersion" in stage.release().reason
    assert 30 <= stage.fake.time.seconds < 60
    assert stage.records()[0].outcome == "failed"
    stage.fake.refusals.clear()
    assert stage.release(sweep=True).outcome == "released"


def test_a_function_role_that_cannot_be_assumed_yet_is_waited_for(stage: Stage) -> None:
    stage.name(2)
    message = "The role defined for the function cannot be assumed by Lambda."
    fresh = refusal("InvalidParameterValueException", message)
    stage.fake.refusals["UpdateFunctionConfiguration"] = [fresh] * 3
    assert stage.release().outcome == "released"


def test_a_move_that_lambda_forbids_is_recorded_and_left_alone_by_sweeps(stage: Stage) -> None:
    stage.name(1, canary={"version": 2, "percent": 10})
    forbidden = refusal("InvalidParameterValueException", "provisioned concurrency and weights")
    stage.fake.refusals["UpdateAlias"] = [forbidden] * 1000
    assert "provisioned concurrency" in stage.release().reason
    stage.release(sweep=True)
    assert len(stage.fake.checked) == 2


def test_a_connection_that_breaks_is_made_again(stage: Stage) -> None:
    stage.name(2)
    stage.fake.refusals["GetAlias"] = [EndpointConnectionError(endpoint_url="http://x")] * 3
    assert stage.release().outcome == "released"
    stage.fake.refusals["GetAlias"] = [EndpointConnectionError(endpoint_url="http://x")] * 99
    assert "could not be asked" in stage.release().reason


def test_an_alias_that_does_not_exist_yet_is_undecided(stage: Stage) -> None:
    stage.name(2)
    del stage.fake.aliases["prod"]
    assert "terraform apply" in stage.release().reason
    assert stage.records() == []


def test_our_own_mistakes_are_not_taken_for_refusals(stage: Stage) -> None:
    stage.fake.before = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        stage.release()


# Others at work


def test_an_entry_written_while_releasing_is_released_before_returning(stage: Stage) -> None:
    stage.name(2)
    stage.fake.before = once("UpdateAlias", lambda: stage.name(3))
    outcome = stage.release()
    assert (stage.fake.shown("prod"), outcome.version) == (pin(3), 3)
    assert [record.version for record in stage.records()] == [2, 3]


def test_an_entry_written_while_its_forerunner_fails_is_released(stage: Stage) -> None:
    stage.name(2)
    stage.fake.check = lambda it: {
        **passing(it),
        "passed": it["Environment"]["Variables"][PIN] == pin(3),
    }
    stage.fake.before = once("Invoke", lambda: stage.name(3))
    assert stage.release().version == 3
    assert [record.outcome for record in stage.records()] == ["failed", "released"]


@pytest.mark.parametrize(
    "operation",
    [
        "GetAlias",
        "GetFunctionConfiguration",
        "UpdateFunctionConfiguration",
        "PublishVersion",
        "Invoke",
        "UpdateAlias",
    ],
)
def test_an_older_wish_never_overtakes_a_newer_one(stage: Stage, operation: str) -> None:
    stage.name(2)

    def another_releaser() -> None:
        stage.name(3)
        stage.fake.before = len
        stage.release()

    stage.fake.before = once(operation, another_releaser)
    stage.release()
    # Not once back: the first releaser's wish is older than the alias's revision.
    assert [move.pins for move in stage.fake.moves] == [(pin(3),)]


@pytest.mark.parametrize("is_lenient", [False, True])
def test_a_pin_that_terraform_writes_back_meanwhile_is_not_published_for_ours(
    stage: Stage, *, is_lenient: bool
) -> None:
    stage.fake.is_lenient = is_lenient
    stage.name(1)
    stage.release()
    stage.name(2)
    variables = {"SHEARLING_REGISTRY": "memory://x", PIN: pin(1)}
    stage.fake.before = once(
        "PublishVersion", lambda: stage.change_latest(Environment={"Variables": variables})
    )
    stage.release()
    assert stage.fake.shown("prod") == pin(2)
    assert [move.pins for move in stage.fake.moves] == [(pin(1),), (pin(2),)]


def test_a_version_deleted_under_way_is_published_again(stage: Stage) -> None:
    stage.name(2)
    stage.fake.before = once("Invoke", partial(stage.fake.functions.pop, "2"))
    assert stage.release().outcome == "released"
    assert stage.fake.aliases["prod"]["FunctionVersion"] == "3"


# Cleaning up


def test_old_versions_that_nobody_goes_back_to_are_deleted_after_an_hour(stage: Stage) -> None:
    stage = Stage(registry=memory_registry(6))
    for version in (1, 2, 3, 4):
        stage.name(version)
        stage.release()
    assert stage.fake.deleted == []
    stage.fake.time.seconds += 3700
    stage.release(sweep=True)
    # 1 is staging's; 5 is served, and 4 was before.
    assert stage.fake.published == ["1", "4", "5"]


def test_the_version_of_a_failed_check_does_not_stay_for_ever(stage: Stage) -> None:
    stage.name(1)
    stage.release()
    stage.name(2)
    stage.fake.check = failing(passed=False)
    stage.release()
    stage.name(1)
    stage.change_code("code-2")
    stage.fake.check = passing
    stage.release()
    stage.fake.time.seconds += 3700
    stage.release(sweep=True)
    assert stage.fake.deleted == ["3"]


def test_a_canary_s_version_is_not_deleted(stage: Stage) -> None:
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.release()
    stage.name(3, "staging")
    stage.release("staging")
    stage.fake.time.seconds += 3700
    stage.release(sweep=True)
    assert stage.fake.deleted == ["1"]
    assert stage.fake.weights("prod") == {"3": 0.1}


def test_the_newest_version_is_not_deleted_since_terraform_starts_aliases_there(
    stage: Stage,
) -> None:
    stage.name(2)
    stage.fake.check = failing(passed=False)
    stage.release()
    stage.fake.time.seconds += 3700
    stage.release(sweep=True)
    assert stage.fake.published == ["1", "2"]


def test_a_version_that_is_named_under_way_is_left_alone(stage: Stage) -> None:
    for version in (1, 2, 3):
        stage.name(version)
        stage.release()
    stage.fake.time.seconds += 3700
    stage.fake.before = once("DeleteFunction", lambda: stage.fake.create_alias("new", "2"))
    assert stage.release(sweep=True).outcome == "unchanged"
    assert "2" in stage.fake.published


def test_a_cleanup_that_fails_does_not_fail_the_release(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.name(2)
    stage.fake.refusals["ListAliases"] = [refusal("ValidationException")]
    assert stage.release().outcome == "released"
    assert "old versions" in caplog.text


@pytest.mark.parametrize("number", ["", "$LATEST", "prod"])
def test_nothing_but_a_numbered_version_is_ever_deleted(stage: Stage, number: str) -> None:
    function = Function(stage.fake.client, "acme-fraud", stage.fake.time.clock, 1)
    with pytest.raises(ValueError, match="not the number"):
        function.delete_version(number)
    assert "DeleteFunction" not in stage.fake.calls


# The client


def test_the_client_waits_longer_than_a_function_runs_and_never_asks_twice() -> None:
    config: Any = lambda_client("eu-west-1").meta.config
    assert config.read_timeout > 900
    assert config.retries["total_max_attempts"] == 1


def test_boto3_is_not_imported_with_the_module() -> None:
    program = "import shearling.release, sys; assert not {'boto3', 'botocore'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
