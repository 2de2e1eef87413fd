from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

import shearling.models.push
import shearling.package
from shearling.bundle.digests import digest_of
from shearling.cli import main
from shearling.models.push import push_model
from shearling.protocol.responses import read_answer
from shearling.registry.registry import Registry
from shearling.text_table import table
from tests.support.bundles import ROWS, scaling_graph
from tests.support.lambda_server import FunctionError, LambdaDoor, served
from tests.support.releases import deploy, record

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = str(Path(sys.executable).with_name("shearling"))
TARGET = "acme-fraud:prod"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty registry in a directory, which the environment names."""
    uri = str(tmp_path / "registry")
    monkeypatch.setenv("SHEARLING_REGISTRY", uri)
    monkeypatch.delenv("SHEARLING_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    return Registry(uri)


@pytest.fixture
def models(registry: Registry) -> Registry:
    """Three versions of one model; `prod` names the first."""
    for factor in (2.0, 3.0, 4.0):
        push_model(scaling_graph(factor), "fraud", example=ROWS, registry=registry)
    registry.set_alias("fraud", "prod", 1)
    return registry


@pytest.fixture
def door(models: Registry, tmp_path: Path) -> LambdaDoor:
    """`acme-fraud:prod`, which serves version 1."""
    pin = str(models.resolve("fraud:prod"))
    return LambdaDoor({TARGET: served(str(tmp_path / "registry"), pin, tmp_path / "scratch")})


@pytest.fixture
def graph(tmp_path: Path) -> str:
    path = tmp_path / "fraud.onnx"
    onnx.save(scaling_graph(), str(path))
    return str(path)


def run(*arguments: str, door: LambdaDoor | None = None) -> int:
    return main(arguments, lambda_client=door.in_region if door else None)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def output(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on standard error, and nothing on standard output."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


# The command itself


def imported_by(*arguments: str, registry: str) -> set[str]:
    """Return the packages, but for the standard library's, that a command imports."""
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from shearling.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        "roots = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print('\\n', *sorted(roots - sys.stdlib_module_names))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={"SHEARLING_REGISTRY": registry},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(answer.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["--help"], {"shearling"}),
        (["push", "--help"], {"shearling"}),
        (["list"], {"shearling", "obstore"}),
        (["show", "fraud:prod"], {"shearling", "obstore"}),
        (["alias", "list", "fraud"], {"shearling", "obstore"}),
        (["alias", "set", "fraud", "prod", "2"], {"shearling", "obstore"}),
        (["rollback", "fraud", "prod"], {"shearling", "obstore"}),
        (["status"], {"shearling", "obstore"}),
        (["pull", "fraud", "copy"], {"shearling", "obstore"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_imports_no_more_than_it_needs(
    models: Registry, tmp_path: Path, arguments: list[str], allowed: set[str]
) -> None:
    models.set_alias("fraud", "prod", 3)
    assert imported_by(*arguments, registry=str(tmp_path / "registry")) <= allowed


def test_the_installed_command_runs(models: Registry, tmp_path: Path) -> None:
    answer = subprocess.run(
        [COMMAND, "list"],
        env={"SHEARLING_REGISTRY": str(tmp_path / "registry")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.startswith("MODEL")
    assert models.store.uri not in answer.stderr


def test_the_installed_command_fails_with_one_line_and_exit_code_1(tmp_path: Path) -> None:
    arguments = [COMMAND, "show", "nope", "--registry", str(tmp_path)]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr == f"shearling: no model 'nope' in file://{tmp_path}; it has none\n"


@pytest.mark.usefixtures("models")
def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [COMMAND, "show", "fraud", "--json"],
        env={"SHEARLING_REGISTRY": str(tmp_path / "registry")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert output(capsys) == f"shearling {shearling.__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        "push",
        "list",
        "versions",
        "show",
        "pull",
        "alias set",
        "alias list",
        "alias history",
        "rollback",
        "status",
        "release",
        "invoke",
        "package",
    ],
)
def test_the_help_of_each_command_has_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    assert f"example:\n  shearling {command}" in output(capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "nope",
        "show",
        "alias",
        "alias set fraud prod newest",
        "alias set fraud prod 1 --canary 2",
        "push x.onnx --name fraud --example x.npy --wait",
        "push x.onnx --name fraud --example x.npy --metadata auc",
        "push x.onnx --name fraud --example x.npy --metadata a=1 a=2",
        "release fraud:prod staging",
        "invoke https://example.org",
        "invoke acme-fraud:prod --csv a --npy b",
        "invoke acme-fraud:prod --csv a --raw --output b.csv",
        "invoke acme-fraud:prod --csv a --rows-per-call many",
        "package runtime --architecture sparc",
        "package control --for fraud",
        "package",
    ],
)
def test_wrong_usage_exits_with_2(
    registry: Registry, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments.split())
    assert "usage: shearling" in error(capsys)
    assert registry.models() == []


def test_a_missing_registry_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SHEARLING_REGISTRY", raising=False)
    assert main(["list"]) == 1
    assert error(capsys).startswith("shearling: no registry: ")


def failing(problem: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(Registry, "models", fail)


@pytest.mark.usefixtures("registry")
def test_an_unforeseen_error_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ZeroDivisionError("by\nzero"), monkeypatch)
    assert main(["list"]) == 1
    assert error(capsys) == (
        "shearling: unexpected ZeroDivisionError: by zero (SHEARLING_DEBUG=1 shows where)\n"
    )


@pytest.mark.usefixtures("registry")
def test_an_error_shows_where_it_is_from_when_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLING_DEBUG", "1")
    failing(ZeroDivisionError(), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        main(["list"])


@pytest.mark.usefixtures("registry")
def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(KeyboardInterrupt(), monkeypatch)
    assert main(["list"]) == 130


# Tables


def test_a_table_is_aligned_with_numbers_at_the_right() -> None:
    rows = [["a", 1, None, 0.5], ["long name", 1000, "two\nlines", 123456.789]]
    assert table(["NAME", "COUNT", "NOTE", "SHARE"], rows).splitlines() == [
        "NAME       COUNT  NOTE        SHARE",
        "a              1  -             0.5",
        "long name   1000  two lines  123457",
    ]


def test_a_table_without_rows_is_its_headers() -> None:
    assert table(["NAME", "COUNT"], []) == "NAME  COUNT"


# push


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", "age,height\n1,2.5\n3,4\n"),
        ("bare.csv", "1,2.5\n3,4\n"),
        ("rows.json", "[[1, 2.5], [3, 4]]"),
        ("inputs.json", '{"X": [[1, 2.5], [3, 4]]}'),
        ("records.json", '[{"age": 1, "height": 2.5}, {"age": 3, "height": 4}]'),
        (
            "request.json",
            '{"inputs": [{"name": "X", "datatype": "INT8", "shape": [1, 2], "data": [1, 2]}]}',
        ),
        ("rows.npy", ""),
        ("rows.npz", ""),
    ],
)
def test_an_example_may_have_any_of_the_forms(
    registry: Registry, graph: str, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    path = Path(name)
    rows = np.array([[1, 2.5], [3, 4]])
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".npz":
        np.savez(path, X=rows)
    else:
        path.write_text(text)
    assert run("push", graph, "--name", "fraud", "--example", name) == 0
    assert output(capsys).startswith("fraud:1 (onnx, ")
    assert registry.manifest("fraud").signature.inputs[0].name == "X"


def test_a_push_names_an_alias_and_keeps_metadata(
    registry: Registry, graph: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(tmp_path / "rows.csv", "a,b\n1,2\n")
    told = ["--metadata", "auc=0.93", "owner=a=b", "--metadata", "x=", "--rtol", "0.5"]
    arguments = ["push", graph, "--name", "fraud", "--example", rows, "--alias", "prod", *told]
    assert run(*arguments, "--json") == 0
    document = json.loads(output(capsys))
    assert (document["version"], document["alias"], document["is_new"]) == (1, "prod", True)
    manifest = registry.manifest("fraud:prod")
    assert manifest.metadata == {"auc": "0.93", "owner": "a=b", "x": ""}
    assert (manifest.example.rtol, manifest.example.atol) == (0.5, 1e-4)
    assert run(*arguments) == 0
    assert "nothing uploaded" in output(capsys)


def test_strings_and_gaps_of_a_csv_file_become_inputs_of_their_own(
    tmp_path: Path,
) -> None:
    from shearling.cli.data import read_data
    from shearling.tensors.inputs import to_tensors
    from shearling.tensors.spec import TensorSpec

    path = tmp_path / "rows.csv"
    path.write_text("﻿age,city,size\n1,Ulm,2.5\n\n3,Köln,\n", encoding="utf-8")
    types = {"age": "INT64", "city": "BYTES", "size": "FP32"}
    specs = [TensorSpec(name=n, datatype=t, shape=(-1, 1)) for n, t in types.items()]
    tensors = to_tensors(read_data(path), specs)
    assert tensors["age"].tolist() == [[1], [3]]
    assert tensors["city"].tolist() == [["Ulm"], ["Köln"]]
    np.testing.assert_array_equal(tensors["size"], np.array([[2.5], [np.nan]], np.float32))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("rows.csv", "a,b\n1\n", "rows.csv: row 2 has 1 cells, and the first one 2"),
        ("rows.csv", "a,b\n", "rows.csv has no rows"),
        ("rows.csv", "", "rows.csv has no rows"),
        ("rows.json", "{", "rows.json is not JSON: "),
        ("rows.json", "7", "rows.json: expected rows"),
        ("rows.json", "[[1], [2, 3]]", "rows.json: ValueError: "),
        ("rows.json", '[{"a": 1}, {"b": 1}]', "rows.json: row 2 lacks column 'a'"),
        ("rows.json", '{"inputs": [{"name": "X"}]}', "rows.json: KeyError: 'data'"),
        ("rows.npy", "text", "rows.npy is not a file of arrays: "),
        ("rows.parquet", "", "rows.parquet: expected one of .npy, .npz, .json, .csv"),
    ],
)
@pytest.mark.usefixtures("registry")
def test_a_broken_example_is_refused_by_name(
    graph: str, capsys: pytest.CaptureFixture[str], name: str, text: str, problem: str
) -> None:
    Path(name).write_text(text)
    assert run("push", graph, "--name", "fraud", "--example", name) == 1
    assert error(capsys).startswith(f"shearling: {problem}")
    assert Registry().models() == []


def test_an_example_that_is_not_there_is_refused_by_name(
    registry: Registry, graph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("push", graph, "--name", "fraud", "--example", "rows.csv") == 1
    assert error(capsys) == "shearling: rows.csv: No such file or directory\n"
    assert registry.models() == []


# list, versions, show


def test_an_empty_registry_lists_nothing_and_says_so(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list") == 0
    assert error(capsys).startswith(f"no models in {registry.store.uri} yet")


def test_models_are_listed_with_their_newest_version(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    push_model(scaling_graph(), "other", example=ROWS, registry=models)
    models.set_alias("fraud", "staging", 2, canary={"version": 3, "percent": 10})
    assert run("list") == 0
    header, fraud, other = output(capsys).splitlines()
    assert header.split() == ["MODEL", "NEWEST", "ALIASES", "SIZE", "PUSHED", "(UTC)"]
    assert fraud.startswith("fraud       3  prod -> 1; staging -> 2 (10 %: 3)  ")
    assert other.startswith("other       1  -  ")
    assert run("list", "--json") == 0
    fraud, other = json.loads(output(capsys))
    assert (fraud["version"], fraud["aliases"]) == (3, {"prod": 1, "staging": 2})
    assert other["digest"] == models.resolve("other").digest


@pytest.mark.parametrize("command", ["list", "versions"])
def test_versions_are_listed_newest_first(
    models: Registry, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    models.set_alias("fraud", "prod", 1, canary={"version": 3, "percent": 10})
    assert run(command, "fraud") == 0
    rows = [line.split("  ") for line in output(capsys).splitlines()]
    assert [row[0].strip() or row[3].strip() for row in rows[1:]] == ["3", "2", "1"]
    assert run(command, "fraud", "--json") == 0
    assert [(version["version"], version["aliases"]) for version in json.loads(output(capsys))] == [
        (3, ["prod (10 %)"]),
        (2, []),
        (1, ["prod"]),
    ]


def test_the_registry_may_be_an_option(
    models: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("SHEARLING_REGISTRY")
    assert run("versions", "fraud", "--registry", str(tmp_path / "registry")) == 0
    assert len(output(capsys).splitlines()) == 1 + len(models.versions("fraud"))


def test_a_version_is_shown_whole(models: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    pushed = push_model(
        scaling_graph(5.0), "fraud", example=ROWS, metadata={"auc": 0.93}, registry=models
    )
    assert run("show", "fraud") == 0
    shown = output(capsys)
    assert shown.startswith(f"{pushed.pin}\n")
    for line in (
        "aliases    -",
        "metadata   auc: 0.93",
        "tolerance  relative 0.001, absolute 0.0001",
        "input   X     FP32      [-1, 2]  taken",
        "output  Y     FP32      [-1, 2]  -",
    ):
        assert line in shown.splitlines()
    assert all(file.digest in shown for file in models.manifest("fraud").files)


def test_an_environment_is_shown(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    push_pickle(registry)
    assert run("show", "guess") == 0
    (line,) = (line for line in output(capsys).splitlines() if line.startswith("environment"))
    assert line.startswith(f"environment  Python {PYTHON}; ")
    assert "numpy==" in line


def test_a_version_is_shown_to_a_machine(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", "fraud:prod", "--json") == 0
    document = json.loads(output(capsys))
    assert (document["version"], document["aliases"]) == (1, ["prod"])
    assert document["manifest"]["signature"]["inputs"][0]["name"] == "X"
    assert document["digest"] == models.resolve("fraud:1").digest


# pull


def test_a_pulled_version_is_its_manifest_and_its_files(
    models: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "a" / "copy"
    assert run("pull", "fraud:prod", str(copy)) == 0
    assert output(capsys).startswith("fraud:1: 3 files, ")
    manifest = models.manifest("fraud:1")
    assert digest_of((copy / "manifest.json").read_bytes()) == models.resolve("fraud:1").digest
    assert {path.name for path in copy.iterdir()} == {
        "manifest.json",
        *(file.path for file in manifest.files),
    }
    for file in manifest.files:
        assert digest_of((copy / file.path).read_bytes()) == file.digest


def test_a_directory_with_something_in_it_is_left_alone_unless_forced(
    models: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "copy" / "model.onnx"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert run("pull", "fraud", str(mine.parent)) == 1
    assert "is not empty; --force" in error(capsys)
    assert mine.read_text() == "mine"
    assert run("pull", "fraud", str(mine.parent), "--force") == 0
    assert digest_of(mine.read_bytes()) == models.manifest("fraud").file("model.onnx").digest


def test_a_tampered_file_is_not_pulled(
    models: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = models.manifest("fraud").file("model.onnx")
    models.store.write(f"blobs/sha256/{file.hex}", bytes(file.size))
    assert run("pull", "fraud", str(tmp_path / "copy")) == 1
    assert "model.onnx" in error(capsys)
    assert list((tmp_path / "copy").iterdir()) == []


# alias, rollback, status


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


def test_aliases_are_told_to_a_machine(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    models.set_alias("fraud", "prod", 2, canary={"version": 3, "percent": 10}, reason="try")
    expected = {"model": "fraud", "alias": "prod", "entry": 2, "version": 2, "reason": "try"}
    expected_canary = {"version": 3, "percent": 10}
    for command in (["list", "fraud"], ["history", "fraud", "prod"]):
        assert run("alias", *command, "--json") == 0
        newest = json.loads(output(capsys))[0]
        assert newest.pop("canary") == expected_canary
        assert newest.pop("created").startswith("20")
        assert newest == expected


def test_a_model_without_aliases_says_so(
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
        ("rollback fraud prod", "there is nothing to roll fraud:prod back to"),
        ("list nope", "no model 'nope'"),
        ("show fraud:9", "no version 9"),
        ("show Fraud", "model 'Fraud'"),
        ("pull nope copy", "no model 'nope'"),
        ("release fraud", "no function serves 'fraud'"),
        ("release nope", "no model 'nope'"),
        ("invoke acme-fraud", "target 'acme-fraud'"),
        ("package runtime --for fraud", "fraud is kept as onnx"),
    ],
)
def test_what_is_not_there_is_one_line(
    models: Registry, capsys: pytest.CaptureFixture[str], arguments: str, problem: str
) -> None:
    assert run(*arguments.split()) == 1
    told = error(capsys)
    assert told.startswith(f"shearling: {problem}")
    assert told.count("\n") == 1
    assert models.resolve("fraud:prod").version == 1


def test_waiting_returns_when_the_function_has_released_it(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = deploy(models)
    record(models, deployment, "prod", 2, 3)
    assert run("alias", "set", "fraud", "prod", "3", "--wait") == 0
    assert output(capsys) == "fraud:prod -> 3, and every function that serves it has released it\n"


def test_the_status_is_told(models: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    deployment = deploy(models, aliases=["prod"])
    record(models, deployment, "prod", 1, 1)
    assert run("status", "fraud") == 0
    assert "fraud:prod" in output(capsys)
    assert run("status", "--json") == 0
    (row,) = json.loads(output(capsys))["aliases"]
    assert (row["function"], row["serves"], row["outcome"]) == ("acme-fraud", 1, "released")


# release


def result(**changes: Any) -> dict[str, Any]:
    return {
        "function": "acme-fraud",
        "alias": "prod",
        "outcome": "released",
        "version": 1,
        "lambda_version": "4",
        "reason": "",
    } | changes


def test_a_release_asks_the_releaser_of_each_region_and_shows_what_it_did(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(models)
    deploy(models, "acme-fraud-2")
    deploy(models, "acme-fraud-3", region="us-east-1", aliases=["prod"])
    door = LambdaDoor({"acme_releaser": lambda _: {"results": [result()]}})
    assert run("release", "fraud", "prod", door=door) == 0
    assert door.calls == [("acme_releaser", {"model": "fraud", "alias": "prod"})] * 2
    assert door.regions == ["eu-west-1", "us-east-1"]
    lines = output(capsys).splitlines()
    assert lines[1] == "acme-fraud  prod   released        1  4               -"


@pytest.mark.parametrize(("arguments", "alias"), [("fraud:staging", "staging"), ("fraud", None)])
def test_a_release_may_name_the_alias_in_a_ref_or_none(
    models: Registry, capsys: pytest.CaptureFixture[str], arguments: str, alias: str | None
) -> None:
    deploy(models)
    door = LambdaDoor({"acme_releaser": lambda _: {"results": [result()]}})
    assert run("release", arguments, "--json", door=door) == 0
    assert door.calls == [("acme_releaser", {"model": "fraud", "alias": alias})]
    assert json.loads(output(capsys)) == [result()]


def test_a_failed_release_is_one_line_and_the_other_regions_are_asked_all_the_same(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(models)
    deploy(models, "acme-fraud-2", releaser="other_releaser")
    door = LambdaDoor(
        {
            "acme_releaser": lambda _: FunctionError("acme-fraud:prod: it answers otherwise"),
            "other_releaser": lambda _: {"results": [result(function="acme-fraud-2")]},
        }
    )
    assert run("release", "fraud", door=door) == 1
    captured = capsys.readouterr()
    assert "acme-fraud-2" in captured.out
    assert captured.err.splitlines()[-1] == (
        "shearling: acme_releaser: acme-fraud:prod: it answers otherwise"
    )


def test_a_releaser_that_is_gone_is_one_line(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(models)
    assert run("release", "fraud", door=LambdaDoor({})) == 1
    assert error(capsys).splitlines()[-1].startswith("shearling: An error occurred (ResourceNotF")


@pytest.mark.parametrize("answer", [{"results": 1}, {}, [], b"no JSON"])
def test_a_function_that_is_no_releaser_is_told(
    models: Registry, capsys: pytest.CaptureFixture[str], answer: object
) -> None:
    deploy(models)
    assert run("release", "fraud", door=LambdaDoor({"acme_releaser": lambda _: answer})) == 1
    assert "acme_releaser is no releaser: it answered" in error(capsys)


# invoke


def invoke(door: LambdaDoor, *arguments: str) -> int:
    return run("invoke", TARGET, *arguments, door=door)


def test_without_data_it_says_what_to_pass_and_runs_nothing(
    door: LambdaDoor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(door) == 0
    shown = output(capsys)
    assert shown.startswith("acme-fraud:prod serves fraud:1 ")
    assert "input   X     FP32      [-1, 2]" in shown
    assert "--csv rows.csv" in shown
    assert door.calls == [(TARGET, {"shearling": "metadata"})]
    assert invoke(door, "--raw") == 0
    assert json.loads(output(capsys))["inputs"][0]["name"] == "X"


def test_rows_of_a_file_are_answered_in_a_table(
    door: LambdaDoor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    sources = {
        "--csv": write(tmp_path / "rows.csv", "age,height\n1,2\n3,4\n5,6\n"),
        "--json": write(tmp_path / "rows.json", json.dumps(ROWS.tolist())),
        "--npy": str(tmp_path / "rows.npy"),
    }
    for option, path in sources.items():
        assert invoke(door, option, path) == 0
        captured = capsys.readouterr()
        assert captured.out.splitlines() == ["Y[0]  Y[1]", "   2     4", "   6     8", "  10    12"]
        assert captured.err == "answered by fraud:1\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('[{"age": 1, "height": 2}, {"age": 3}]', "row 2 lacks column 'height', unlike the first"),
        ('[{"age": 1}, {"age": 3, "height": 2}]', "row 2 has column 'height', unlike the first"),
        ('[{"age": 1}, [3]]', "row 2 is no object, as the first is"),
    ],
)
def test_rows_of_other_columns_than_the_first_are_refused_before_they_are_sent(
    door: LambdaDoor, tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, message: str
) -> None:
    path = write(tmp_path / "rows.json", rows)
    assert invoke(door, "--json", path) == 1
    assert error(capsys) == f"shearling: {path}: {message}\n"


def piped(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_a_table_may_be_piped_in(
    door: LambdaDoor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(b"age,height\n1,2\n", monkeypatch)
    assert invoke(door, "--csv", "-") == 0
    assert output(capsys).splitlines()[1:] == ["   2     4"]
    piped(b"age,height\n1\n", monkeypatch)
    assert invoke(door, "--csv", "-") == 1
    assert error(capsys).startswith("shearling: standard input: row 2 has 1 cells")


def test_a_request_is_sent_as_it_is(
    door: LambdaDoor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tensor = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    request = {"id": "mine", "inputs": [tensor]}
    piped(json.dumps(request).encode(), monkeypatch)
    assert invoke(door, "--json", "-", "--raw") == 0
    answer = json.loads(output(capsys))
    assert (answer["id"], answer["model_version"]) == ("mine", "1")
    assert door.calls == [(TARGET, request)]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "shearling: standard input is not JSON: "),
        (b"[[1, 2, 3]]", "shearling: input 'X'"),
        (b'{"inputs": []}', "shearling: inputs: missing X FP32[-1, 2]"),
    ],
)
def test_data_that_does_not_fit_is_one_line(
    door: LambdaDoor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: bytes,
    problem: str,
) -> None:
    piped(data, monkeypatch)
    assert invoke(door, "--json", "-") == 1
    assert error(capsys).startswith(problem)


@pytest.mark.usefixtures("registry")
def test_a_function_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(LambdaDoor({})) == 1
    assert error(capsys).startswith("shearling: cannot invoke acme-fraud:prod: ")


METADATA: dict[str, Any] = {"name": "fraud", "versions": ["1"], "inputs": []}


def answer_of(**outputs: tuple[str, Sequence[int], list[Any]]) -> dict[str, Any]:
    tensors = [
        {"name": name, "datatype": datatype, "shape": shape, "data": data}
        for name, (datatype, shape, data) in outputs.items()
    ]
    return {"model_name": "fraud", "model_version": "1", "outputs": tensors}


def test_outputs_stand_side_by_side_and_large_ones_are_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answer_of(
        label=("BYTES", [2], ["good", "bad"]),
        scores=("FP32", [2, 20], [0.25] * 40),
        mean=("FP64", [], [0.5]),
    )
    request = write(tmp_path / "request.json", '{"inputs": []}')
    door = LambdaDoor({TARGET: lambda _: answer})
    assert invoke(door, "--json", request) == 0
    captured = capsys.readouterr()
    header, first, second = captured.out.splitlines()
    assert header.split() == ["label", *(f"scores[{i}]" for i in range(12)), "mean"]
    assert first.split() == ["good", *["0.25"] * 12, "0.5"]
    assert second.split() == ["bad", *["0.25"] * 12, "-"]
    assert "scores is 2 rows of 20: --raw prints all of it" in captured.err


def test_an_answer_without_rows_is_a_table_without_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = write(tmp_path / "request.json", '{"inputs": []}')
    door = LambdaDoor({TARGET: lambda _: answer_of(scores=("FP32", [0, 2], []))})
    assert invoke(door, "--json", request) == 0
    assert output(capsys) == "scores[0]  scores[1]\n"


def inferred(door: LambdaDoor) -> list[Any]:
    """The requests of a door that ask for more than metadata."""
    return [event for _, event in door.calls if "shearling" not in event]


def test_a_table_is_read_as_the_functions_read_it(
    door: LambdaDoor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = write(tmp_path / "rows.csv", "0,1\n5,6\n")
    assert invoke(door, "--csv", counted) == 1
    assert f"{counted}: the first line, 0, 1 ..., may be names or values" in error(capsys)
    assert invoke(door, "--csv", counted, "--header", "present") == 0
    assert output(capsys).splitlines() == ["Y[0]  Y[1]", "  10    12"]


def test_instances_are_rows_too(
    door: LambdaDoor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(tmp_path / "rows.json", json.dumps({"instances": ROWS.tolist()}))
    assert invoke(door, "--json", rows) == 0
    assert len(output(capsys).splitlines()) == 1 + len(ROWS)


def test_rows_are_answered_in_order_by_as_many_calls_as_they_need(
    door: LambdaDoor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(tmp_path / "rows.csv", "age,height\n" + "".join(f"{i},0\n" for i in range(7)))
    options = ["--csv", rows, "--rows-per-call", "2", "--max-concurrency", "2"]
    assert invoke(door, *options) == 0
    assert [line.split()[0] for line in output(capsys).splitlines()[1:]] == [
        str(2 * i) for i in range(7)
    ]
    assert len(inferred(door)) == 4
    assert invoke(door, *options, "--raw") == 0
    (tensor,) = json.loads(output(capsys))["outputs"]
    assert (tensor["shape"], tensor["data"][::2]) == ([7, 2], [2.0 * i for i in range(7)])


def test_a_file_that_is_too_large_for_a_call_just_works(door: LambdaDoor, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((300_000, 2), np.float32)
    np.save(tmp_path / "rows.npy", rows)
    answers = tmp_path / "answers.npy"
    assert invoke(door, "--npy", str(tmp_path / "rows.npy"), "--output", str(answers)) == 0
    np.testing.assert_array_equal(np.load(answers), rows * 2)
    assert len(inferred(door)) > 1


def test_what_is_too_large_and_cannot_be_cut_says_that_it_is_too_large(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    takes = {"name": "X", "datatype": "FP64", "shape": [2, 2]}
    answers = iter([{"name": "fraud", "inputs": [takes], "outputs": []}])
    refused = {"error": "the answer is too large", "status": 413}
    door = LambdaDoor({TARGET: lambda _: next(answers, refused)})
    assert invoke(door, "--json", write(tmp_path / "rows.json", "[[1, 2], [3, 4]]")) == 1
    assert error(capsys) == "shearling: the answer is too large\n"


def test_rows_without_an_answer_are_told_and_the_other_answers_are_written(
    door: LambdaDoor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = door.functions[TARGET]

    def function(event: Any) -> Any:
        is_odd = "shearling" not in event and 3.0 in event["inputs"][0]["data"]
        return FunctionError("out of memory") if is_odd else runtime(event)

    door.functions[TARGET] = function
    rows = write(tmp_path / "rows.csv", "age,height\n1,2\n3,4\n5,6\n")
    answers = tmp_path / "answers.csv"
    assert invoke(door, "--csv", rows, "--rows-per-call", "1", "--output", str(answers)) == 1
    assert error(capsys).splitlines() == [
        f"{answers}: 2 rows",
        "shearling: 1 of 3 rows have no answer:",
        "  row 1: acme-fraud:prod failed: out of memory",
    ]
    assert answers.read_text().splitlines() == ["Y[0],Y[1]", "2.0,4.0", "10.0,12.0"]


def test_an_answer_is_written_as_the_files_name_says(tmp_path: Path) -> None:
    answer = answer_of(label=("BYTES", [2], ["good", "b,d"]), score=("FP32", [2, 1], [0.1, 7]))
    door = LambdaDoor(
        {TARGET: lambda event: answer if "inputs" in event else METADATA | {"outputs": []}}
    )
    request = write(tmp_path / "request.json", '{"inputs": []}')
    for kind in ("csv", "npz", "json"):
        assert invoke(door, "--json", request, "--output", str(tmp_path / f"answer.{kind}")) == 0
    assert (tmp_path / "answer.csv").read_text() == 'label,score\ngood,0.1\n"b,d",7.0\n'
    with np.load(tmp_path / "answer.npz") as arrays:
        assert arrays["label"].tolist() == ["good", "b,d"]
        np.testing.assert_array_equal(arrays["score"], np.array([[0.1], [7]], np.float32))
    document = json.loads((tmp_path / "answer.json").read_text())
    assert read_answer(document)["label"].tolist() == ["good", "b,d"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("answers.txt", "answers.txt: expected one of .csv, .npy, .npz, .json"),
        ("none/answers.csv", "none/answers.csv: there is no directory none"),
        ("answers.npy", "answers.npy: one array, and the model gives a FP32[-1], b FP32[-1]: "),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_a_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    gives = [{"name": each, "datatype": "FP32", "shape": [-1]} for each in "ab"]
    door = LambdaDoor({TARGET: lambda _: METADATA | {"outputs": gives}})
    request = write(tmp_path / "request.json", '{"inputs": []}')
    assert invoke(door, "--json", request, "--output", name) == 1
    assert error(capsys).startswith(f"shearling: {message}")
    assert inferred(door) == []


def test_a_request_is_not_cut(
    door: LambdaDoor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = write(tmp_path / "request.json", '{"inputs": []}')
    assert invoke(door, "--json", request, "--rows-per-call", "1") == 1
    assert "are for rows: a request is sent as it is" in error(capsys)
    assert inferred(door) == []


# package

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def push_pickle(registry: Registry) -> None:
    push_model(np.abs, "guess", example=ROWS, format="cloudpickle", registry=registry)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is asked of the builder, which takes its time elsewhere."""
    asked: list[dict[str, Any]] = []

    def build(kind: str, **options: Any) -> str:
        options.pop("progress")("Zipping")
        asked.append({"kind": kind, **options})
        return "the report"

    monkeypatch.setattr(shearling.package, "build_package", build)
    return asked


def test_a_package_is_built_with_what_was_asked_for(
    builds: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--python", "3.12", "--architecture", "arm64", "--output", "x.zip"]
    assert run("package", "control", *options) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("the report\n", "Zipping\n")
    assert run("package", "runtime") == 0
    assert builds == [
        {
            "kind": "control",
            "python": "3.12",
            "architecture": "arm64",
            "output": Path("x.zip"),
            "requirements": (),
        },
        {
            "kind": "runtime",
            "python": "3.13",
            "architecture": "x86_64",
            "output": Path("build/runtime.zip"),
            "requirements": (),
        },
    ]


def test_the_package_of_a_pickle_has_its_requirements_and_its_python(
    registry: Registry, builds: list[dict[str, Any]]
) -> None:
    push_pickle(registry)
    assert run("package", "runtime", "--for", "guess:1") == 0
    environment = registry.manifest("guess").environment
    assert environment
    assert builds[0]["python"] == environment.python == PYTHON
    assert builds[0]["requirements"] == environment.requirements
    assert builds[0]["output"] == Path("build/runtime-guess-1.zip")


def test_the_package_of_a_pickle_has_no_other_python(
    registry: Registry, builds: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    push_pickle(registry)
    with pytest.raises(SystemExit, match="2"):
        run("package", "runtime", "--for", "guess", "--python", "3.10")
    assert f"guess was pushed with Python {PYTHON}" in error(capsys)
    assert builds == []


def test_a_package_that_is_refused_shows_its_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise shearling.PackageError("too large\n  onnxruntime  100 MB")

    monkeypatch.setattr(shearling.package, "build_package", refuse)
    assert run("package", "runtime") == 1
    assert error(capsys) == "shearling: too large\n  onnxruntime  100 MB\n"
