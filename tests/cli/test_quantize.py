"""quantize, and what `show` prints of its result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from shearling.cli.optimisation import optimisation_facts
from shearling.models.push import push_model
from tests.support.cli import error, output, run
from tests.support.networks import digits, perceptron

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry

ROWS, LABELS = digits()[2:]


@pytest.fixture
def network(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Registry, str, str]:
    """A registry with a perceptron, a file of rows, and one of labels."""
    monkeypatch.setattr("shearling.models.latency._SECONDS", 0.05)
    monkeypatch.setattr("shearling.models.interleaved._NOTHING_MS", 1e9)
    monkeypatch.setattr("shearling.models.metric_gate._DRAWS", 60)
    push_model(perceptron(1024), "net", example=ROWS[:4], registry=registry)
    np.save(tmp_path / "rows.npy", ROWS)
    (tmp_path / "labels.csv").write_text("label\n" + "\n".join(map(str, LABELS)))
    return registry, str(tmp_path / "rows.npy"), str(tmp_path / "labels.csv")


def test_the_table_has_a_line_for_each_recipe(
    network: tuple[Registry, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("quantize", "net", "--data", network[1], "--recipe", "fp16") == 0
    lines = output(capsys).splitlines()
    assert lines[0] == "net:2 was made from net:1"
    assert [line.split()[0] for line in lines[2:5]] == ["RECIPE", "original", "fp16-weights"]


def test_json_and_labels(
    network: tuple[Registry, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--labels", network[2], "--metric", "f1_macro", "--max-loss", "0.5", "--json")
    assert run("quantize", "net:1", "--data", network[1], *options) == 0
    report = json.loads(output(capsys))
    assert report["rows"][1]["recipe"] == "int8-weights"
    assert report["rows"][1]["measure"] == "f1_macro"
    assert report["version"].startswith("net:2@sha256:")


@pytest.mark.usefixtures("network")
def test_a_column_of_the_rows_has_the_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"pixel{i}" for i in range(ROWS.shape[1])]
    lines = [",".join(map(str, [*row, label])) for row, label in zip(ROWS, LABELS, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join([",".join([*names, "digit"]), *lines]))
    options = ("--label-column", "digit", "--max-loss", "0.5", "--json")
    assert run("quantize", "net:1", "--data", str(tmp_path / "rows.csv"), *options) == 0
    assert json.loads(output(capsys))["rows"][1]["measure"] == "accuracy"


def test_a_metric_without_labels_names_the_options(
    network: tuple[Registry, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("quantize", "net", "--data", network[1], "--metric", "f1_macro") == 1
    assert "--metric needs the true values: pass --label-column or --labels" in error(capsys)


def test_show_prints_the_parent_the_recipe_and_the_measurements(
    network: tuple[Registry, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("quantize", "net", "--data", network[1], "--recipe", "fp16", "--name", "small")
    capsys.readouterr()
    assert run("show", "small") == 0
    text = output(capsys)
    assert f"parent: {network[0].resolve('net:1')}" in text
    assert '"fp16-weights"' in text
    assert "fp16-weights: " in text
    assert "64 rows in " in text
    assert "processor: " in text


def test_a_record_with_other_types_is_shown_as_far_as_it_is_known() -> None:
    odd = {"rows": [7, {"recipe": {}, "latency_ms": [1], "size_bytes": "x"}], "flags": 3}
    assert optimisation_facts({"optimisation": odd})[-1] == "processor: None"
    assert optimisation_facts({"optimisation": 7}) == []


def test_a_version_that_cannot_gain_is_an_error(
    network: tuple[Registry, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("quantize", "net", "--data", network[1], "--recipe", "int8-convolutions")
    assert code == 1
    assert "has no large weights" in error(capsys)
