"""push, list, show and pull."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper

from shearling.bundle.digests import digest_of
from shearling.bundle.example import Example
from shearling.models.load import load_model
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from shearling.storage.blobs import blob_key
from tests.support.bundles import ROWS, scaling_graph
from tests.support.cli import PYTHON, error, output, push_pickle, run, write
from tests.support.releases import deploy


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
    assert registry.version("fraud").details["metrics"] == {"auc": 0.93}
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


def text_graph(*names: str) -> bytes:
    """A graph that returns its inputs of texts."""

    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.STRING, ["rows", 1])

    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in names],
        "texts",
        [value(name) for name in names],
        [value(f"{name}_out") for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["zip"], "zip\n01234\n00501\n"),
        (["zip"], "01234\n00501\n"),
        (["zip"], ",zip\n0,01234\n1,00501\n"),
        (["zip", "phone"], "phone,zip\n1_000,01234\n1e3,00501\n"),
        (["zip", "phone"], ",zip,phone\n0,01234,1_000\n1,00501,1e3\n"),
    ],
)
def test_a_csv_example_is_read_as_the_graph_states(
    names: list[str], text: str, registry: Registry, tmp_path: Path
) -> None:
    graph = tmp_path / "texts.onnx"
    graph.write_bytes(text_graph(*names))
    rows = write(tmp_path / "rows.csv", text)
    assert run("push", str(graph), "--name", "texts", "--example", rows) == 0
    answers = load_model("texts", registry=registry).predict(
        {name: [["01234"], ["00501"]] for name in names}
    )
    assert answers["zip_out"].ravel().tolist() == ["01234", "00501"]
    example = example_of(registry, "texts")
    assert example.inputs["zip"].ravel().tolist() == ["01234", "00501"]
    if "phone" in names:
        assert example.inputs["phone"].ravel().tolist() == ["1_000", "1e3"]


def example_of(registry: Registry, model: str) -> Example:
    manifest = registry.manifest(model)
    data = registry.store.read(blob_key(manifest.file(manifest.example.path).hex))
    return Example.from_bytes(data or b"")


def test_a_csv_example_may_be_the_frame_as_pandas_writes_it(
    registry: Registry, graph: str, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"vip": [True, False, True], "age": [41, 23, 35]})
    rows = write(tmp_path / "rows.csv", frame.to_csv())
    assert run("push", graph, "--name", "fraud", "--example", rows) == 0
    assert registry.manifest("fraud").options["columns"] == ["vip", "age"]
    assert example_of(registry, "fraud").inputs["X"].tolist() == [[1, 41], [0, 23], [1, 35]]


def test_a_csv_example_that_does_not_fit_is_refused_with_its_row_and_column(
    graph: str, registry: Registry, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = write(tmp_path / "rows.csv", "vip,age\n1,2\nyes,3\n")
    assert run("push", graph, "--name", "fraud", "--example", rows) == 1
    assert "rows.csv: row 3, column 'vip': 'yes' is not FP32" in error(capsys)
    assert registry.models() == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("rows.csv", "a,b\n1\n", "rows.csv: row 2 has 1 cells, but the first row has 2"),
        ("rows.csv", "a,b\n", "rows.csv has no rows"),
        ("rows.csv", "", "rows.csv has no rows"),
        ("rows.json", "{", "rows.json is not JSON: "),
        ("rows.json", "7", "rows.json: expected rows"),
        ("rows.json", "[[1], [2, 3]]", "rows.json: ValueError: "),
        ("rows.json", '[{"a": 1}, {"b": 1}]', "rows.json: row 2 lacks column 'a'"),
        ("rows.json", '{"inputs": [{"name": "X"}]}', "rows.json: KeyError: 'data'"),
        ("rows.npy", "text", "rows.npy is not a file of NumPy arrays: "),
        (
            "rows.parquet",
            "",
            "rows.parquet: unknown file type; expected one of .npy, .npz, .json, .csv",
        ),
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


def test_a_missing_example_is_refused_by_name(
    registry: Registry, graph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("push", graph, "--name", "fraud", "--example", "rows.csv") == 1
    assert error(capsys) == "shearling: rows.csv: No such file or directory\n"
    assert registry.models() == []


def test_an_empty_registry_prints_a_hint(
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


def test_a_version_is_shown_with_all_details(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
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
        "input   X     FP32      [-1, 2]  accepted",
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


def test_a_version_is_shown_as_json(models: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "fraud:prod", "--json") == 0
    document = json.loads(output(capsys))
    assert (document["version"], document["aliases"]) == (1, ["prod"])
    assert document["manifest"]["signature"]["inputs"][0]["name"] == "X"
    assert document["digest"] == models.resolve("fraud:1").digest


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


def test_a_directory_that_is_not_empty_is_refused_without_force(
    models: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "copy" / "model.onnx"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert run("pull", "fraud", str(mine.parent)) == 1
    assert "is not empty. To write to it anyway, pass --force" in error(capsys)
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


@pytest.mark.usefixtures("models")
def test_a_plan_can_be_redirected_to_a_file_of_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("plan", "fraud:prod") == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "models = {\n  fraud = {\n    memory_mb = 1024\n    aliases   = { prod = {} }\n  }\n}\n"
    )
    assert "fraud:1\nSETTING" in printed.err


@pytest.mark.usefixtures("models")
def test_a_plan_as_json_has_the_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "fraud", "--json") == 0
    document = json.loads(output(capsys))["fraud"]
    assert document["version"] == 3
    assert document["settings"] == {"memory_mb": 1024, "aliases": {"prod": {}}}
    assert "enough" in document["reasons"]["memory_mb"]


def test_a_plan_has_latency_and_cost_of_what_was_measured(
    models: Registry, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    push_model(scaling_graph(9.0), "fraud", example=ROWS, measure=True, registry=models)
    assert run("plan", "fraud", "--p95", "50", "--per-month", "3e6") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("models = {\n  fraud = {\n    memory_mb = 1024\n")
    assert "one row, median" in printed.err
    assert "3,000,000 requests a month" in printed.err
    table = tmp_path / "prices.json"
    rates = {"million_requests": 9, "gb_second": 0, "tmp_gb_second": 0}
    head = {"region": "eu-west-1", "date": "2027-01-01", "currency": "EUR"}
    table.write_text(json.dumps({**head, "lambda": rates}))
    assert run("plan", "fraud", "--prices", str(table), "--json") == 0
    document = json.loads(output(capsys))["fraud"]
    assert document["estimates"]["cost_million"] == 9
    assert document["prices"] == head
    table.write_text("{}")
    assert run("plan", "fraud", "--prices", str(table)) == 1
    assert "a required field is missing" in error(capsys)


@pytest.mark.parametrize("option", ["--p95", "--per-month"])
@pytest.mark.usefixtures("models")
def test_a_plan_refuses_a_number_that_is_not_above_0(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plan", "fraud", option, "-1") == 1
    assert f"{option} -1.0 is not a number above 0" in error(capsys)


def test_a_plan_notes_the_deployed_models_that_it_leaves_out(
    models: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(models, "acme-embed", model="embed")
    deploy(models)
    assert run("plan", "fraud", "--alias", "prod", "--alias", "staging") == 0
    printed = capsys.readouterr()
    assert "deployed from this registry: embed\n" in printed.err
    assert "embed" not in printed.out
    assert "    aliases       = { prod = {}, staging = {} }\n" in printed.out
    assert '    default_alias = "prod"\n' in printed.out


@pytest.mark.usefixtures("models")
def test_a_plan_names_each_model_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("plan", "fraud:1", "fraud:2")
    assert "name each model once" in error(capsys)


def test_show_and_diff_have_what_was_measured(
    registry: Registry,
    graph: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SHEARLING_MEASURE")
    np.save("rows.npy", ROWS)
    push = ("push", graph, "--name", "fraud", "--example", "rows.npy")
    assert run(*push, "--largest", "7") == 0
    assert run(*push, "--no-measure", "--metadata", "auc=0.5") == 0
    output(capsys)
    assert run("show", "fraud:1") == 0
    shown = output(capsys)
    assert re.search(r"measured +memory: \d+ MB to start", shown)
    assert re.search(r"measured +7 rows, 2 threads: p50 [\d.]+ ms", shown)
    assert run("show", "fraud:2") == 0
    assert "measured" not in output(capsys)
    assert run("diff", "fraud:1", "fraud:2") == 0
    assert "measured peak_mb" in output(capsys)
    assert registry.version("fraud:2").details["metrics"] == {"auc": 0.5}
