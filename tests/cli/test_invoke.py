"""invoke: rows in, answers out."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from shearling.cli.contract import contract_facts
from shearling.models.push import push_model
from shearling.protocol.responses import read_answer
from shearling.tensors.spec import Signature, TensorSpec
from tests.support.bundles import ROWS, scaling_graph
from tests.support.cli import TARGET, error, invoke, output, run, write
from tests.support.lambda_server import FunctionError, LocalLambda, served

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shearling.registry.registry import Registry


def test_without_data_the_signature_is_shown_and_nothing_is_run(
    local_lambda: LocalLambda, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(local_lambda) == 0
    shown = output(capsys)
    assert shown.startswith("acme-fraud:prod serves fraud:1 ")
    assert "input   X     FP32      [-1, 2]" in shown
    assert "--csv rows.csv" in shown
    assert local_lambda.calls == [(TARGET, {"shearling": "metadata"})]
    assert invoke(local_lambda, "--raw") == 0
    assert json.loads(output(capsys))["inputs"][0]["name"] == "X"


def test_without_data_the_column_names_are_shown(
    models: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame(ROWS, columns=["age", "height"])
    pin = push_model(scaling_graph(5.0), "fraud", example=frame, registry=models).pin
    function = served(models.store.uri, str(pin), tmp_path / "scratch")
    assert invoke(LocalLambda({TARGET: function})) == 0
    assert "columns  age, height\n" in output(capsys)
    assert run("show", "fraud") == 0
    (line,) = (line for line in output(capsys).splitlines() if "columns" in line)
    assert line.split() == ["columns", "age,", "height"]


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (("city", "age"), [("columns", "city, age"), ("categories", "city: Oslo, Rome")]),
        ((), [("categories", "X[0]: Oslo, Rome")]),
        (("city",), [("columns", "city"), ("categories", "X[0]: Oslo, Rome")]),  # another server's
    ],
)
def test_categories_are_those_of_a_column(
    columns: tuple[str, ...], lines: list[tuple[str, str]]
) -> None:
    known = (("Oslo", "Rome"), None)
    spec = TensorSpec(name="X", datatype="BYTES", shape=(-1, 2), categories=known)
    assert contract_facts(Signature(inputs=(spec,), outputs=()), columns) == lines


def test_outputs_for_the_rows_of_a_file_are_shown_in_a_table(
    local_lambda: LocalLambda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    sources = {
        "--csv": write(tmp_path / "rows.csv", "age,height\n1,2\n3,4\n5,6\n"),
        "--json": write(tmp_path / "rows.json", json.dumps(ROWS.tolist())),
        "--npy": str(tmp_path / "rows.npy"),
    }
    for option, path in sources.items():
        assert invoke(local_lambda, option, path) == 0
        captured = capsys.readouterr()
        assert captured.out.splitlines() == ["Y[0]  Y[1]", "   2     4", "   6     8", "  10    12"]
        assert captured.err == "answered by fraud:1\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            '[{"age": 1, "height": 2}, {"age": 3}]',
            "row 2 lacks column 'height', unlike the first row",
        ),
        (
            '[{"age": 1}, {"age": 3, "height": 2}]',
            "row 2 has column 'height', unlike the first row",
        ),
        ('[{"age": 1}, [3]]', "row 2 is not an object, but the first row is"),
    ],
)
def test_rows_with_different_columns_are_refused_before_they_are_sent(
    local_lambda: LocalLambda,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: str,
    message: str,
) -> None:
    path = write(tmp_path / "rows.json", rows)
    assert invoke(local_lambda, "--json", path) == 1
    assert error(capsys) == f"shearling: {path}: {message}\n"


def piped(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_csv_may_be_piped_in(
    local_lambda: LocalLambda, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(b"age,height\n1,2\n", monkeypatch)
    assert invoke(local_lambda, "--csv", "-") == 0
    assert output(capsys).splitlines()[1:] == ["   2     4"]
    piped(b"age,height\n1\n", monkeypatch)
    assert invoke(local_lambda, "--csv", "-") == 1
    assert error(capsys).startswith("shearling: standard input: row 2 has 1 cells")


def test_a_request_of_the_protocol_is_sent_unchanged(
    local_lambda: LocalLambda, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tensor = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    request = {"id": "mine", "inputs": [tensor]}
    piped(json.dumps(request).encode(), monkeypatch)
    assert invoke(local_lambda, "--json", "-", "--raw") == 0
    answer = json.loads(output(capsys))
    assert (answer["id"], answer["model_version"]) == ("mine", "1")
    assert local_lambda.calls == [(TARGET, request)]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "shearling: standard input is not JSON: "),
        (b"[[1, 2, 3]]", "shearling: input 'X'"),
        (b'{"inputs": []}', "shearling: inputs: missing X FP32[-1, 2]"),
    ],
)
def test_invalid_data_is_reported_in_one_line(
    local_lambda: LocalLambda,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: bytes,
    problem: str,
) -> None:
    piped(data, monkeypatch)
    assert invoke(local_lambda, "--json", "-") == 1
    assert error(capsys).startswith(problem)


@pytest.mark.usefixtures("registry")
def test_a_missing_function_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(LocalLambda({})) == 1
    assert error(capsys).startswith("shearling: cannot invoke acme-fraud:prod: ")


METADATA: dict[str, Any] = {"name": "fraud", "versions": ["1"], "inputs": []}


def answer_of(**outputs: tuple[str, Sequence[int], list[Any]]) -> dict[str, Any]:
    tensors = [
        {"name": name, "datatype": datatype, "shape": shape, "data": data}
        for name, (datatype, shape, data) in outputs.items()
    ]
    return {"model_name": "fraud", "model_version": "1", "outputs": tensors}


def test_outputs_are_columns_of_one_table_and_large_ones_are_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answer_of(
        label=("BYTES", [2], ["good", "bad"]),
        scores=("FP32", [2, 20], [0.25] * 40),
        mean=("FP64", [], [0.5]),
    )
    request = write(tmp_path / "request.json", '{"inputs": []}')
    local_lambda = LocalLambda({TARGET: lambda _: answer})
    assert invoke(local_lambda, "--json", request) == 0
    captured = capsys.readouterr()
    header, first, second = captured.out.splitlines()
    assert header.split() == ["label", *(f"scores[{i}]" for i in range(12)), "mean"]
    assert first.split() == ["good", *["0.25"] * 12, "0.5"]
    assert second.split() == ["bad", *["0.25"] * 12, "-"]
    assert "scores has 2 rows of 20 values; only the first are shown." in captured.err


def test_outputs_without_rows_are_an_empty_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = write(tmp_path / "request.json", '{"inputs": []}')
    local_lambda = LocalLambda({TARGET: lambda _: answer_of(scores=("FP32", [0, 2], []))})
    assert invoke(local_lambda, "--json", request) == 0
    assert output(capsys) == "scores[0]  scores[1]\n"


def inferred(local_lambda: LocalLambda) -> list[Any]:
    """Return the inference requests that a local Lambda received."""
    return [event for _, event in local_lambda.calls if "shearling" not in event]


def test_csv_is_read_as_the_runtime_reads_it(
    local_lambda: LocalLambda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = write(tmp_path / "rows.csv", "0,1\n5,6\n")
    assert invoke(local_lambda, "--csv", counted) == 1
    assert f"{counted}: the first line, 0, 1 ..., may be names or values" in error(capsys)
    assert invoke(local_lambda, "--csv", counted, "--header", "present") == 0
    assert output(capsys).splitlines() == ["Y[0]  Y[1]", "  10    12"]


def test_instances_are_accepted_as_rows(
    local_lambda: LocalLambda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(tmp_path / "rows.json", json.dumps({"instances": ROWS.tolist()}))
    assert invoke(local_lambda, "--json", rows) == 0
    assert len(output(capsys).splitlines()) == 1 + len(ROWS)


def test_rows_are_split_into_calls_and_answered_in_order(
    local_lambda: LocalLambda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write(tmp_path / "rows.csv", "age,height\n" + "".join(f"{i},0\n" for i in range(7)))
    options = ["--csv", rows, "--rows-per-call", "2", "--max-concurrency", "2"]
    assert invoke(local_lambda, *options) == 0
    assert [line.split()[0] for line in output(capsys).splitlines()[1:]] == [
        str(2 * i) for i in range(7)
    ]
    assert len(inferred(local_lambda)) == 4
    assert invoke(local_lambda, *options, "--raw") == 0
    (tensor,) = json.loads(output(capsys))["outputs"]
    assert (tensor["shape"], tensor["data"][::2]) == ([7, 2], [2.0 * i for i in range(7)])


def test_a_file_that_is_too_large_for_a_call_is_split(
    local_lambda: LocalLambda, tmp_path: Path
) -> None:
    rows = np.random.default_rng(0).random((300_000, 2), np.float32)
    np.save(tmp_path / "rows.npy", rows)
    answers = tmp_path / "answers.npy"
    assert invoke(local_lambda, "--npy", str(tmp_path / "rows.npy"), "--output", str(answers)) == 0
    np.testing.assert_array_equal(np.load(answers), rows * 2)
    assert len(inferred(local_lambda)) > 1


def test_a_fixed_number_of_rows_that_is_too_large_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    takes = {"name": "X", "datatype": "FP64", "shape": [2, 2]}
    answers = iter([{"name": "fraud", "inputs": [takes], "outputs": []}])
    refused = {"error": "the answer is too large", "status": 413}
    local_lambda = LocalLambda({TARGET: lambda _: next(answers, refused)})
    assert invoke(local_lambda, "--json", write(tmp_path / "rows.json", "[[1, 2], [3, 4]]")) == 1
    assert error(capsys) == "shearling: the answer is too large\n"


def test_failed_rows_are_reported_and_other_outputs_are_written(
    local_lambda: LocalLambda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = local_lambda.functions[TARGET]

    def function(event: Any) -> Any:
        is_odd = "shearling" not in event and 3.0 in event["inputs"][0]["data"]
        return FunctionError("out of memory") if is_odd else runtime(event)

    local_lambda.functions[TARGET] = function
    rows = write(tmp_path / "rows.csv", "age,height\n1,2\n3,4\n5,6\n")
    answers = tmp_path / "answers.csv"
    assert (
        invoke(local_lambda, "--csv", rows, "--rows-per-call", "1", "--output", str(answers)) == 1
    )
    assert error(capsys).splitlines() == [
        f"{answers}: 2 rows",
        "shearling: 1 of 3 rows have no answer:",
        "  row 1: acme-fraud:prod failed: out of memory",
    ]
    assert answers.read_text().splitlines() == ["Y[0],Y[1]", "2.0,4.0", "10.0,12.0"]


def test_the_file_type_of_the_output_is_that_of_its_name(tmp_path: Path) -> None:
    answer = answer_of(label=("BYTES", [2], ["good", "b,d"]), score=("FP32", [2, 1], [0.1, 7]))
    local_lambda = LocalLambda(
        {TARGET: lambda event: answer if "inputs" in event else METADATA | {"outputs": []}}
    )
    request = write(tmp_path / "request.json", '{"inputs": []}')
    for kind in ("csv", "npz", "json"):
        assert (
            invoke(local_lambda, "--json", request, "--output", str(tmp_path / f"answer.{kind}"))
            == 0
        )
    assert (tmp_path / "answer.csv").read_text() == 'label,score\ngood,0.1\n"b,d",7.0\n'
    with np.load(tmp_path / "answer.npz") as arrays:
        assert arrays["label"].tolist() == ["good", "b,d"]
        np.testing.assert_array_equal(arrays["score"], np.array([[0.1], [7]], np.float32))
    document = json.loads((tmp_path / "answer.json").read_text())
    assert read_answer(document)["label"].tolist() == ["good", "b,d"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("answers.txt", "answers.txt: unknown file type; expected one of .csv, .npy, .npz, .json"),
        ("none/answers.csv", "none/answers.csv: the directory none does not exist"),
        (
            "answers.npy",
            "answers.npy: a .npy file holds one array, and the model has 2 outputs (a FP32[-1]",
        ),
    ],
)
def test_an_unusable_output_file_is_reported_before_a_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    gives = [{"name": each, "datatype": "FP32", "shape": [-1]} for each in "ab"]
    local_lambda = LocalLambda({TARGET: lambda _: METADATA | {"outputs": gives}})
    request = write(tmp_path / "request.json", '{"inputs": []}')
    assert invoke(local_lambda, "--json", request, "--output", name) == 1
    assert error(capsys).startswith(f"shearling: {message}")
    assert inferred(local_lambda) == []


def test_a_request_of_the_protocol_is_not_split(
    local_lambda: LocalLambda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = write(tmp_path / "request.json", '{"inputs": []}')
    assert invoke(local_lambda, "--json", request, "--rows-per-call", "1") == 1
    assert "need rows; a request of the protocol is sent as one call" in error(capsys)
    assert inferred(local_lambda) == []
