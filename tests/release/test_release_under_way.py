from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from shearling.release.lambda_function import LambdaFunction
from shearling.release.trigger import Trigger
from tests.support.fake_lambda import PIN, Move, passing, refusal
from tests.support.releases import Stage, failing, memory_registry, once, pin


@pytest.fixture
def stage() -> Stage:
    return Stage()


# Transitions and errors of AWS


def test_the_alias_is_moved_only_to_an_active_version(stage: Stage) -> None:
    stage.fake.settle = 5
    stage.name(1, canary={"version": 2, "percent": 50})
    stage.release()
    assert stage.fake.moves[-1].states == ("Active", "Active")


def test_the_release_waits_for_terraform_s_update(stage: Stage) -> None:
    stage.name(2)
    stage.fake.settle = 4
    stage.fake.update_function_code("code-2")
    stage.release()
    served = stage.fake.functions[stage.fake.aliases["prod"]["FunctionVersion"]]
    assert (stage.fake.shown("prod"), served["CodeSha256"]) == (pin(2), "code-2")
    # No call was made before the update ended.
    for operation in ("UpdateFunctionConfiguration", "PublishVersion", "Invoke", "UpdateAlias"):
        assert stage.fake.calls.count(operation) == 1


@pytest.mark.parametrize("code", ["ResourceConflictException", "PreconditionFailedException"])
@pytest.mark.parametrize(
    "operation",
    ["UpdateFunctionConfiguration", "PublishVersion", "Invoke", "UpdateAlias", "GetAlias"],
)
def test_a_conflict_in_any_call_starts_the_release_again(
    stage: Stage, operation: str, code: str
) -> None:
    stage.name(2)
    stage.fake.refusals[operation] = [refusal(code, status=409)] * 3
    assert stage.release().outcome == "released"
    assert stage.fake.shown("prod") == pin(2)


def test_endless_conflicts_leave_the_release_undecided(stage: Stage) -> None:
    stage.name(2)
    stage.fake.refusals["PublishVersion"] = [refusal("ResourceConflictException")] * 1000
    assert "other processes keep changing" in stage.release().reason
    assert stage.records() == []
    assert stage.fake.time.seconds < 300


@pytest.mark.parametrize("code", ["TooManyRequestsException", "ThrottlingException"])
@pytest.mark.parametrize("operation", ["Invoke", "UpdateAlias", "PublishVersion", "ListAliases"])
def test_throttled_calls_are_retried(stage: Stage, operation: str, code: str) -> None:
    stage.name(2)
    stage.fake.refusals[operation] = [refusal(code, status=429)] * 8
    assert stage.release().outcome == "released"
    assert stage.fake.checked == ["2"]


@pytest.mark.parametrize(
    "code",
    [
        *("EC2UnexpectedException", "ENILimitReachedException"),
        *("SubnetIPAddressLimitReachedException", "EFSIOException"),
        *("EFSMountConnectivityException", "EFSMountTimeoutException"),
    ],
)
def test_a_check_waits_for_network_interfaces_and_mounts(stage: Stage, code: str) -> None:
    stage.name(2)
    stage.fake.refusals["Invoke"] = [refusal(code, status=502)] * 8
    assert stage.release().outcome == "released"


@pytest.mark.parametrize("code", ["EFSMountFailureException", "EC2AccessDeniedException"])
def test_a_mount_or_interface_that_is_refused_for_half_a_minute_is_a_failure(
    stage: Stage, code: str
) -> None:
    stage.name(2)
    stage.fake.refusals["Invoke"] = [refusal(code, "no permission to mount", status=403)] * 6
    assert stage.release().outcome == "released"
    stage.name(3)
    stage.fake.refusals["Invoke"] = [refusal(code, "no permission to mount", status=403)] * 1000
    assert "no permission to mount" in stage.release().reason


@pytest.mark.parametrize("operation", ["*", "PublishVersion", "Invoke", "UpdateAlias"])
def test_endless_throttling_is_undecided_and_not_recorded(stage: Stage, operation: str) -> None:
    stage.name(2)
    stage.fake.refusals[operation] = [refusal("ThrottlingException")] * 10_000
    assert "no time left" in stage.release(patience_seconds=100).reason
    assert stage.records() == []
    assert 100 <= stage.fake.time.seconds < 110


def test_the_release_waits_for_the_permissions_of_a_new_role(stage: Stage) -> None:
    stage.name(2)
    stage.fake.refusals["*"] = [refusal("AccessDeniedException", status=403)] * 6
    assert stage.release().outcome == "released"


def test_a_permission_that_is_missing_for_half_a_minute_is_a_recorded_failure(stage: Stage) -> None:
    stage.name(2)
    denied = refusal("AccessDeniedException", "not authorized to perform lambda:PublishVersion")
    stage.fake.refusals["PublishVersion"] = [denied] * 1000
    assert "lambda:PublishVersion" in stage.release().reason
    assert 30 <= stage.fake.time.seconds < 60
    assert stage.records()[0].outcome == "failed"
    stage.fake.refusals.clear()
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"


