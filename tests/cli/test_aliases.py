"""alias, rollback and status."""

from __future__ import annotations

import json
import re
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


def test_a_canary_is_named_by_alias(models: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    models.set_alias("fraud", "staging", 3)
    for named in ("staging:10", "fraud:staging:10", "fraud:3:10"):
        assert run("alias", "set", "fraud", "prod", "2", "--canary", named) == 0
        assert output(capsys) == "fraud:prod -> 2 (10 %: 3)\n"


@pytest.mark.parametrize("canary", ["10", "3:", ":10", "3:ten", "Staging:10"])
def test_a_canary_without_version_or_percentage_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], canary: str
) -> None:
    with pytest.raises(SystemExit):
        run("alias", "set", "fraud", "prod", "2", "--canary", canary)
    assert f"{canary!r} is not VERSION:PERCENT, as in 8:10 or staging:10" in error(capsys)


def test_a_rollback_can_skip_the_check(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("1", "2"):
        assert run("alias", "set", "fraud", "prod", version) == 0
    assert run("rollback", "fraud", "prod", "--force") == 0
    output(capsys)
    entry = models.alias_entry("fraud", "prod")
    assert entry
    assert (entry.version, entry.force) == (1, True)


def test_aliases_are_printed_as_json(models: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    models.set_alias("fraud", "prod", 2, canary={"version": 3, "percent": 10}, reason="try")
    expected = {"model": "fraud", "alias": "prod", "entry": 2, "version": 2, "reason": "try"}
    expected_canary = {"version": 3, "percent": 10}
    for command in (["list", "fraud"], ["history", "fraud", "prod"]):
        assert run("alias", *command, "--json") == 0
        newest = json.loads(output(capsys))[0]
        assert newest.pop("by")
        assert {**newest.pop("outcomes", {}), **newest.pop("failures", {})} == {}
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
        ("alias set fraud prod 1 --wait --dry-run", "no function serves fraud:prod"),
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


@pytest.fixture
def breaking(models: Registry) -> Registry:
    """`prod` names version 1 of a model whose version 4 has another output."""
    graph = scaling_graph()
    graph.graph.node[0].output[0] = graph.graph.output[0].name = "Z"
    push_model(graph, "fraud", example=ROWS, registry=models)
    return models


def test_a_promotion_that_breaks_callers_is_refused_in_several_lines(
    breaking: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("alias", "set", "fraud", "prod", "4") == 1
    lines = error(capsys).splitlines()
    assert lines[0] == "shearling: fraud:prod is not moved, because callers would break."
    assert lines[2] == "  output: 'Y' -> 'Z' (renamed)"
    assert "--allow-breaking" in lines[3]
    assert run("alias", "set", "fraud", "prod", "4", "--allow-breaking") == 0
    assert breaking.resolve("fraud:prod").version == 4


def test_a_dry_run_shows_what_changes_and_sets_nothing(
    breaking: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    dry = ["alias", "set", "fraud", "prod", "--dry-run"]
    assert run(*dry, "4") == 1
    shown = capsys.readouterr()
    assert shown.out == (
        "contract of fraud:1 -> fraud:4:\n  breaking  output: 'Y' -> 'Z' (renamed)\n"
    )
    assert "would break" in shown.err
    assert run(*dry, "4", "--allow-breaking", "--json") == 0
    (comparison,) = json.loads(output(capsys))
    assert (comparison["before"], comparison["after"], comparison["is_breaking"]) == (1, 4, True)
    assert run(*dry, "2", "--canary", "3:10") == 0
    assert output(capsys).count("no changes") == 2
    assert run(*dry, "1") == 0
    assert error(capsys) == "fraud:prod names no other version to compare with\n"
    assert run(*dry, "9") == 1
    assert [entry.number for entry in breaking.history("fraud", "prod")] == [1]


def test_a_rollback_shows_what_changes_for_callers(
    breaking: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("alias", "set", "fraud", "prod", "4", "--allow-breaking") == 0
    capsys.readouterr()
    assert run("rollback", "fraud", "prod") == 0
    shown = capsys.readouterr()
    assert shown.out == "fraud:prod -> 1\n"
    assert "breaking  output: 'Z' -> 'Y'" in shown.err
    assert breaking.resolve("fraud:prod").version == 1


def test_two_versions_are_compared(breaking: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert breaking
    assert run("diff", "fraud:prod", "fraud:4") == 0
    assert output(capsys).startswith("fraud:1 -> fraud:4: 1 change would break callers\n")
    assert run("diff", "fraud:prod", "fraud:4", "--json") == 0
    assert json.loads(output(capsys))["is_breaking"] is True


def test_an_alias_is_set_to_what_another_names(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    models.set_alias("fraud", "staging", 3)
    assert run("alias", "set", "fraud", "prod", "staging") == 0
    assert output(capsys) == "fraud:prod -> 3\n"


def test_an_unknown_alias_is_refused_set_as_a_new_one_and_deleted(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(models)
    assert run("alias", "set", "fraud", "porduction", "2") == 1
    assert "--new" in error(capsys)
    assert run("alias", "set", "fraud", "porduction", "2", "--new") == 0
    assert run("alias", "delete", "fraud", "porduction") == 0
    assert output(capsys).endswith("fraud:porduction names no version any more\n")
    assert run("alias", "delete", "fraud", "prod") == 1
    assert "is served by acme-fraud" in error(capsys)


def test_the_history_shows_who_set_an_entry_and_its_outcome_on_each_function(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    models.set_alias("fraud", "prod", 2, by="alice", reason="ticket 7")
    deployment = deploy(models)
    record(models, deployment, "prod", 1, 1)
    record(models, deployment, "prod", 2, 2, outcome="failed", reason="raise memory_mb")
    assert run("alias", "history", "fraud", "prod") == 0
    _, newest, oldest, _, reason = output(capsys).splitlines()
    assert newest.split()[:3] == ["2", "2", "alice"]
    assert newest.endswith("acme-fraud: failed    ticket 7")
    assert "acme-fraud: released" in oldest
    assert reason == "entry 2 on acme-fraud: raise memory_mb"
    assert run("alias", "history", "fraud", "prod", "--json") == 0
    newest_document = json.loads(output(capsys))[0]
    assert newest_document["by"] == "alice"
    assert newest_document["outcomes"] == {"acme-fraud": "failed"}
    assert newest_document["failures"] == {"acme-fraud": "raise memory_mb"}


def test_no_record_sends_escape_sequences_to_a_terminal(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "\x1b]0;owned\x07\x9b31m\u202e"
    deployment = deploy(models)
    fields = {"version": 2, "canary": None, "reason": hostile, "by": hostile, "before": None}
    assert models.alias_log("fraud", "prod")._log.create(2, fields)
    record(models, deployment, "prod", 2, 2, outcome="failed", reason=hostile)
    for command in (
        "status fraud",
        "alias list fraud",
        "alias history fraud prod",
        "list fraud",
        "show fraud:prod",
        "alias list fraud --json",
        "alias history fraud prod --json",
    ):
        assert run(*command.split()) == 0, command
        shown = capsys.readouterr()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown.out + shown.err)
        if command.startswith("alias"):
            assert r"\u001b]0;owned\u0007\u009b31m\u202e" in shown.out
        if command == "alias list fraud --json":
            assert json.loads(shown.out)[0]["reason"] == hostile


def test_a_reason_is_checked_in_a_dry_run_too(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    set_prod = ["alias", "set", "fraud", "prod", "2", "--reason", "x" * 1001]
    for more in ([], ["--dry-run"]):
        assert run(*set_prod, *more) == 1
        assert "1,001 characters" in error(capsys)
    assert models.resolve("fraud:prod").version == 1


def test_an_alias_is_set_to_a_ref_of_the_same_model(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("alias", "set", "fraud", "prod", "fraud:3") == 0
    assert output(capsys) == "fraud:prod -> 3\n"
    push_model(scaling_graph(2.0), "embed", example=ROWS, registry=models)
    assert run("alias", "set", "fraud", "prod", "embed:1") == 1
    assert "'embed:1' is not a version of model 'fraud'" in error(capsys)
    assert models.resolve("fraud:prod").version == 3
