"""The end of a run: what its files say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from shearling.batches.run_result import RunResult
from shearling.errors import StoreError
from tests.scoring.models import PIN

if TYPE_CHECKING:
    from tests.batches.runs import Runs


def test_the_manifest_adds_up_the_parts_and_success_follows(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.put("in/b.csv", b"age,name\n1,a\nx,b\n")
    run = runs.run(options={"on_bad_rows": "skip"})
    runs.plan(run, function="arn:f:1", memory_mb=2048)
    runs.score(run)

    result = runs.finish(run)

    assert (result.status, result.parts, result.failed) == ("succeeded", 2, 0)
    assert (result.rows, result.rejected, result.model) == (4, 1, PIN)
    assert result.gb_seconds == pytest.approx(2 * result.scoring_seconds, abs=0.002)
    assert RunResult.from_document(runs.json("out/_manifest.json")) == result
    assert (runs.root / "out/_SUCCESS").read_bytes() == b""


def test_a_failed_part_is_listed_with_row_column_and_value(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.put("in/b.csv", b"age,name\n1,a\nx,b\n")
    runs.plan(run := runs.run())
    runs.score(run)

    result = runs.finish(run)

    (failure,) = result.failures
    assert (result.status, result.failed, result.rows) == ("failed", 1, 2)
    assert failure.source == f"{runs.root}/in/b.csv"
    assert (failure.row, failure.column, failure.value) == (3, "age", "'x'")
    assert not (runs.root / "out/_SUCCESS").exists()


def test_a_part_without_a_result_is_a_failure(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.put("in/b.csv")
    runs.plan(run := runs.run())
    runs.score(run, 1)

    result = runs.finish(run)

    assert (result.failed, result.failures[0].source) == (1, f"{runs.root}/in/a.csv")
    assert "no result was written" in result.failures[0].message


@pytest.mark.parametrize(("tolerated", "status"), [(50, "succeeded"), (49.9, "failed")])
def test_a_run_succeeds_if_no_more_parts_fail_than_are_tolerated(
    runs: Runs, tolerated: float, status: str
) -> None:
    runs.put("in/a.csv")
    runs.put("in/b.csv")
    runs.plan(run := runs.run(tolerated_failure_percentage=tolerated))
    runs.score(run, 0)

    assert runs.finish(run).status == status
    assert (runs.root / "out/_SUCCESS").exists() == (status == "succeeded")


def test_each_part_has_a_line_in_the_order_of_the_plan(runs: Runs) -> None:
    for name in ("c", "a", "b"):
        runs.put(f"in/{name}.csv")
    runs.plan(run := runs.run(["in/c.csv", "in/"]))
    runs.score(run, 1, 2)
    runs.finish(run)

    data = (runs.root / "out/_run/outcomes.jsonl").read_bytes()
    lines = [orjson.loads(line) for line in data.splitlines()]
    assert [line["source"]["key"][-5:] for line in lines] == ["c.csv", "a.csv", "b.csv"]
    assert ["error" in line for line in lines] == [True, False, False]
    assert lines[1]["rows"] == 2


def test_a_result_of_another_object_is_none_of_the_part(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.plan(run := runs.run())
    runs.score(run)
    manifest = runs.json("out/a.csv.manifest.json")
    manifest["source"]["etag"] = "other"
    runs.put("out/a.csv.manifest.json", orjson.dumps(manifest))

    assert runs.finish(run).failed == 1


def test_a_damaged_error_is_still_a_failure(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.plan(run := runs.run())
    error = {"source": {"etag": 5, "part": "x"}, "error": {"row": "x"}}
    runs.put("out/a.csv.error.json", orjson.dumps(error))

    assert "no result was written" in runs.finish(run).failures[0].message


def test_a_run_that_begins_again_is_not_over_yet(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.plan(run := runs.run())
    runs.score(run)
    runs.finish(run)

    runs.plan(run)

    assert not (runs.root / "out/_SUCCESS").exists()
    assert not (runs.root / "out/_manifest.json").exists()
    assert {outcome.status for outcome in runs.score(run)} == {"unchanged"}
    assert runs.finish(run).rows == 2


def test_a_run_without_a_plan_cannot_end(runs: Runs) -> None:
    with pytest.raises(StoreError, match="has no plan of the run r1"):
        runs.finish(runs.run())
