"""The records of batch runs, which keep Lambda versions from being deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shearling.errors import RegistryError
from shearling.refs import Pin
from shearling.registry.registry import Registry
from shearling.registry.run_log import RunLog, StartedRun
from tests.support.releases import deploy, pin

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
PIN = Pin.parse(pin(1))


@pytest.fixture
def log(registry_uri: str) -> RunLog:
    registry = Registry(registry_uri)
    return RunLog(registry.store, deploy(registry))


def test_a_run_without_an_end_needs_its_version(log: RunLog) -> None:
    name = log.start("fraud-1", NOW, PIN, "7")
    assert [*log.unfinished(NOW)] == [StartedRun(name=name, pin=PIN, lambda_version="7")]


def test_a_run_that_has_ended_needs_none(log: RunLog) -> None:
    log.end(log.start("fraud-1", NOW, PIN, "7"), "failed")
    assert not [*log.unfinished(NOW)]


def test_a_run_of_two_weeks_ago_is_over(log: RunLog) -> None:
    log.start("stopped", NOW - timedelta(days=15), PIN, "6")
    name = log.start("running", NOW - timedelta(days=13), PIN, "7")
    assert [run.name for run in log.unfinished(NOW)] == [name]


def test_an_attempt_again_is_the_same_run_unless_it_uses_another_version(log: RunLog) -> None:
    first, again, other = (log.start("fraud-1", NOW, PIN, version) for version in ("7", "7", "8"))
    assert first == again != other
    assert [run.lambda_version for run in log.unfinished(NOW)] == ["7", "8"]


def test_an_invalid_record_hides_no_other(registry: Registry) -> None:
    deployment = deploy(registry)
    log = RunLog(registry.store, deployment)
    for execution, text in {"a": b"[]", "b": b'{"pin": 7, "lambda_version": "7"}'}.items():
        name = f"20261127T110000Z-{execution}-v7.started.json"
        registry.store.write(f"releases/{deployment.key}/_runs/{name}", text)
    name = log.start("c", NOW, PIN, "7")
    assert [run.name for run in log.unfinished(NOW)] == [name]


@pytest.mark.parametrize("execution", ["", "a/b", "../x", "x" * 81, "ä"])
def test_an_execution_with_another_name_is_refused(log: RunLog, execution: str) -> None:
    with pytest.raises(RegistryError, match="is not a run"):
        log.start(execution, NOW, PIN, "7")
