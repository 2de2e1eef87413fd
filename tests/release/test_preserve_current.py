"""An apply that changes the function while the newest entry of an alias has failed."""

from __future__ import annotations

from typing import Any

import pytest

from shearling.release.trigger import Trigger
from tests.support.fake_lambda import PIN, passing
from tests.support.releases import Stage, failing, once, pin


def passes_only(*versions: int) -> Any:
    pins = {pin(version) for version in versions}
    return lambda it: {**passing(it), "passed": it["Environment"]["Variables"][PIN] in pins}


@pytest.fixture
def stage() -> Stage:
    """Version 1 is served; version 3 is named, and its release failed."""
    stage = Stage()
    stage.fake.check = passes_only(1)
    stage.name(1)
    stage.release()
    stage.name(3)
    stage.release()
    return stage


def shown_code(stage: Stage) -> str:
    number = stage.fake.aliases["prod"]["FunctionVersion"]
    return str(stage.fake.functions[number]["CodeSha256"])


def test_the_served_version_is_preserved_under_new_code(stage: Stage) -> None:
    stage.change_code("code-2")
    outcome = stage.release(trigger=Trigger.APPLY)
    assert (outcome.outcome, outcome.version) == ("released", 1)
    assert outcome.lambda_version == stage.fake.aliases["prod"]["FunctionVersion"]
    assert "names version 3, which failed" in outcome.note
    assert "still serves version 1: roll back" in outcome.note
    assert (stage.fake.shown("prod"), shown_code(stage)) == (pin(1), "code-2")


def test_the_failed_entry_is_tried_under_new_code_and_its_failure_stays_the_last_record(
    stage: Stage,
) -> None:
    stage.change_code("code-2")
    stage.release(trigger=Trigger.APPLY)
    told = [(it.entry, it.outcome, it.code_sha256) for it in stage.records()[2:]]
    assert told == [(1, "released", "code-2"), (2, "failed", "code-2")]
    checks = len(stage.fake.checked)
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "failed"
    assert len(stage.fake.checked) == checks


def test_a_failed_entry_that_passes_under_new_code_is_released(stage: Stage) -> None:
    stage.change_code("code-2")
    stage.fake.check = passing
    outcome = stage.release(trigger=Trigger.APPLY)
    assert (outcome.outcome, outcome.version, outcome.note) == ("released", 3, "")
    assert stage.fake.shown("prod") == pin(3)


def test_new_code_under_which_only_the_failed_entry_passes_succeeds(stage: Stage) -> None:
    stage.change_code("code-2")
    stage.fake.check = passes_only(3)
    assert stage.release(trigger=Trigger.APPLY).outcome == "released"
    assert (stage.fake.shown("prod"), shown_code(stage)) == (pin(3), "code-2")


def test_new_code_under_which_neither_passes_fails_and_changes_nothing(stage: Stage) -> None:
    stage.change_code("code-2")
    stage.fake.check = failing(passed=False, reason="torn")
    outcome = stage.release(trigger=Trigger.APPLY)
    assert outcome.outcome == "failed"
    also = "releasing version 1, which the alias still serves, also failed: the model did not pass"
    assert f"; {also} its check: torn" in outcome.reason
    assert (stage.fake.shown("prod"), shown_code(stage)) == (pin(1), "code-1")


def test_an_apply_that_changes_nothing_writes_nothing(stage: Stage) -> None:
    records, moves, checks = len(stage.records()), len(stage.fake.moves), len(stage.fake.checked)
    outcome = stage.release(trigger=Trigger.APPLY)
    assert (outcome.outcome, outcome.version) == ("unchanged", 1)
    assert outcome.note
    counts = len(stage.records()), len(stage.fake.moves), len(stage.fake.checked)
    assert counts == (records, moves, checks)


def test_a_request_by_a_person_retries_the_failed_entry_itself(stage: Stage) -> None:
    stage.change_code("code-2")
    assert stage.release().outcome == "failed"
    assert (stage.fake.shown("prod"), shown_code(stage)) == (pin(1), "code-1")


