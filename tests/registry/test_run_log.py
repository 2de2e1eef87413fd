"""The records of batch runs, which keep Lambda versions from being deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shearling.errors import RegistryError
from shearling.refs import Pin
from shearling.registry.record_reader import InvalidRecordError
from shearling.registry.registry import Registry
from shearling.registry.run_log import RunLog
from tests.support.releases import deploy, pin

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
PIN = Pin.parse(pin(1))


@pytest.fixture
def log(registry_uri: str) -> RunLog:
    registry = Registry(registry_uri)
    return RunLog(registry.store, deploy(registry))


def test_a_run_without_an_end_needs_its_version(log: RunLog) -> None:
    run = log.start("fraud-1", NOW, PIN, "7")
    assert [*log.unfinished(NOW)] == [run]
    assert (run.lambda_version, run.pin) == ("7", PIN)


def test_a_run_that_has_ended_needs_none(log: RunLog) -> None:
    log.end(log.start("fraud-1", NOW, PIN, "7").name, "failed")
    assert not [*log.unfinished(NOW)]


def test_a_run_of_two_weeks_ago_is_over(log: RunLog) -> None:
    log.start("stopped", NOW - timedelta(days=15), PIN, "6")
    run = log.start("running", NOW - timedelta(days=13), PIN, "7")
    assert [*log.unfinished(NOW)] == [run]


def test_an_attempt_again_keeps_the_version_of_the_first(log: RunLog) -> None:
    first = log.start("fraud-1", NOW, PIN, "7")
    assert log.start("fraud-1", NOW, PIN, "8") == first


def test_an_invalid_record_hides_no_other(registry: Registry) -> None:
    deployment = deploy(registry)
    log = RunLog(registry.store, deployment)
    for execution, text in {"a": b"[]", "b": b'{"pin": 7, "lambda_version": "7"}'}.items():
        name = f"20261127T110000Z-{execution}.started.json"
        registry.store.write(f"releases/{deployment.key}/_runs/{name}", text)
    run = log.start("c", NOW, PIN, "7")
    assert [*log.unfinished(NOW)] == [run]
    with pytest.raises(InvalidRecordError):
        log.start("a", NOW.replace(hour=11), PIN, "7")


@pytest.mark.parametrize("execution", ["", "a/b", "../x", "x" * 81, "ä"])
def test_an_execution_with_another_name_is_refused(log: RunLog, execution: str) -> None:
    with pytest.raises(RegistryError, match="is not a run"):
        log.start(execution, NOW, PIN, "7")
