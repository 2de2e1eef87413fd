"""batch run, status, redrive, stop and list."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import shearling as sdk
from tests.support.bundles import scaling_bundle
from tests.support.cli import error, output, run
from tests.support.releases import deploy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.registry.registry import Registry
    from tests.embedded_aws import EmbeddedAws

CSV = "X1,X2\n1,2\n3,4\n"


@pytest.fixture
def rows(models: Registry) -> Path:
    """Two files below the working directory."""
    del models
    Path("in").mkdir()
    Path("in/a.csv").write_text(CSV)
    Path("in/b.csv").write_text(CSV)
    return Path("in")


@pytest.mark.usefixtures("rows")
def test_a_run_on_this_machine_is_awaited_and_summed_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("batch", "run", "fraud:prod", "in/*.csv", "out/") == 0

    shown = capsys.readouterr()
    assert re.search(r"status +succeeded\n", shown.out)
    assert re.search(r"parts +2 \(0 failed\)\nrows +4 \(0 rejected\)\n", shown.out)
    assert "writes to" in shown.err
    assert Path("out/a.csv").read_text().splitlines()[1:] == ["2.0,4.0", "6.0,8.0"]


@pytest.mark.usefixtures("rows")
def test_the_options_are_those_of_the_function(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in/b.csv").write_text("1,2\nx,4\n")
    options = ["--on-bad-rows", "skip", "--header", "absent", "--output-format", "jsonl"]
    options += ["--keep-columns", "--max-concurrency", "1", "--tolerate", "5", "--json"]

    assert run("batch", "run", "fraud:prod", "in/b.csv", "out", *options) == 0

    result = json.loads(capsys.readouterr().out)
    assert (result["rows"], result["rejected"], result["failures"]) == (2, 1, [])
    assert json.loads(Path("out/b.jsonl").read_text())["Y"] == [2.0, 4.0]


def test_a_failed_run_ends_with_an_error_and_its_status_names_the_value(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (rows / "b.csv").write_text("X1,X2\n1,x\n")

    assert run("batch", "run", "fraud:prod", "in/", "out/") == 1
    message = error(capsys)
    assert "1 of 2 parts have failed, 1 have results\n  /" in message  # a line for each failure
    assert "\n  To score what has no result, run `shearling batch redrive`" in message

    assert run("batch", "status", "out/") == 0
    shown = output(capsys)
    assert re.search(r"state +failed\n", shown)
    assert re.search(r"in/b\.csv +- +2 +1 +'x' +source: row 2", shown)
    assert run("batch", "status", "out/", "--json") == 0
    (failure,) = json.loads(output(capsys))["failures"]
    assert (failure["row"], failure["column"]) == (2, "1")
    assert run("batch", "redrive", "out/") == 1
    assert "parts have failed" in error(capsys)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--tolerate", "101"], "--tolerate: 101.0 is not a percentage"),
        (["--part-bytes", "1"], "--part-bytes: 1 is not a whole number"),
        (["--max-concurrency", "0"], "--max-concurrency: 0 is not a whole number"),
        (["--allow-pickle"], "needs a ref that is pinned"),
    ],
)
@pytest.mark.usefixtures("rows")
def test_an_invalid_option_is_named(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("batch", "run", "fraud:prod", "in/", "out/", *arguments) == 1
    assert problem in error(capsys)


@pytest.mark.usefixtures("models")
def test_an_interrupted_run_stops_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in").mkdir()
    many = np.random.default_rng(0).random((300_000, 2), np.float32)
    for i in range(40):
        np.save(f"in/{i:02}.npy", many)
    program = "import sys; from shearling.cli import main; sys.exit(main())"
    arguments = ["batch", "run", "fraud:prod", "in", "out", "--max-concurrency", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        ends = time.monotonic() + 30
        while not Path("out/00.npy").exists() and time.monotonic() < ends:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "to go on, run: shearling batch redrive" in said
    finished = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.npy.manifest.json")}
    assert 0 < len(finished) < 40
    assert run("batch", "redrive", "out", "--json") == 0
    assert json.loads(output(capsys))["rows"] == 40 * 300_000
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


class Machine:
    """A state machine of the embedded AWS, in front of a registry in S3."""

    def __init__(self, aws: EmbeddedAws, uri: str) -> None:
        self.client: Any = aws.client("stepfunctions")
        self.arn = ""
        self.uri = uri

    def define(self, state: dict[str, Any]) -> None:
        definition = {"StartAt": "Only", "States": {"Only": {**state}}}
        self.arn = self.client.create_state_machine(
            name=f"acme_{len(self.uri)}_{time.monotonic_ns()}",
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::000000000000:role/batch",
        )["stateMachineArn"]
        deploy(sdk.Registry(self.uri), batch=self.arn, region=self.arn.split(":")[3])


@pytest.fixture
def machine(
    embedded_aws: EmbeddedAws, s3_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    scaling_bundle(tmp_path).publish(s3_uri)
    monkeypatch.setenv("SHEARLING_REGISTRY", s3_uri)
    found = Machine(embedded_aws, s3_uri)
    yield found
    found.client.delete_state_machine(stateMachineArn=found.arn)
    found.client.close()


def begin(machine: Machine, capsys: pytest.CaptureFixture[str]) -> str:
    bucket = machine.uri.split("/")[2]
    places = (f"s3://{bucket}/in/*.csv", f"s3://{bucket}/out-{time.monotonic_ns()}/")
    assert run("batch", "run", "acme-fraud:prod", *places) == 0
    return capsys.readouterr().out.strip()


def test_a_run_on_aws_is_an_execution_that_status_stop_and_list_know(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.define({"Type": "Wait", "Seconds": 60, "End": True})

    name = begin(machine, capsys)

    found = machine.client.list_executions(stateMachineArn=machine.arn)["executions"]
    assert [each["name"] for each in found] == [name]
    assert run("batch", "status", name) == 0
    assert re.search(r"state +running\n", output(capsys))
    assert run("batch", "redrive", name) == 1
    assert "is not over yet" in error(capsys)
    assert run("batch", "stop", name) == 0
    assert f"run {name} is stopped" in error(capsys)
    assert run("batch", "list", "--json") == 0
    (listed,) = json.loads(output(capsys))
    assert (listed["run"], listed["state"]) == (name, "stopped")
    assert run("batch", "redrive", name) == 0
    assert capsys.readouterr().out.strip() == name
    assert run("batch", "list", "--limit", "1") == 0
    assert f"{name}_2  running" in output(capsys)


def test_a_run_on_aws_that_fails_has_the_reason_of_its_execution(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.define({"Type": "Fail", "Error": "Plan", "Cause": '{"errorMessage": "inputs: none"}'})
    name = begin(machine, capsys)
    with pytest.raises(sdk.BatchFailedError):
        sdk.batch_run(name).wait()

    assert run("batch", "redrive", name, "--wait") == 1
    assert f"run {name} has failed: inputs: none" in error(capsys)
    assert run("batch", "status", name) == 0
    assert re.search(r"state +failed\nreason +inputs: none\n", output(capsys))


def test_no_runs_are_listed_with_how_to_begin_one(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.define({"Type": "Succeed"})

    assert run("batch", "list") == 0
    assert "no runs; begin one with `shearling batch run`" in error(capsys)