def test_without_a_release_the_alias_keeps_serving_no_model() -> None:
    stage = Stage()
    stage.fake.check = failing(passed=False)
    stage.name(3)
    stage.release()
    stage.change_code("code-2")
    outcome = stage.release(trigger=Trigger.APPLY)
    assert (outcome.outcome, outcome.version) == ("released", None)
    assert "still serves no model" in outcome.note
    assert (stage.fake.shown("prod"), shown_code(stage)) == ("", "code-2")
    assert stage.records()[-1].outcome == "failed"


def test_new_code_that_breaks_the_released_version_fails_each_apply() -> None:
    stage = Stage()
    stage.name(1)
    stage.release()
    stage.change_code("code-2")
    stage.fake.check = failing(passed=False)
    for _ in range(2):
        assert stage.release(trigger=Trigger.APPLY).outcome == "failed"
    assert shown_code(stage) == "code-1"


def test_a_served_canary_is_preserved_with_its_share() -> None:
    stage = Stage()
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.release()
    stage.fake.check = passes_only(1, 2)
    stage.name(3)
    stage.release()
    stage.change_code("code-2")
    assert stage.release(trigger=Trigger.APPLY).outcome == "released"
    [(number, share)] = stage.fake.weights("prod").items()
    assert (stage.fake.shown("prod"), stage.fake.pin(number), share) == (pin(1), pin(2), 0.1)
    assert stage.fake.functions[number]["CodeSha256"] == "code-2"


def refused_after(stage: Stage, *versions: int, **canary: Any) -> str:
    """Release versions, name one that fails, and return the first one's Lambda version."""
    numbers = []
    stage.fake.check = passes_only(1, 2)
    for version in versions:
        stage.name(version, **(canary if version == versions[-1] else {}))
        stage.release()
        numbers.append(str(stage.fake.aliases["prod"]["FunctionVersion"]))
    stage.name(3)
    stage.release()
    return numbers[0]


def test_a_model_that_was_set_by_hand_is_not_released_and_not_replaced() -> None:
    stage = Stage()
    stage.fake.aliases["prod"]["FunctionVersion"] = refused_after(stage, 2, 1)
    stage.change_code("code-2")
    assert stage.release(trigger=Trigger.APPLY).outcome == "failed"
    assert (stage.fake.shown("prod"), shown_code(stage)) == (pin(2), "code-1")


def test_a_canary_that_was_set_by_hand_is_not_released_and_not_replaced() -> None:
    stage = Stage()
    refused_after(stage, 2, 1, canary={"version": 2, "percent": 10})
    weights = {stage.fake.aliases["prod"]["FunctionVersion"]: 0.1}
    stage.fake.aliases["prod"]["RoutingConfig"] = {"AdditionalVersionWeights": weights}
    stage.change_code("code-2")
    assert stage.release(trigger=Trigger.APPLY).outcome == "failed"
    assert (stage.fake.weights("prod"), shown_code(stage)) == (weights, "code-1")


def test_a_canary_of_the_version_itself_is_ignored() -> None:
    stage = Stage()
    stage.fake.check = passes_only(1)
    stage.name(1, canary={"version": 1, "percent": 10})
    stage.release()
    stage.name(3)
    stage.release()
    stage.change_code("code-2")
    assert stage.release(trigger=Trigger.APPLY).outcome == "released"
    assert (stage.fake.shown("prod"), shown_code(stage)) == (pin(1), "code-2")


def test_a_concurrent_release_is_not_undone(stage: Stage) -> None:
    stage.change_code("code-2")

    def roll_forward() -> None:
        stage.name(2)
        stage.fake.before = len
        stage.release()

    stage.fake.check = passes_only(1, 2)
    stage.fake.before = once("UpdateAlias", roll_forward)
    outcome = stage.release(trigger=Trigger.APPLY)
    assert (outcome.outcome, outcome.version, outcome.note) == ("unchanged", 2, "")
    assert [move.pins for move in stage.fake.moves] == [(pin(1),), (pin(2),)]
