"""What an alias serves after a failed release, if it must not keep what it served before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shearling.release.trigger import Trigger
from tests.support.fake_lambda import PIN, FakeLambda, passing
from tests.support.releases import Stage, pin

if TYPE_CHECKING:
    from collections.abc import Callable

DENIED = {"errorType": "StoreError", "errorMessage": "Access Denied"}


@pytest.fixture
def stage() -> Stage:
    return Stage(FakeLambda())


def failing(*numbers: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Answer checks so that these versions of the model are judged wrong."""
    pins = {pin(number) for number in numbers}
    return lambda it: {**passing(it), "passed": it["Environment"]["Variables"][PIN] not in pins}


def released(stage: Stage, *versions: int) -> None:
    for version in versions:
        stage.name(version)
        assert stage.release().outcome == "released"


def created_at_the_newest_version(stage: Stage, alias: str) -> None:
    stage.fake.create_alias(alias, stage.fake.published[-1])


@pytest.mark.parametrize("trigger", list(Trigger))
def test_an_alias_that_is_created_at_a_model_which_fails_is_emptied(
    stage: Stage, trigger: Trigger
) -> None:
    released(stage, 1)
    stage.fake.check = failing(2)
    stage.name(2)
    assert stage.release().outcome == "failed"
    stage.name(2, "staging")
    created_at_the_newest_version(stage, "staging")
    assert stage.fake.shown("staging") == pin(2)
    for _ in range(3):
        outcome = stage.release("staging", trigger=trigger)
        assert outcome.outcome == "failed" or "which failed" in outcome.note
        assert stage.fake.shown("staging") == ""
    assert stage.fake.shown("prod") == pin(1)


def test_an_alias_that_is_created_anew_goes_back_to_the_last_version_that_passed(
    stage: Stage,
) -> None:
    released(stage, 1, 2)
    stage.fake.check = failing(3)
    stage.name(3)
    stage.release()
    created_at_the_newest_version(stage, "prod")
    assert stage.fake.shown("prod") == pin(3)
    assert stage.release().outcome == "failed"
    assert stage.fake.shown("prod") == pin(2)
    assert stage.records()[-1].lambda_version == stage.fake.aliases["prod"]["FunctionVersion"]


def test_what_passed_before_and_fails_now_is_passed_over(stage: Stage) -> None:
    released(stage, 1, 2)
    stage.fake.check = failing(2, 3)
    stage.name(3)
    stage.release()
    created_at_the_newest_version(stage, "prod")
    stage.release()
    assert stage.fake.shown("prod") == pin(1)


def test_what_passed_before_is_gone_back_to_if_its_check_cannot_run(stage: Stage) -> None:
    released(stage, 1)
    stage.fake.check = failing(2)
    stage.name(2)
    stage.release()
    created_at_the_newest_version(stage, "prod")
    stage.fake.check = lambda it: (
        DENIED if it["Environment"]["Variables"][PIN] == pin(1) else failing(2)(it)
    )
    stage.release()
    assert stage.fake.shown("prod") == pin(1)


def test_what_failed_since_it_passed_needs_a_check_that_runs(stage: Stage) -> None:
    released(stage, 1, 2)
    stage.judge_wrong("prod", 1)
    stage.fake.check = failing(1)
    stage.name(1)
    assert stage.release().outcome == "failed"
    stage.name(3)
    stage.fake.check = failing(1, 3)
    stage.release()
    created_at_the_newest_version(stage, "prod")
    stage.fake.check = lambda it: (
        failing(3)(it) if it["Environment"]["Variables"][PIN] == pin(3) else DENIED
    )
    stage.release()
    assert stage.fake.shown("prod") == pin(2)
    stage.fake.aliases["prod"]["FunctionVersion"] = stage.fake.published[-1]
    del stage.fake.functions[stage.records()[-1].lambda_version]
    stage.release()
    assert stage.fake.shown("prod") == ""


