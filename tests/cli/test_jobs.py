"""invoke --async, job show, job wait and job cancel, against `shearling serve`."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import shearling as sdk
from shearling.models.push import push_model
from tests.cli.test_serve import line, registry, serving
from tests.support.bundles import ROWS
from tests.support.cli import error, output, run
from tests.support.jobs import JobFunction, served_with_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["registry"]  # the fixture of the other module

pytestmark = pytest.mark.slow


@pytest.fixture
def url(registry: str) -> Iterator[str]:
    """The URL of the model that the command serves."""
    with serving(registry, "fraud:prod", "--port", "0") as process:
        line(process)
        yield line(process).partition("/v2")[0]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    np.save(tmp_path / "rows.npy", ROWS)
    return str(tmp_path / "rows.npy")


def test_a_job_is_created_shown_and_waited_for(
    url: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = (url, "--model", "fraud")
    assert run("invoke", *target, "--npy", rows, "--async") == 0
    printed = capsys.readouterr()
    job_id = printed.out.strip()
    assert re.fullmatch("[0-9a-f]{32}", job_id)
    assert f"shearling job wait {url} --model fraud {job_id}" in printed.err

    answers = tmp_path / "answers.npy"
    assert run("job", "wait", *target, job_id, "--output", str(answers)) == 0
    assert "answered by fraud:1" in error(capsys)
    assert np.array_equal(np.load(answers), ROWS * 2)
    assert run("job", "wait", *target, job_id, "--raw") == 0
    assert json.loads(output(capsys))["outputs"][0]["data"] == (ROWS * 2).ravel().tolist()

    assert run("job", "show", *target, job_id) == 0
    assert re.search(r"status +succeeded\nmodel name +fraud\nmodel version +1\n", output(capsys))
    assert run("job", "show", *target, job_id, "--json") == 0
    result = json.loads(output(capsys))["result"]
    with urllib.request.urlopen(result["url"], timeout=20) as answer:
        assert len(answer.read()) == result["size"]

    assert run("job", "cancel", *target, job_id) == 1
    assert "is done, so it cannot be cancelled" in error(capsys)


def test_a_body_of_fifty_megabytes_is_answered(url: str) -> None:
    model = sdk.connect(url, model="fraud")
    many = np.random.default_rng(0).random((6_250_000, 2), np.float32)
    assert np.array_equal(model.infer_async(many).result(timeout=120)["Y"], many * 2)


def test_a_kept_directory_has_the_jobs_of_an_earlier_server(
    registry: str,
    tmp_path: Path,
) -> None:
    kept = str(tmp_path / "jobs")
    results: list[str] = []
    for _ in range(2):
        with serving(registry, "fraud:prod", "--port", "0", "--jobs", kept) as process:
            line(process)
            model = sdk.connect(line(process).partition("/v2")[0], model="fraud")
            job = model.job(results[0]) if results else model.infer_async(ROWS)
            assert np.array_equal(job.result(timeout=30)["Y"], ROWS * 2)
            results.append(job.id)
    assert len(os.listdir(f"{kept}/jobs/prod")) == 1  # noqa: PTH208


def test_outputs_have_the_classes_of_the_version_that_answered_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    function = JobFunction(tmp_path, jobs=str(tmp_path / "jobs"))

    def release(*classes: str) -> None:
        classifier = LogisticRegression().fit(ROWS[:2], classes)
        pushed = push_model(classifier, "fraud", example=ROWS, registry=function.registry)
        function.serve(pushed.pin)

    release("leaves", "stays")
    with served_with_jobs(function) as url:
        job_id = sdk.connect(url, model="fraud").infer_async(ROWS).id
        wait = ("job", "wait", url, "--model", "fraud", job_id)
        assert run(*wait) == 0
        assert "[stays]" in capsys.readouterr().out
        release("no", "yes")
        assert run(*wait) == 0
        shown = capsys.readouterr()
        assert "answered by fraud:2" in shown.err
        assert "[yes]" not in shown.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["job", "show", "{url}", "--model", "fraud", "0" * 32], "is not known here"),
        (["job", "show", "{url}", "--model", "fraud", "17"], "32 hexadecimal digits"),
    ],
)
def test_a_wrong_id_is_an_error(
    url: str, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*(word.format(url=url) for word in arguments)) == 1
    assert reason in error(capsys)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--async"], "--async needs data"),
        (["--async", "--npy", "rows.npy", "--rows-per-call", "5"], "do not apply"),
        (["--async", "--npy", "rows.npy", "--output", "a.npy"], "shearling job wait"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    options: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("invoke", "http://127.0.0.1:9", "--model", "fraud", *options)
    assert ended.value.code == 2
    assert reason in error(capsys)
