"""alias, rollback and status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph
from tests.support.cli import error, output, run
from tests.support.releases import deploy, record

if TYPE_CHECKING:
    from shearling.registry.registry import Registry


def test_an_alias_is_set_listed_and_rolled_back(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = ["--canary", "3:10", "--reason", "a tenth"]
    assert run("alias", "set", "fraud", "prod", "2", *canary) == 0
    assert output(capsys) == "fraud:prod -> 2 (10 %: 3)\n"
    assert run("alias", "list", "fraud") == 0
    assert "prod   2 (10 %: 3)" in output(capsys)
    assert run("alias", "history", "fraud", "prod") == 0
    entries = output(capsys).splitlines()[1:]
    assert [line.split()[0] for line in entries] == ["2", "1"]
    assert entries[0].endswith("a tenth")
    assert run("alias", "set", "fraud", "prod", "3") == 0
    assert output(capsys) == "fraud:prod -> 3\n"
    assert run("rollback", "fraud", "prod", "--json") == 0
    assert json.loads(output(capsys))["version"] == 2
    assert models.resolve("fraud:prod").version == 2


def test_aliases_are_printed_as_json(models: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    models.set_alias("fraud", "prod", 2, canary={"version": 3, "percent": 10}, reason="try")
    expected = {"model": "fraud", "alias": "prod", "entry": 2, "version": 2, "reason": "try"}
    expected_canary = {"version": 3, "percent": 10}
    for command in (["list", "fraud"], ["history", "fraud", "prod"]):
        assert run("alias", *command, "--json") == 0
        newest = json.loads(output(capsys))[0]
        assert {newest.pop("by"), *newest.pop("outcomes", {}), *newest.pop("failures", {})} == {""}
        assert newest.pop("canary") == expected_canary
        assert newest.pop("created").startswith("20")
        assert newest == expected


def test_a_model_without_aliases_prints_a_hint(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    assert run("alias", "list", "fraud") == 0
    assert error(capsys).startswith("fraud has no alias yet")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("alias list nope", "no model 'nope'"),
        ("alias history fraud nope", "no alias 'nope'"),
        ("alias set fraud prod 9", "no version 9"),
        ("alias set fraud latest 1", "alias 'latest'"),
        ("alias set fraud prod 1 --wait", "no function serves fraud:prod"),
        ("rollback fraud prod", "there is no version to roll fraud:prod back to"),
        ("list nope", "no model 'nope'"),
        ("show fraud:9", "no version 9"),
        ("show Fraud", "model 'Fraud'"),
        ("pull nope copy", "no model 'nope'"),
        ("retry-release fraud", "no function serves 'fraud'"),
        ("retry-release nope", "no model 'nope'"),
        ("invoke acme-fraud", "target 'acme-fraud'"),
        ("package runtime --for fraud", "fraud is stored as onnx"),
    ],
)
def test_a_missing_model_version_or_alias_is_reported_in_one_line(
    models: Registry, capsys: pytest.CaptureFixture[str], arguments: str, problem: str
) -> None:
    assert run(*arguments.split()) == 1
    message = error(capsys)
    assert message.startswith(f"shearling: {problem}")
    assert message.count("\n") == 1
    assert models.resolve("fraud:prod").version == 1


def test_wait_returns_after_the_function_released_the_version(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = deploy(models)
    record(models, deployment, "prod", 2, 3)
    assert run("alias", "set", "fraud", "prod", "3", "--wait") == 0
    assert output(capsys) == "fraud:prod -> 3, and every function that serves it has released it\n"


def test_the_status_is_printed(models: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    deployment = deploy(models, aliases=["prod"])
    record(models, deployment, "prod", 1, 1)
    assert run("status", "fraud") == 0
    assert "fraud:prod" in output(capsys)
    assert run("status", "--json") == 0
    (row,) = json.loads(output(capsys))["aliases"]
    assert (row["function"], row["serves"], row["outcome"]) == ("acme-fraud", 1, "released")