def test_what_failed_since_is_checked_again_before_it_counts_as_released(stage: Stage) -> None:
    released(stage, 2, 1, 3)
    number = stage.fake.published[-1]
    released(stage, 1)
    stage.judge_wrong("prod", 3)
    stage.fake.check = failing(3)
    stage.name(3)
    assert stage.release().outcome == "failed"
    assert stage.records()[-1].wrong == (number,)
    stage.fake.create_alias("prod", number)  # by Terraform, say
    assert stage.release().outcome == "failed"
    assert stage.fake.shown("prod") == pin(1)


def test_a_release_that_was_cut_off_behind_the_move_keeps_what_passes(stage: Stage) -> None:
    released(stage, 1)
    stage.name(2)
    stage.die_before_the_record()
    assert stage.fake.shown("prod") == pin(2)
    stage.name(3)
    stage.fake.check = failing(3)
    assert stage.release().outcome == "failed"
    assert stage.fake.shown("prod") == pin(2)


def test_a_release_that_was_cut_off_behind_the_move_leaves_what_fails_now(stage: Stage) -> None:
    released(stage, 1)
    stage.name(2)
    stage.die_before_the_record()
    stage.name(3)
    stage.fake.check = failing(2, 3)
    assert stage.release().outcome == "failed"
    assert stage.fake.shown("prod") == pin(1)


def test_a_canary_that_fails_when_it_is_checked_again_is_dropped(stage: Stage) -> None:
    released(stage, 1)
    stage.fake.check = failing(2)
    stage.name(2)
    stage.release()
    stage.fake.check = passing
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.die_before_the_record()
    assert stage.fake.weights("prod")
    stage.name(1, canary={"version": 2, "percent": 20})
    stage.fake.check = failing(2)
    assert stage.release().outcome == "failed"
    assert (stage.fake.shown("prod"), stage.fake.weights("prod")) == (pin(1), {})


def test_a_version_that_failed_and_passes_later_is_wrong_no_more(stage: Stage) -> None:
    released(stage, 1)
    stage.fake.check = failing(2)
    stage.name(2)
    stage.release()
    assert stage.records()[-1].wrong == (stage.fake.published[-1],)
    stage.name(1)
    assert stage.release().outcome == "released"
    assert stage.records()[-1].wrong == (stage.fake.published[-1],)
    stage.fake.check = passing
    released(stage, 2)
    assert stage.records()[-1].wrong == ()


def test_what_the_log_never_named_is_left_even_if_it_passes(stage: Stage) -> None:
    released(stage, 3)
    stage.name(2, "staging")
    created_at_the_newest_version(stage, "staging")
    stage.fake.check = failing(2)
    assert stage.release("staging").outcome == "failed"
    assert stage.fake.shown("staging") == ""


def test_what_was_judged_wrong_is_checked_again_though_another_release_passed_it(
    stage: Stage,
) -> None:
    released(stage, 1)
    stage.name(2)
    luck = [False, True, False]
    stage.fake.check = lambda it: {
        **passing(it),
        "passed": it["Environment"]["Variables"][PIN] == pin(1) or luck.pop(0),
    }
    others = [stage.release]

    def before(operation: str) -> None:
        # The verdict is there, and its record is not.
        if operation == "ListVersionsByFunction" and len(luck) == 2 and others:
            assert others.pop()().outcome == "released"

    stage.fake.before = before
    assert stage.release().outcome == "failed"
    assert luck == []
    assert stage.fake.shown("prod") == pin(1)


def test_an_apply_leaves_what_fails_under_the_new_code_though_the_failure_is_known(
    stage: Stage,
) -> None:
    released(stage, 1)
    old = stage.fake.published[-1]
    stage.change_code("code-2")
    stage.name(1, "staging")
    assert stage.release("staging").outcome == "released"
    created_at_the_newest_version(stage, "prod")  # the same model, under the new code
    stage.name(2)
    stage.fake.check = failing(2)
    assert stage.release().outcome == "failed"
    assert stage.fake.aliases["prod"]["FunctionVersion"] != old
    stage.fake.check = lambda it: {**passing(it), "passed": it["CodeSha256"] == "code-1"}
    assert stage.release(trigger=Trigger.APPLY).outcome == "failed"
    assert stage.fake.aliases["prod"]["FunctionVersion"] == old
