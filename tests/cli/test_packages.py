"""package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import shearling.models.push
import shearling.package
from tests.support.cli import PYTHON, error, push_pickle, run

if TYPE_CHECKING:
    from shearling.registry.registry import Registry


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Records the calls of the builder, which other tests run for real."""
    asked: list[dict[str, Any]] = []

    def build(kind: str, **options: Any) -> str:
        options.pop("progress")("Zipping")
        asked.append({"kind": kind, **options})
        return "the report"

    monkeypatch.setattr(shearling.package, "build_package", build)
    return asked


def test_a_package_is_built_with_the_given_options(
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


def test_the_package_of_a_pickle_refuses_another_python(
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
