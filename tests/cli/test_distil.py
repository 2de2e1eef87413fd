"""The command `shearling distil`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from shearling.models.push import push_model
from tests.support.cli import error, output, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shearling.registry.registry import Registry

X = np.random.default_rng(5).normal(size=(400, 3)).astype(np.float32)
SIDES = np.where(X.sum(axis=1) > 0, "up", "down").astype(object)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


@pytest.fixture
def rows(tmp_path: Path) -> str:
    lines = [",".join(map(str, [*row, side])) for row, side in zip(X, SIDES, strict=True)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["a,b,c,side", *lines]))
    return str(path)


@pytest.fixture
def teacher(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHEARLING_REGISTRY", registry.store.uri)
    push_model(LogisticRegression().fit(X, SIDES), "large", example=X[:9], registry=registry)
    return "large"


def test_a_version_is_distilled_and_the_report_printed(
    teacher: str, rows: str, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--name", "small", "--label-column", "side", "--min-agreement", "0.9", "--json")
    assert run("distil", teacher, "--data", rows, *options) == 0
    report = json.loads(output(capsys))
    assert report["version"].startswith("small:1@")
    assert report["rows"]["labelled"] == 100
    assert registry.manifest(registry.resolve("small")).metadata["parent"].startswith("large:1@")


def test_a_row_with_an_empty_label_has_none(
    teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = np.where(np.arange(400) % 2, SIDES, "")
    lines = [f"{a},{b},{c},{side}" for (a, b, c), side in zip(X, sides, strict=True)]
    path = tmp_path / "half.csv"
    path.write_text("\n".join(["a,b,c,side", *lines]))
    options = ("--name", "small", "--label-column", "side", "--min-agreement", "0.9", "--json")
    assert run("distil", teacher, "--data", str(path), *options) == 0
    report = json.loads(output(capsys))
    assert 0 < report["rows"]["labelled"] < 100
    assert report["conclusion"]


def test_a_report_without_a_version_follows_the_error(
    teacher: str, rows: str, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(1).permutation(SIDES)
    forest = RandomForestClassifier(20, random_state=0).fit(X, noise)
    push_model(forest, teacher, example=X[:9], registry=registry)
    options = ("--name", "small", "--label-column", "side")
    assert run("distil", teacher, "--data", rows, *options) == 1
    text = error(capsys)
    assert "lower --min-agreement" in text
    assert "VERDICT" in text


def test_a_column_that_is_not_there_is_named(
    teacher: str, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("distil", teacher, "--data", rows, "--name", "small", "--label-column", "fraud") == 1
    assert "has no column 'fraud': --label-column is one of a, b, c, side" in error(capsys)


def test_an_array_of_rows_has_its_labels_in_a_file(
    teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "rows.npy", X)
    (tmp_path / "sides.csv").write_text("\n".join(["side", *SIDES]))
    given = ("distil", teacher, "--data", str(tmp_path / "rows.npy"), "--name", "small")
    options = ("--labels", str(tmp_path / "sides.csv"), "--min-agreement", "0.9", "--json")
    assert run(*given, *options) == 0
    assert json.loads(output(capsys))["rows"]["labelled"] == 100
    assert run(*given, "--label-column", "side") == 1
    assert "has no column names" in error(capsys)