def test_the_release_waits_for_a_function_role_that_cannot_be_assumed_yet(stage: Stage) -> None:
    stage.name(2)
    message = "The role defined for the function cannot be assumed by Lambda."
    fresh = refusal("InvalidParameterValueException", message)
    stage.fake.refusals["UpdateFunctionConfiguration"] = [fresh] * 3
    assert stage.release().outcome == "released"


def test_a_move_that_lambda_forbids_is_recorded_and_not_retried_by_the_schedule(
    stage: Stage,
) -> None:
    stage.name(1, canary={"version": 2, "percent": 10})
    forbidden = refusal("InvalidParameterValueException", "provisioned concurrency and weights")
    stage.fake.refusals["UpdateAlias"] = [forbidden] * 1000
    assert "provisioned concurrency" in stage.release().reason
    stage.release(trigger=Trigger.SCHEDULE)
    assert len(stage.fake.checked) == 2


def test_the_weights_of_provisioned_concurrency_in_transition_are_not_changed(stage: Stage) -> None:
    stage.name(1)
    stage.release()
    stage.fake.provisioned["prod"] = 5
    stage.name(2)
    stage.release()
    assert stage.fake.weights("prod") == {"2": 1.0}
    for share in (0.8, 0.6):
        assert stage.release(trigger=Trigger.SCHEDULE).outcome == "unchanged"
        assert stage.fake.weights("prod") == {"2": share}
    assert stage.fake.calls.count("UpdateAlias") == 2
    assert [record.outcome for record in stage.records()] == ["released", "released"]


def test_a_move_waits_for_provisioned_concurrency_in_transition(stage: Stage) -> None:
    stage.name(1)
    stage.release()
    stage.fake.provisioned["prod"] = 5
    stage.name(2)
    stage.release()
    stage.name(3)
    assert stage.release().outcome == "released"
    assert stage.fake.shown("prod") == pin(3)
    assert stage.fake.checked == ["2", "3", "4"]
    assert [record.outcome for record in stage.records()] == ["released"] * 3


def test_a_move_of_provisioned_concurrency_whose_record_was_lost_is_recorded(
    stage: Stage,
) -> None:
    stage.name(2)
    stage.fake.provisioned["prod"] = 5
    stage.die_before_the_record()
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"
    assert [record.outcome for record in stage.records()] == ["released"]


def test_weights_of_a_version_that_the_log_never_named_are_removed(stage: Stage) -> None:
    stage.name(3, "staging")
    stage.release("staging")
    stage.name(1)
    stage.release()
    stage.fake.aliases["prod"]["RoutingConfig"] = {"AdditionalVersionWeights": {"2": 0.5}}
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"
    assert stage.fake.weights("prod") == {}


def test_a_canary_ends_even_if_the_version_stays(stage: Stage) -> None:
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.release()
    stage.name(1)
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"
    assert stage.fake.weights("prod") == {}


def test_a_broken_connection_is_retried(stage: Stage) -> None:
    stage.name(2)
    stage.fake.refusals["GetAlias"] = [EndpointConnectionError(endpoint_url="http://x")] * 3
    assert stage.release().outcome == "released"
    stage.fake.refusals["GetAlias"] = [EndpointConnectionError(endpoint_url="http://x")] * 99
    assert "could not be reached" in stage.release().reason


def test_an_alias_that_does_not_exist_yet_is_undecided(stage: Stage) -> None:
    stage.name(2)
    del stage.fake.aliases["prod"]
    assert "terraform apply" in stage.release().reason
    assert stage.records() == []


def test_a_programming_error_is_not_taken_for_an_error_of_lambda(stage: Stage) -> None:
    stage.fake.before = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        stage.release()


# Concurrent releasers and Terraform


def test_an_entry_written_while_releasing_is_released_before_returning(stage: Stage) -> None:
    stage.name(2)
    stage.fake.before = once("UpdateAlias", lambda: stage.name(3))
    outcome = stage.release()
    assert (stage.fake.shown("prod"), outcome.version) == (pin(3), 3)
    assert [record.version for record in stage.records()] == [2, 3]


def test_an_entry_written_while_the_previous_one_fails_is_released(stage: Stage) -> None:
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
def test_an_older_desired_state_never_overtakes_a_newer_one(stage: Stage, operation: str) -> None:
    stage.name(2)

    def another_releaser() -> None:
        stage.name(3)
        stage.fake.before = len
        stage.release()

    stage.fake.before = once(operation, another_releaser)
    stage.release()
    # The alias never moves back, because the first releaser's desired state is stale.
    assert [move.pins for move in stage.fake.moves] == [(pin(3),)]


