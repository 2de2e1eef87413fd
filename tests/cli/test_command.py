"""The command itself: usage, errors, exit codes, and what it imports."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import shearling.models.push
import shearling.package
from shearling.cli import main
from shearling.registry.registry import Registry
from shearling.text_table import table
from tests.support.bundles import scaling_graph
from tests.support.cli import error, output

COMMAND = str(Path(sys.executable).with_name("shearling"))


def imported_by(*arguments: str, registry: str) -> set[str]:
    """Return the packages that a command imports, without the standard library's."""
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
    assert answer.stderr == f"shearling: no model 'nope' in file://{tmp_path}; its models: none\n"


@pytest.mark.usefixtures("models")
def test_a_closed_pipe_prints_no_error(tmp_path: Path) -> None:
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
        "retry-release",
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
        "alias set fraud prod 2.5",
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


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "list fraud",
        "versions fraud",
        "show fraud",
        "diff fraud:1 fraud:2",
        "pull fraud copy",
        "verify fraud",
        "plan fraud",
        "alias list fraud",
        "alias history fraud prod",
        "alias set fraud prod 1",
        "alias set fraud prod 1 --dry-run",
        "alias delete fraud prod",
        "rollback fraud prod",
        "rollback fraud prod --wait",
        "status",
        "status fraud",
        "retry-release fraud",
        "prune",
        "serve fraud",
        "package runtime --for fraud",
    ],
)
def test_a_directory_that_does_not_exist_is_no_registry_and_is_not_created(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "mistyped" / "registry"
    assert main([*command.split(), "--registry", str(place)]) == 1
    assert error(capsys) == (
        f"shearling: there is no registry at file://{place}: the directory does not exist. "
        "Correct the path, or push a first model, which creates the registry\n"
    )
    assert list(tmp_path.iterdir()) == []


def failing(problem: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(Registry, "models", fail)


@pytest.mark.usefixtures("registry")
def test_an_unexpected_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ZeroDivisionError("by\nzero"), monkeypatch)
    assert main(["list"]) == 1
    assert error(capsys) == (
        "shearling: unexpected ZeroDivisionError: by zero (SHEARLING_DEBUG=1 shows the traceback)\n"
    )


@pytest.mark.usefixtures("registry")
@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_line_without_the_place_in_the_code_and_shown_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn(_: Registry) -> list[str]:
        for text in ("raise rtol=\nor atol=", "raise rtol=\nor atol=", "a\x1b[2Jnother"):
            warnings.warn(text, UserWarning, stacklevel=1)
        return []

    monkeypatch.setattr(Registry, "models", warn)
    assert main(["list"]) == 0
    shown = error(capsys)
    assert shown.startswith(
        "warning: raise --rtol or --atol\nwarning: a\\u001b[2Jnother\nno models"
    )


@pytest.mark.usefixtures("registry")
@pytest.mark.filterwarnings("default")
def test_a_warning_of_a_push_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = scaling_graph()
    graph.graph.node[0].CopyFrom(helper.make_node("Softmax", ["X"], ["Y"], axis=0))
    onnx.save(graph, tmp_path / "shares.onnx")
    np.save(tmp_path / "rows.npy", np.array([[1, 2], [3, 4], [5, 7]], np.float32))
    assert main(["push", "shares.onnx", "--name", "shares", "--example", "rows.npy"]) == 0
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith("warning: a row's answer depends on the other rows of its request")
    assert others == []


@pytest.mark.usefixtures("registry")
def test_an_error_has_its_traceback_when_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEARLING_DEBUG", "1")
    failing(ZeroDivisionError(), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        main(["list"])


@pytest.mark.usefixtures("registry")
def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(KeyboardInterrupt(), monkeypatch)
    assert main(["list"]) == 130


def test_a_table_is_aligned_with_numbers_at_the_right() -> None:
    rows = [["a", 1, None, 0.5], ["long name", 1000, "two\nlines", 123456.789]]
    assert table(["NAME", "COUNT", "NOTE", "SHARE"], rows).splitlines() == [
        "NAME       COUNT  NOTE        SHARE",
        "a              1  -             0.5",
        "long name   1000  two lines  123457",
    ]


def test_a_table_without_rows_is_its_headers() -> None:
    assert table(["NAME", "COUNT"], []) == "NAME  COUNT"
