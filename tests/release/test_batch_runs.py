"""Lambda versions that batch runs need: kept while they run, published again when they are gone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shearling.errors import ReleaseError
from shearling.refs import Pin
from shearling.registry.run_log import RunLog
from shearling.release.health_check import CheckFailedError
from shearling.release.republish import publish_pin
from tests.support.fake_lambda import passing
from tests.support.releases import Stage, pin

PINS = [Pin.parse(pin(number)) for number in range(4) if number]


def released(stage: Stage, *versions: int) -> str:
    """Release versions one after another; return the Lambda version of the first."""
    for version in versions:
        stage.name(version)
        assert stage.release().outcome == "released"
    return next(it for it in stage.fake.published if stage.fake.pin(it) == pin(versions[0]))


def age(stage: Stage, **by: float) -> None:
    stage.fake.time.sleep(timedelta(**by).total_seconds())


def test_the_version_of_a_run_is_kept_until_the_run_ends() -> None:
    stage = Stage()
    number = released(stage, 1)
    log = RunLog(stage.registry.store, stage.deployment)
    name = log.start("run-1", stage.fake.time.clock.date(), PINS[0], number)
    age(stage, hours=2)
    released(stage, 2, 3)
    age(stage, hours=2)
    released(stage, 2)
    assert number in stage.fake.published

    log.end(name, "succeeded")
    released(stage, 3)
    assert number not in stage.fake.published


def test_the_version_of_a_run_that_never_ended_is_deleted_after_two_weeks() -> None:
    stage = Stage()
    number = released(stage, 1)
    log = RunLog(stage.registry.store, stage.deployment)
    log.start("run-1", stage.fake.time.clock.date(), PINS[0], number)
    age(stage, days=15)
    released(stage, 2, 3, 2)
    assert number not in stage.fake.published


def publish(stage: Stage, which: Pin) -> str:
    return publish_pin(
        stage.fake.client,
        stage.registry,
        stage.deployment,
        which,
        patience_seconds=60,
        clock=stage.fake.time.clock,
    )


def test_a_pin_is_published_again_and_no_alias_moves() -> None:
    stage = Stage()
    number = released(stage, 1)
    age(stage, hours=2)
    released(stage, 2, 3, 2)
    assert number not in stage.fake.published
    before = stage.fake.shown("prod")

    again = publish(stage, PINS[0])
    assert stage.fake.pin(again) == pin(1)
    assert stage.fake.shown("prod") == before
    assert publish(stage, PINS[0]) == again


@pytest.mark.parametrize("other", [pin(1, "churn"), f"fraud:1@sha256:{'0' * 64}"])
def test_a_pin_that_the_registry_does_not_have_is_refused(other: str) -> None:
    stage = Stage()
    with pytest.raises(ReleaseError, match="is no version of fraud"):
        publish(stage, Pin.parse(other))
    assert stage.fake.published == ["1"]


def test_a_version_that_fails_its_check_is_no_answer() -> None:
    stage = Stage()
    stage.fake.check = lambda configuration: {**passing(configuration), "passed": False}
    with pytest.raises(CheckFailedError):
        publish(stage, PINS[0])
