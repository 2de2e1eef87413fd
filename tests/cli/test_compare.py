"""The command `shearling compare`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph
from tests.support.cli import error, output, run, write
from tests.support.datasets import WORDS, X

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry


@pytest.fixture
def versions(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("SHEARLING_REGISTRY", registry.store.uri)
    for factor in (1.0, 2.0):
        push_model(scaling_graph(factor), "fraud", example=ROWS, registry=registry)
    registry.set_alias("fraud", "prod", 1)
    return registry


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return write(tmp_path / "golden.csv", "1,2\n3,4\n")


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ((), 0),
        (("--max-difference", "4"), 0),
        (("--max-difference", "3.9"), 3),
        (("--min-agreement", "0.5"), 3),
    ],
)
@pytest.mark.usefixtures("versions")
def test_the_exit_code_says_whether_the_version_keeps_the_limits(
    rows: str, limits: tuple[str, ...], code: int
) -> None:
    arguments = ("compare", "fraud:2", "--against", "prod", "--csv", rows, *limits)
    if code:
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert ended.value.code == code
    else:
        assert run(*arguments) == 0


@pytest.mark.usefixtures("versions")
def test_what_speaks_against_a_version_is_printed_with_the_options(
    rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("compare", "fraud", "--csv", rows, "--max-difference", "1")
    assert "fraud:2 differs by up to 4, and --max-difference is 1" in output(capsys)


@pytest.mark.usefixtures("versions")
def test_a_limit_without_rows_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", "fraud", "--min-agreement", "0.9") == 1
    assert "--min-agreement needs rows" in (text := error(capsys))
    assert "pass --csv or --npy too" in text


def test_a_column_of_the_file_has_the_labels(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", registry.store.uri)
    push_model(LogisticRegression().fit(X, WORDS), "fraud", example=X, registry=registry)
    lines = [",".join(map(str, [*row, word])) for row, word in zip(X, WORDS, strict=True)]
    path = write(tmp_path / "golden.csv", "\n".join(["a,b,c,d,fraud", *lines]))
    assert run("compare", "fraud", "--csv", path, "--label-column", "fraud", "--json") == 0
    metrics = json.loads(output(capsys))["versions"][0]["metrics"]
    assert metrics["data accuracy"] > 0.9
    assert run("compare", "fraud", "--csv", path, "--label-column", "kind") == 1
    assert "has no column 'kind': --label-column is one of a, b, c, d, fraud" in error(capsys)


@pytest.mark.usefixtures("versions")
def test_labels_without_a_file_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("compare", "fraud", "--label-column", "kind")
    assert ended.value.code == 2
    assert "--label-column names a column of the file of --csv" in error(capsys)


@pytest.mark.usefixtures("versions")
def test_a_file_of_labels_without_rows_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("compare", "fraud", "--labels", "y.npy")
    assert ended.value.code == 2
    assert "--labels names the labels of the rows of --csv or --npy" in error(capsys)


def test_an_array_of_rows_has_its_labels_in_a_file(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", registry.store.uri)
    push_model(LogisticRegression().fit(X, WORDS), "fraud", example=X, registry=registry)
    np.save(tmp_path / "rows.npy", X)
    (tmp_path / "words.json").write_text(json.dumps(list(WORDS)))
    files = ("--npy", str(tmp_path / "rows.npy"), "--labels", str(tmp_path / "words.json"))
    assert run("compare", "fraud", *files, "--json") == 0
    assert json.loads(output(capsys))["versions"][0]["metrics"]["data accuracy"] > 0.9


@pytest.mark.usefixtures("versions")
def test_a_file_with_nothing_but_labels_has_no_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "labels.csv", "kind\na\nb")
    assert run("compare", "fraud", "--csv", path, "--label-column", "kind") == 1
    assert "has no column but 'kind', so it has no rows" in error(capsys)
