from __future__ import annotations

import re
from typing import Any

import pytest

from shearling.release.trigger import Trigger
from tests.support.fake_lambda import passing
from tests.support.releases import Stage, failing, pin


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"passed": False, "reason": "output differs"}, "output differs"),
        ({"passed": False, "worst_difference": "0.5"}, r"differ.*0\.5"),
        ({"passed": "yes"}, "did not pass"),
        ({"model": pin(3)}, "loaded 'fraud:3"),
        ({"model": None}, "loaded None"),
        ({"peak_memory_mb": 700}, "700 MB of memory, but the function has 512 MB: raise memory_mb"),
    ],
)
def test_an_answer_that_is_not_a_pass_for_this_model_fails_the_check(
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
            "did not finish within the function's timeout of 30 s: raise timeout_seconds",
        ),
    ],
)
def test_a_crash_fails_the_check_with_a_remedy(
    stage: Stage, answer: dict[str, Any] | bytes, expected: str
) -> None:
    stage.name(2)
    stage.fake.check = lambda _: answer
    _assert_gate_failed(stage, expected)


@pytest.mark.parametrize("worst", ["inf", "nan"])
def test_a_difference_that_is_not_finite_is_left_out_of_the_reason(
    stage: Stage, worst: str
) -> None:
    stage.name(2)
    reason = "the file model.onnx is broken"
    stage.fake.check = failing(passed=False, reason=reason, worst_difference=worst)
    assert stage.release().reason == f"the model did not pass its check: {reason}"


def _assert_gate_failed(stage: Stage, expected: str) -> None:
    outcome = stage.release()
    assert outcome.outcome == "failed"
    assert re.search(expected, outcome.reason)
    assert stage.fake.moves == []
    assert stage.fake.shown("prod") == ""
    [record] = stage.records()
    assert (record.outcome, record.version, record.lambda_version) == ("failed", 2, "1")
    assert record.reason == outcome.reason


def test_a_scheduled_run_neither_checks_nor_records_a_known_failure_again(stage: Stage) -> None:
    stage.name(2)
    stage.fake.check = failing(passed=False, reason="wrong")
    stage.release()
    for _ in range(3):
        assert (
            stage.release(trigger=Trigger.SCHEDULE).outcome,
            stage.release(trigger=Trigger.SCHEDULE).reason,
        ) == (
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
def test_a_scheduled_run_tries_again_when_code_configuration_or_entry_changed(
    stage: Stage, change: str
) -> None:
    stage.name(2)
    stage.fake.check = failing(passed=False)
    stage.release(trigger=Trigger.SCHEDULE)
    if change == "code":
        stage.change_code("code-2")
    elif change == "memory":
        stage.change_latest(MemorySize=2048)
    else:
        stage.name(2)
    stage.fake.check = passing
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"


def test_new_code_that_fails_the_check_leaves_the_alias_on_the_old_code(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    stage.change_code("code-2")
    stage.fake.check = failing(passed=False)
    assert stage.release().outcome == "failed"
    assert stage.fake.aliases["prod"]["FunctionVersion"] == "2"
    stage.change_code("code-1")
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "released"
    assert [one.outcome for one in stage.records()] == ["released", "failed", "released"]


def test_a_version_that_another_releaser_left_unchecked_is_checked_before_it_is_served(
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


def test_a_new_alias_whose_version_cannot_start_does_not_keep_another_alias_s_model(
    stage: Stage,
) -> None:
    stage.name(1)
    stage.release()
    stage.fake.create_alias("staging", "2")
    stage.name(2, "staging")

    def fail_to_start(_: str) -> None:
        if "3" in stage.fake.functions:
            stage.fake.functions["3"].update(State="Failed", StateReason="the subnet is gone")

    stage.fake.before = fail_to_start
    assert "the subnet is gone" in stage.release("staging").reason
    assert stage.fake.shown("staging") == ""
    assert "the subnet is gone" in stage.records("staging")[0].reason


def test_an_alias_that_was_recreated_after_a_failure_is_released_by_the_schedule(
    stage: Stage,
) -> None:
    stage.name(1)
    stage.release()
    stage.name(2, "staging")
    stage.fake.check = failing(passed=False)
    stage.release("staging")
    stage.fake.create_alias("staging", "2")
    assert stage.release("staging", trigger=Trigger.SCHEDULE).outcome == "failed"
    assert stage.fake.shown("staging") == ""


def test_a_function_without_permissions_yet_is_checked_again_for_half_a_minute(
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
