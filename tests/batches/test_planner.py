"""What a plan says: which objects, in which parts, into which outputs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from shearling.errors import InvalidRequestError, StoreError
from shearling.scoring.request import ScoreRequest
from tests.scoring.models import PIN

if TYPE_CHECKING:
    from tests.batches.runs import Runs

#: More than a part's bytes.
LARGE = b"age,name\n" + (b"1," + b"a" * 96 + b"\n") * 28_000


def refusal(runs: Runs, **fields: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        runs.plan(runs.run(**fields))
    assert not (runs.root / "out" / "_run" / "run.json").exists()
    return str(caught.value)


def test_each_object_below_a_folder_is_a_part(runs: Runs) -> None:
    for name in ("in/b.csv", "in/x/a.jsonl", "in/a.csv", "into/c.csv"):
        runs.put(name)

    plan = runs.plan(runs.run("in"))

    assert (plan.parts, plan.sources, plan.bytes, plan.pin) == (3, 3, 54, PIN)
    assert runs.names() == ["a.csv", "b.csv", "x/a.jsonl"]


def test_a_line_is_a_score_request_for_the_object_as_it_is(runs: Runs) -> None:
    path = runs.put("in/a.csv")
    run = runs.run(
        options={"on_bad_rows": "skip"}, output_format="jsonl", kms_key_arn="arn:aws:kms:key"
    )
    runs.plan(run)

    (line,) = runs.lines()
    request = ScoreRequest.from_document(line)
    state = runs.places.objects("/").state(str(path)[1:])
    assert state is not None
    assert (request.source.etag, request.source.if_match) == (state.etag, True)
    assert (request.source.part, request.source.format) == (None, "csv")
    assert (request.event, request.options.on_bad_rows) == ("r1", "skip")
    assert (request.output.kms_key_arn, request.output_format) == ("arn:aws:kms:key", "jsonl")
    assert runs.names() == ["a.jsonl"]


def test_a_large_object_is_cut_into_numbered_parts_of_about_one_size(runs: Runs) -> None:
    runs.put("in/a.csv", LARGE)

    plan = runs.plan(runs.run())

    assert (plan.parts, plan.sources) == (3, 1)
    assert runs.names() == [f"a.part-0000{i}.csv" for i in range(3)]
    parts = [line["source"]["part"] for line in runs.lines()]
    assert [part["start"] for part in parts[1:]] == [part["stop"] for part in parts[:-1]]
    assert (parts[0]["start"], parts[-1]["stop"]) == (0, len(LARGE))


def test_a_damaged_object_is_one_part_whose_scoring_says_what_is_wrong(runs: Runs) -> None:
    runs.put("in/a.parquet", b"x" * 2_000_000)

    runs.plan(run := runs.run())

    (outcome,) = runs.score(run)
    assert outcome.failure is not None
    assert "not Parquet" in outcome.failure.message


def test_results_and_hidden_and_empty_objects_are_no_inputs(runs: Runs) -> None:
    for name in ("a.csv", "_SUCCESS", "_run/plan.jsonl", ".a.csv.crc", "x/_b.csv"):
        runs.put(f"in/{name}")
    for ending in ("manifest.json", "error.json", "rejected.jsonl"):
        runs.put(f"in/b.csv.{ending}")
    runs.put("in/empty.csv", b"")

    plan = runs.plan(runs.run())

    assert (runs.names(), plan.ignored) == (["a.csv"], 8)


def test_a_hidden_folder_that_the_input_names_is_read(runs: Runs) -> None:
    runs.put("in/_new/a.csv")

    runs.plan(runs.run("in/_new/*.csv"))

    assert runs.names() == ["a.csv"]


def test_a_hidden_object_that_an_input_names_is_read(runs: Runs) -> None:
    runs.put("in/_a.csv")

    runs.plan(runs.run("in/_a.csv"))

    assert runs.names() == ["_a.csv"]


def test_an_object_that_several_inputs_name_is_scored_once(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.put("in/b.csv")

    plan = runs.plan(runs.run(["in/a*", "in/*.csv"]))

    assert (plan.parts, runs.names()) == (2, ["a.csv", "b.csv"])


def test_the_format_of_all_inputs_can_be_given(runs: Runs) -> None:
    runs.put("in/part-0", LARGE)
    runs.put("in/part-1")

    runs.plan(run := runs.run(input_format="csv"))

    assert runs.names()[2:] == ["part-0.part-00002.csv", "part-1.csv"]
    assert {outcome.status for outcome in runs.score(run, 2, 3)} == {"scored"}


def test_each_picture_is_a_part_with_lines_of_json_whatever_its_size(runs: Runs) -> None:
    runs.put("in/a.jpg", LARGE)
    runs.put("in/a.png")

    runs.plan(runs.run())

    assert runs.names() == ["a.jpg.jsonl", "a.png.jsonl"]
    assert {line["output"]["format"] for line in runs.lines()} == {"jsonl"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("in/readme.txt", "in/readme.txt' is none of .csv, .jsonl, .ndjson, .npy, .parquet"),
        ("in/z.csv.gz", "in/z.csv.gz' is none of .csv"),
    ],
)
def test_an_object_of_an_unknown_format_is_refused_before_anything_runs(
    runs: Runs, name: str, problem: str
) -> None:
    runs.put("in/a.csv")
    runs.put(name)

    assert problem in refusal(runs)


def test_a_name_with_brackets_that_exists_is_no_pattern(runs: Runs) -> None:
    for name in ("in/a1.csv", "in/a[1].csv", "in/b[2]/a.csv", "in/b2/c.csv", "in/d3.csv"):
        runs.put(name)

    runs.plan(runs.run(["in/a[1].csv", "in/b[2]", "in/d[3].csv"]))

    assert runs.names() == ["a[1].csv", "a.csv", "d3.csv"]


def test_a_pattern_within_a_directory_with_brackets_names_its_files(runs: Runs) -> None:
    runs.put("in [2026]/x/a.csv")
    runs.put("in [2026]/x/b.csv")

    runs.plan(runs.run("in [2026]/**/[ab].csv"))

    assert runs.names() == ["x/a.csv", "x/b.csv"]


def test_an_output_within_an_input_with_brackets_is_refused(runs: Runs) -> None:
    runs.put("in [2026]/a.csv")

    assert "is in the input" in refusal(runs, inputs="in [2026]/", output="in [2026]/out/")


def test_an_object_whose_name_is_not_utf8_is_refused_and_the_output_stays_free(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.put(os.fsdecode(b"in/\xff.csv"))

    assert r"in/\udcff.csv' is not UTF-8: rename it" in refusal(runs)
    assert runs.plan(runs.run("in/a.csv")).parts == 1


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ("in/*.parquet", "in/*.parquet' names no objects: check the path"),
        ("nowhere/", "nowhere/' names no objects: check the path"),
        (["in/", "nowhere/"], "nowhere/' names no objects"),
        ("in/e*", "names no objects but 1 that are empty, hidden or results"),
        ("gs://bucket/a", "inputs[0]: 'gs://bucket/a' is neither s3://bucket/prefix nor a path"),
        ("s3://", "inputs[0]: 's3://' is neither s3://bucket/prefix nor a path"),
        ("in/[z-a]", "is not a pattern"),
    ],
)
def test_an_input_that_names_nothing_is_refused(runs: Runs, inputs: Any, problem: str) -> None:
    runs.put("in/a.csv")
    runs.put("in/e.csv", b"")

    assert problem in refusal(runs, inputs=inputs)


@pytest.mark.parametrize(
    ("inputs", "output", "problem"),
    [
        ("in/", "in/scored", "is in the input"),
        ("in/**/*.csv", "in/scored/", "is in the input"),
        ("in/*.csv", "in", "has the input"),
        ("in/x/a.csv", "in/", "has the input"),
        ("in/**/x-*.csv", "in/out/", "would be an input of the run"),
    ],
)
def test_an_output_that_overlaps_an_input_is_refused(
    runs: Runs, inputs: str, output: str, problem: str
) -> None:
    runs.put("in/x/a.csv")
    runs.put("in/x/x-1.csv")

    assert problem in refusal(runs, inputs=inputs, output=output)


def test_an_output_beside_the_inputs_of_a_pattern_is_allowed(runs: Runs) -> None:
    runs.put("in/a.csv")

    assert runs.plan(runs.run("in/*.csv", "in/scored/")).parts == 1


def test_objects_that_would_have_the_same_output_are_refused(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.put("in/a.jsonl")

    assert "in/a.jsonl' would be" in refusal(runs, output_format="npy")


def test_an_output_with_objects_is_refused(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.put("out/old.csv")

    assert "out/' is not empty: it has 'old.csv'" in refusal(runs)


def test_an_output_with_another_run_is_refused(runs: Runs) -> None:
    runs.put("in/a.csv")
    runs.plan(runs.run())

    with pytest.raises(InvalidRequestError, match=r"has the run r1: .* shearling batch redrive"):
        runs.plan(runs.run(run="r2"))


def test_a_refused_run_leaves_its_output_free(runs: Runs) -> None:
    runs.put("in/a.csv")
    refusal(runs, inputs="in/*.npy", run="r2")

    assert runs.plan(runs.run()).parts == 1


def test_a_plan_that_was_interrupted_is_made_again(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.put("in/a.csv")

    def fail(*_: object) -> None:
        raise StoreError("S3 is away")

    with monkeypatch.context() as patched:
        patched.setattr("shearling.batches.planner.parts_of", fail)
        with pytest.raises(StoreError):
            runs.plan(runs.run())
        with pytest.raises(InvalidRequestError, match="has the run r1"):
            runs.plan(runs.run(run="r2"))

    assert runs.plan(runs.run()).parts == 1


def test_a_plan_that_exists_stays_and_its_function_is_renewed(runs: Runs) -> None:
    runs.put("in/a.csv")
    run = runs.run()
    runs.plan(run, function="arn:f:1", memory_mb=512)
    lines = runs.lines()
    runs.put("in/b.csv")

    plan = runs.plan(run, function="arn:f:2", memory_mb=1024)

    assert (plan.parts, plan.function, plan.memory_mb) == (1, "arn:f:2", 1024)
    assert runs.json("out/_run/run.json") == plan.document()
    assert runs.lines() == lines
    with pytest.raises(InvalidRequestError, match=f"are scored by {PIN}, not by fraud:2"):
        runs.plan(run, pin="fraud:2@sha256:" + "2" * 64)