def test_a_failure_is_not_recorded_after_another_releaser_s_success(stage: Stage) -> None:
    stage.name(2)

    def fail_while_another_passes(configuration: dict[str, Any]) -> dict[str, Any]:
        stage.fake.check = passing
        stage.release()
        return {**passing(configuration), "passed": False}

    stage.fake.check = fail_while_another_passes
    assert stage.release().outcome == "unchanged"
    assert stage.fake.shown("prod") == pin(2)
    assert [record.outcome for record in stage.records()] == ["released"]


def test_a_release_that_is_superseded_before_its_record_is_not_recorded(stage: Stage) -> None:
    stage.name(2)

    def another_releaser(_: Move) -> None:
        stage.fake.on_move = repr
        stage.name(3)
        stage.release()

    stage.fake.on_move = another_releaser
    outcome = stage.release()
    assert (outcome.outcome, outcome.version) == ("unchanged", 3)
    assert [record.version for record in stage.records()] == [3]


@pytest.mark.parametrize("is_lenient", [False, True])
def test_a_pin_that_terraform_writes_back_concurrently_is_not_published(
    stage: Stage, *, is_lenient: bool
) -> None:
    stage.fake.is_lenient = is_lenient
    stage.name(1)
    stage.release()
    stage.name(2)
    variables = {"SHEARLING_REGISTRY": "memory://x", "COLOUR": "blue", PIN: pin(1)}
    stage.fake.before = once(
        "PublishVersion", lambda: stage.change_latest(Environment={"Variables": variables})
    )
    stage.release()
    assert stage.fake.shown("prod") == pin(2)
    assert [move.pins for move in stage.fake.moves] == [(pin(1),), (pin(2),)]
    if not is_lenient:
        assert stage.fake.published == ["1", "2", "3"]


def test_variables_that_terraform_adds_concurrently_are_kept(stage: Stage) -> None:
    stage.name(2)
    variables = {"SHEARLING_REGISTRY": "memory://x", "COLOUR": "blue"}
    stage.fake.before = once(
        "UpdateFunctionConfiguration",
        lambda: stage.change_latest(Environment={"Variables": variables}),
    )
    stage.release()
    assert stage.fake.latest["Environment"]["Variables"] == {**variables, PIN: pin(2)}


def test_a_version_deleted_during_the_release_is_published_again(stage: Stage) -> None:
    stage.name(2)
    stage.fake.before = once("Invoke", partial(stage.fake.functions.pop, "2"))
    assert stage.release().outcome == "released"
    assert stage.fake.aliases["prod"]["FunctionVersion"] == "3"


# Deleting old versions


def test_old_versions_that_no_rollback_needs_are_deleted_after_an_hour(stage: Stage) -> None:
    stage = Stage(registry=memory_registry(6))
    for version in (1, 2, 3, 4):
        stage.name(version)
        stage.release()
    assert stage.fake.deleted == []
    stage.fake.time.seconds += 3700
    stage.release(trigger=Trigger.SCHEDULE)
    # Alias staging serves 1; prod serves 5, and served 4 before.
    assert stage.fake.published == ["1", "4", "5"]


def test_the_version_of_a_failed_check_is_deleted_in_the_end(stage: Stage) -> None:
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
    stage.release(trigger=Trigger.SCHEDULE)
    assert stage.fake.deleted == ["3"]


def test_a_canary_s_version_is_not_deleted(stage: Stage) -> None:
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.release()
    stage.name(3, "staging")
    stage.release("staging")
    stage.fake.time.seconds += 3700
    stage.release(trigger=Trigger.SCHEDULE)
    assert (stage.fake.deleted, stage.fake.rash_deletions) == (["1"], [])
    assert stage.fake.weights("prod") == {"3": 0.1}


def test_the_newest_version_is_not_deleted_since_terraform_starts_aliases_there(
    stage: Stage,
) -> None:
    stage.name(2)
    stage.fake.check = failing(passed=False)
    stage.release()
    stage.fake.time.seconds += 3700
    stage.release(trigger=Trigger.SCHEDULE)
    assert stage.fake.published == ["1", "2"]


def test_a_version_that_an_alias_names_meanwhile_is_not_deleted() -> None:
    stage = Stage(registry=memory_registry(6))
    for version in (1, 2, 3, 4, 5):
        stage.name(version)
        stage.release()
    stage.fake.time.seconds += 3700
    stage.fake.before = once("DeleteFunction", lambda: stage.fake.create_alias("new", "4"))
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "unchanged"
    assert stage.fake.published == ["1", "4", "5", "6"]


def test_a_cleanup_that_fails_does_not_fail_the_release(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.name(2)
    stage.fake.refusals["ListAliases"] = [refusal("ValidationException")]
    assert stage.release().outcome == "released"
    assert "old versions" in caplog.text


@pytest.mark.parametrize("number", ["", "$LATEST", "prod"])
def test_nothing_but_a_numbered_version_is_ever_deleted(stage: Stage, number: str) -> None:
    function = LambdaFunction(stage.fake.client, "acme-fraud", stage.fake.time.clock, 1)
    with pytest.raises(ValueError, match="not the number"):
        function.delete_version(number)
    assert "DeleteFunction" not in stage.fake.calls
