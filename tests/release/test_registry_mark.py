"""An alias says which registry it is released from, so that a moved registry does not empty it."""

from __future__ import annotations

import pytest

from shearling.release.trigger import Trigger
from tests.support.fake_lambda import refusal
from tests.support.releases import Stage, deploy, memory_registry, once, pin


@pytest.fixture
def stage() -> Stage:
    return Stage()


def description(stage: Stage, alias: str = "prod") -> str:
    return str(stage.fake.aliases[alias]["Description"])


def move_registry(stage: Stage) -> tuple[str, str]:
    """Give the releaser another registry with the same model; return the URIs of both."""
    old = stage.registry.store.uri
    stage.registry = memory_registry()
    stage.deployment = deploy(stage.registry)
    return old, stage.registry.store.uri


def unmark(stage: Stage, alias: str = "prod") -> None:
    """Leave an alias as releasers of earlier versions did."""
    stage.fake.aliases[alias]["Description"] = "Moved by the releaser."


@pytest.mark.parametrize("trigger", list(Trigger))
def test_a_moved_registry_changes_nothing_and_the_failure_names_both(
    stage: Stage, trigger: Trigger
) -> None:
    stage.name(2)
    stage.release()
    old, new = move_registry(stage)
    moves, versions = len(stage.fake.moves), list(stage.fake.published)
    outcome = stage.release(trigger=trigger)
    assert outcome.outcome == "failed"
    assert old in outcome.reason
    assert new in outcome.reason
    assert "shearling alias set fraud prod VERSION" in outcome.reason
    assert (stage.fake.shown("prod"), len(stage.fake.moves)) == (pin(2), moves)
    assert stage.fake.published == versions
    assert stage.records() == []


def test_an_ended_alias_is_not_emptied_again_by_a_moved_registry(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    stage.registry.alias_log("fraud", "prod")._log.create(
        2, {"version": None, "canary": None, "reason": ""}
    )
    assert stage.release().version is None
    assert stage.fake.shown("prod") == ""
    move_registry(stage)
    assert stage.release().outcome == "failed"


def test_an_alias_that_is_set_in_the_new_registry_is_released_from_it(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    _, new = move_registry(stage)
    stage.release()
    stage.name(3)
    assert stage.release().outcome == "released"
    assert stage.fake.shown("prod") == pin(3)
    assert description(stage).endswith(new)


def test_a_registry_that_moved_with_its_records_goes_on(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    _, new = move_registry(stage)
    stage.name(2)
    assert stage.release().outcome == "released"
    assert stage.fake.shown("prod") == pin(2)
    assert description(stage).endswith(new)


def test_an_alias_without_a_mark_is_new_and_is_emptied(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    stage.fake.create_alias("staging", "2")
    stage.release("staging")
    assert stage.fake.shown("staging") == ""
    assert "Released" not in description(stage, "staging")


def test_an_alias_that_terraform_recreated_has_no_mark_and_is_emptied(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    move_registry(stage)
    stage.fake.create_alias("prod", "2")
    assert stage.release().outcome == "released"
    assert stage.fake.shown("prod") == ""


def test_the_schedule_marks_an_alias_of_an_earlier_releaser_once(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    unmark(stage)
    moves = len(stage.fake.moves)
    for updates in (1, 0):
        calls = len(stage.fake.calls)
        assert stage.release(trigger=Trigger.SCHEDULE).outcome == "unchanged"
        assert stage.fake.calls[calls:].count("UpdateAlias") == updates
    assert description(stage).endswith(stage.registry.store.uri)
    assert (len(stage.fake.moves), len(stage.records())) == (moves, 1)


def test_a_mark_keeps_the_canary(stage: Stage) -> None:
    stage.name(1, canary={"version": 2, "percent": 10})
    stage.release()
    unmark(stage)
    stage.release(trigger=Trigger.SCHEDULE)
    assert description(stage).endswith(stage.registry.store.uri)
    assert list(stage.fake.weights("prod").values()) == [0.1]


def test_an_alias_that_is_shifting_its_traffic_is_marked_afterwards(stage: Stage) -> None:
    stage.name(1)
    stage.release()
    stage.fake.provisioned["prod"] = 3
    stage.name(2)
    stage.release()
    unmark(stage)
    updates = stage.fake.calls.count("UpdateAlias")
    for _ in range(5):
        assert stage.release(trigger=Trigger.SCHEDULE).outcome == "unchanged"
    assert stage.fake.calls.count("UpdateAlias") == updates + 1
    assert description(stage).endswith(stage.registry.store.uri)


def test_a_mark_never_undoes_a_move_of_another_releaser(stage: Stage) -> None:
    stage.name(2)
    stage.release()
    unmark(stage)

    def another() -> None:
        stage.name(3)
        stage.release()

    stage.fake.before = once("UpdateAlias", another)
    assert stage.release(trigger=Trigger.SCHEDULE).version == 3
    assert [move.pins for move in stage.fake.moves] == [(pin(2),), (pin(3),)]


def test_an_alias_that_cannot_be_marked_is_still_up_to_date(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.name(2)
    stage.release()
    unmark(stage)
    stage.fake.refusals["UpdateAlias"] = [refusal("ValidationException")]
    assert stage.release(trigger=Trigger.SCHEDULE).outcome == "unchanged"
    assert "could not describe alias prod" in caplog.text


def test_a_failed_release_marks_what_it_moves(stage: Stage) -> None:
    stage.name(1)
    stage.release()
    stage.fake.create_alias("staging", "2")
    stage.name(2, "staging")
    stage.fake.check = lambda _: {"errorMessage": "boom"}
    assert stage.release("staging").outcome == "failed"
    assert stage.fake.shown("staging") == ""
    move_registry(stage)
    assert stage.release("staging").outcome == "failed"


def test_a_long_uri_fits_into_a_description(stage: Stage) -> None:
    stage.registry.store.uri = f"s3://bucket/{'x' * 400}"
    stage.name(2)
    stage.release()
    assert len(description(stage)) == 256
    calls = len(stage.fake.calls)
    stage.release()
    assert "UpdateAlias" not in stage.fake.calls[calls:]
