"""Runs on this machine: the same files and the same answers, without AWS."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import shearling as sdk
from shearling.errors import (
    BatchFailedError,
    FormatError,
    InvalidRequestError,
    JobTimeoutError,
    ModelNotFoundError,
    RegistryError,
    StoreError,
)
from shearling.scoring import engine
from tests.support.bundles import ROWS, scaling_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.batches.run import BatchRun
    from shearling.scoring.outcome import Outcome
    from shearling.scoring.request import ScoreRequest


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with a model, `fraud:prod`, and rows in three files."""
    del cache
    scaling_bundle(tmp_path).publish(str(tmp_path / "registry"))
    sdk.set_alias("fraud", "prod", 1, new=True, registry=str(tmp_path / "registry"))
    monkeypatch.setenv("SHEARLING_REGISTRY", str(tmp_path / "registry"))
    monkeypatch.chdir(tmp_path)
    for i in range(3):
        write(f"in/{i}.csv", ROWS + i)


def write(name: str, rows: Any) -> None:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    lines = [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join(["X1,X2", *lines, ""]))


def answers(name: str) -> Any:
    return np.loadtxt(name, delimiter=",", skiprows=1, dtype=np.float32)


class Gate:
    """Lets parts of a run begin one after another, and fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        self._score = engine.score
        monkeypatch.setattr("shearling.batches.local_executor.score", self.score)

    def stop(self, run: BatchRun) -> None:
        """Stop a run of which a part has begun."""
        assert self.begun.acquire(timeout=20)
        stopping = threading.Thread(target=run.stop)
        stopping.start()
        time.sleep(0.1)  # the part begins to score after the run is stopped
        self.open.set()
        stopping.join(20)

    def score(self, *arguments: Any, **options: Any) -> Outcome:
        self.begun.release()
        assert self.open.wait(20)
        return self._score(*arguments, **options)


def test_the_outputs_have_the_answers_of_one_request_for_all_rows() -> None:
    run = sdk.batch("fraud:prod", "in/*.csv", "out/")

    result = run.wait()

    assert (result.parts, result.rows, result.failed) == (3, 9, 0)
    assert result.model == str(sdk.Registry().resolve("fraud:prod"))
    assert Path("out/_SUCCESS").exists()
    whole = sdk.load_model("fraud").predict(np.concatenate([ROWS + i for i in range(3)]))["Y"]
    assert np.array_equal(np.concatenate([answers(f"out/{i}.csv") for i in range(3)]), whole)


def test_a_large_file_is_scored_in_parts_at_the_same_time() -> None:
    rows = np.arange(400_000, dtype=np.float32).reshape(-1, 2) % 1000
    Path("big").mkdir()
    np.save("big/a.npy", rows)

    run = sdk.batch("fraud", "big", "out", part_bytes=2**20, max_concurrency=2, wait=True)

    parts = sorted(Path("out").glob("a.part-*.npy"))
    assert len(parts) == 2
    assert np.array_equal(np.concatenate([np.load(part) for part in parts]), rows * 2)
    assert run.status().bytes == rows.nbytes


def test_paths_and_several_inputs_are_accepted() -> None:
    run = sdk.batch("fraud:1", [Path("in/0.csv"), "in/2.csv"], Path("out"), output_format="jsonl")

    assert run.wait().rows == 6
    assert sorted(path.name for path in Path("out").glob("*.jsonl")) == ["0.jsonl", "2.jsonl"]


def test_a_run_is_the_same_from_another_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = sdk.batch("fraud:prod", "in/*.csv", "out/", wait=True)
    Path("other").mkdir()
    monkeypatch.chdir("other")

    run = sdk.batch_run("../out")

    assert run.output == begun.output
    assert run.status().scored == 3
    run.redrive(wait=True)
    assert not [*Path().iterdir()]


def test_an_output_that_was_moved_is_refused_but_not_a_link_to_it() -> None:
    run = sdk.batch("fraud:prod", "in/*.csv", "out/", wait=True)
    Path("link").symlink_to("out")
    assert sdk.batch_run("link/").output == run.output

    Path("out").rename("moved")

    with pytest.raises(InvalidRequestError, match=r"/moved/' has the files of fraud-.*/out/'"):
        sdk.batch_run("moved")


def test_a_failed_part_is_named_with_row_column_and_value() -> None:
    write("in/1.csv", [[1, 2], ["x", 4]])
    run = sdk.batch("fraud:prod", "in/", "out/", tolerate=100)

    result = run.wait()

    (failure,) = run.failures()
    assert (result.failed, result.failures) == (1, (failure,))
    assert failure.source == str(Path("in/1.csv").absolute())
    assert (failure.row, failure.value) == (3, "'x'")
    assert run.status().state == "succeeded"


def test_a_run_of_which_too_many_parts_fail_raises_with_the_failures() -> None:
    write("in/1.csv", [["x", 2]])
    run = sdk.batch("fraud:prod", "in/", "out/", max_concurrency=1)

    with pytest.raises(BatchFailedError, match=r"has failed: 2 of 3 parts .*\n.*in/1\.csv: ") as e:
        run.wait()

    assert [Path(failure.source).name for failure in e.value.failures] == ["1.csv", "2.csv"]
    assert not Path("out/2.csv").exists()  # no others are begun
    assert not Path("out/_SUCCESS").exists()


def test_a_redrive_scores_only_what_has_no_result() -> None:
    write("in/1.csv", [["x", 2]])
    run = sdk.batch("fraud:prod", "in/", "out/", max_concurrency=1)
    with pytest.raises(BatchFailedError):
        run.wait()
    first = Path("out/0.csv").stat()

    with pytest.raises(BatchFailedError):
        run.redrive(wait=True)

    assert Path("out/0.csv").stat() == first
    assert run.status().failed == 2
    again = sdk.batch_run("out/")
    assert (again.id, again.status().state) == (run.id, "failed")


def test_a_file_that_is_replaced_during_the_run_fails_its_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(monkeypatch)
    run = sdk.batch("fraud:prod", "in/", "out/", max_concurrency=1)
    assert gate.begun.acquire(timeout=20)
    write("in/0.csv", ROWS)
    gate.open.set()

    with pytest.raises(BatchFailedError, match="was replaced since"):
        run.wait()


def test_a_promotion_during_the_run_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = Gate(monkeypatch)
    run = sdk.batch("fraud:prod", "in/", "out/", max_concurrency=1)
    scaling_bundle(tmp_path, factor=3).publish(str(tmp_path / "registry"))
    sdk.set_alias("fraud", "prod", 2)
    gate.stop(run)

    run.redrive(wait=True)

    assert np.array_equal(answers("out/2.csv"), (ROWS + 2) * 2)


def test_a_stopped_run_goes_on_in_another_process_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        gate = Gate(patched)
        run = sdk.batch("fraud:prod", "in/", "out/", max_concurrency=1)
        gate.stop(run)
    assert run.status().state == "stopped"
    with pytest.raises(BatchFailedError, match="is stopped"):
        run.wait()

    script = "import shearling as sdk; print(sdk.batch_run('out').redrive(wait=True).wait().rows)"
    assert python(script) == "9"
    assert run.wait().rows == 9


def test_a_run_is_found_by_its_output_without_a_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    sdk.batch("fraud:prod", "in/", "out/", wait=True)
    monkeypatch.delenv("SHEARLING_REGISTRY")

    run = sdk.batch_run("out/")

    assert (run.status().state, run.failures()) == ("succeeded", [])
    with pytest.raises(RegistryError, match="SHEARLING_REGISTRY"):
        run.redrive()


def test_a_run_that_is_not_over_is_neither_awaited_for_ever_nor_begun_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(monkeypatch)
    run = sdk.batch("fraud:prod", "in/", "out/")

    with pytest.raises(JobTimeoutError, match="is still running after"):
        run.wait(timeout=0.1)
    with pytest.raises(BatchFailedError, match="is not over yet"):
        sdk.batch_run("out").redrive()
    assert (run.status().state, run.status().parts) == ("running", 3)
    gate.open.set()
    assert run.wait().rows == 9


def test_whoever_watches_sees_rows_and_an_estimate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shearling.progress.is_watched", lambda: True)
    begun, is_shown, looks = list[int](), threading.Event(), list[int]()
    real = engine.score

    def score(*arguments: Any, **options: Any) -> Outcome:
        if begun:
            assert is_shown.wait(20)
        begun.append(1)
        return real(*arguments, **options)

    def pause(_: float) -> None:
        looks.append(run.status().scored)
        if looks.count(1) == 2:  # the wait has shown what the first part had
            is_shown.set()
        time.sleep(0.05)

    monkeypatch.setattr("shearling.batches.local_executor.score", score)
    run = sdk.batch("fraud:prod", "in/", "out/", max_concurrency=1)
    run._pause = pause

    assert run.wait().rows == 9
    assert re.search(rf"batch {run.id}: +33%.* 3\.00/9\.00 ", capsys.readouterr().err)


def test_a_run_that_nobody_awaits_ends_with_its_process_and_says_how_to_go_on() -> None:
    for i in range(40):
        write(f"many/{i}.csv", ROWS)

    script = "import shearling as sdk; sdk.batch('fraud', 'many', 'out', max_concurrency=1)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert f"To go on, run `shearling batch redrive {Path('out').absolute()}/`" in done.stderr
    assert sdk.batch_run("out").redrive(wait=True).status().scored == 40


def test_an_error_that_goes_away_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [StoreError("a blip"), StoreError("a blip")]
    real = engine.score

    def score(*arguments: Any, **options: Any) -> Outcome:
        if failures:
            raise failures.pop()
        return real(*arguments, **options)

    monkeypatch.setattr("shearling.batches.local_executor.score", score)
    monkeypatch.setattr("shearling.batches.local_executor._PAUSES", (0.0, 0.0))
    assert sdk.batch("fraud:prod", "in/", "out/", wait=True).status().scored == 3


def test_a_file_that_cannot_be_read_fails_its_part_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.score

    def score(request: ScoreRequest, *arguments: Any, **options: Any) -> Outcome:
        if request.source.key.endswith("/1.csv"):
            raise StoreError("cannot read 1.csv: Permission denied", denied=True)
        return real(request, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("shearling.batches.local_executor.score", score)
        run = sdk.batch("fraud:prod", "in/", "out/", tolerate=50)
        result = run.wait()

    assert (result.status, result.failed, result.rows) == ("succeeded", 1, 6)
    (failure,) = result.failures
    assert failure.source.endswith("/in/1.csv")
    assert failure.message == "cannot read 1.csv: Permission denied"
    assert run.redrive(wait=True).failures() == []


def test_an_output_that_cannot_be_written_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(*_: Any, **__: Any) -> Outcome:
        raise StoreError("cannot write: no space left", denied=True)

    monkeypatch.setattr("shearling.batches.local_executor.score", score)
    run = sdk.batch("fraud:prod", "in/", "out/")

    with pytest.raises(BatchFailedError, match="no space left"):
        run.wait()
    assert run.status().state == "failed"


def test_a_pickle_needs_to_be_allowed_and_pinned() -> None:
    version = sdk.push_model(np.negative, "minus", example=ROWS, format="cloudpickle")

    with pytest.raises(FormatError, match="allow_pickle"):
        sdk.batch("minus", "in/", "out/")
    with pytest.raises(FormatError, match="pinned by its digest"):
        sdk.batch("minus", "in/", "out/", allow_pickle=True)
    assert not Path("out").exists()
    run = sdk.batch(str(version.pin), "in/", "out/", allow_pickle=True)
    assert run.wait().rows == 9


@pytest.mark.parametrize(
    ("call", "kind", "problem"),
    [
        (lambda: sdk.batch("fraud:prod", "none/*", "out"), InvalidRequestError, "names no objects"),
        (lambda: sdk.batch("fraud:prod", [], "out"), InvalidRequestError, "inputs: "),
        (lambda: sdk.batch("fraud:prod", "in", "in/x"), InvalidRequestError, "is in the input"),
        (lambda: sdk.batch("fraud:9", "in", "out"), ModelNotFoundError, "version"),
        (lambda: sdk.batch("fraud:beta", "in", "out"), ModelNotFoundError, "beta"),
        (lambda: sdk.batch("acme-fraud:prod", "in", "out"), ModelNotFoundError, "acme-fraud"),
        (
            lambda: sdk.batch("fraud", "in", "out", tolerate=101),
            InvalidRequestError,
            "^tolerate: 101 is not a percentage",
        ),
        (
            lambda: sdk.batch("fraud", "in", "out", header="no"),  # type: ignore[arg-type]
            InvalidRequestError,
            "^header: 'no' is not one of auto",
        ),
        (lambda: sdk.batch("fraud", "", "out"), InvalidRequestError, r"^inputs\[0\]: '' is not"),
        (lambda: sdk.batch("fraud", "in", ""), InvalidRequestError, "^output: empty"),
        (
            lambda: sdk.batch("fraud", "in", "out", max_concurrency=0),
            InvalidRequestError,
            "^max_concurrency: 0 is not a whole number from 1",
        ),
        (
            lambda: sdk.batch("fraud", "in", "out", kms_key_arn="arn:aws:kms:eu-west-1:1:key/a"),
            InvalidRequestError,
            "^kms_key_arn: files of this machine are not encrypted",
        ),
        (lambda: sdk.batch_runs(-1), InvalidRequestError, "^limit: -1 is not a number from 0"),
        (lambda: sdk.batch_run("in/"), ModelNotFoundError, "is not the output of a batch run"),
        (lambda: sdk.batch_run("fraud-1"), ModelNotFoundError, "no state machine of"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    call: Callable[[], object], kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        call()


def python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
