"""Rows that the model refuses: they fail the object, or go to a file of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shearling.errors import PredictionError
from shearling.scoring.blocks import Scorer
from tests.scoring.models import PIN, matrix_scorer, spec, table_scorer

if TYPE_CHECKING:
    from shearling.protocol.requests import InferRequest
    from tests.scoring.places import Places

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

BAD = b"age,name\n1,a\n2,b\nx,c\n900,d\n3,e\n"


def rejected(places: Places, key: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in places.read(f"{key}.rejected.jsonl").splitlines()]


def test_an_invalid_row_fails_the_object_with_row_column_and_value(places: Places) -> None:
    places.put("a.csv", BAD)

    outcome = places.score("a.csv", table_scorer(), block_bytes=6)

    assert outcome.status == "failed"
    assert places.files() == ["a.csv.error.json"]
    error = places.json("a.csv.error.json")
    assert error["error"] == {
        "row": 4,
        "column": "age",
        "value": "'x'",
        "message": "source: row 4, column 'age': 'x' is not INT64",
    }
    etag = outcome.source_etag
    assert error["source"] == {"bucket": "in", "key": "a.csv", "etag": etag, "size": len(BAD)}
    assert error["model"] == PIN


def test_a_row_that_only_the_model_refuses_fails_with_its_number(places: Places) -> None:
    places.put("a.csv", b"age,name\n1,a\n2,b\n900,c\n3,e\n")

    outcome = places.score("a.csv", table_scorer())

    assert outcome.failure is not None
    assert outcome.failure.row == 4
    assert outcome.failure.message == "source: row 4: the model cannot process 900"


@pytest.mark.parametrize(
    ("facts", "row", "column", "value"),
    [
        ({"nullable": False}, b"inf,,3", "b", "nan"),
        ({"finite": True}, b",1,inf", "c", "inf"),
        ({"finite": True}, b",1,-inf", "c", "-inf"),
        ({}, b"1,1e39,3", "b", "1e+39"),
        ({}, b'"1",1,1e39', "c", "1e+39"),
    ],
)
def test_a_number_that_the_input_refuses_fails_with_its_column_and_value(
    places: Places, facts: dict[str, bool], row: bytes, column: str, value: str
) -> None:
    inputs = (spec("x", "FP32", -1, 3, **facts),)
    scorer = matrix_scorer()
    scorer = replace(
        scorer, signature=replace(scorer.signature, inputs=inputs), columns=("a", "b", "c")
    )
    places.put("a.csv", b"a,b,c\n1,2,3\n" + row + b"\n")

    failure = places.score("a.csv", scorer).failure

    assert failure is not None
    assert (failure.row, failure.column, failure.value) == (3, column, value)


def test_invalid_rows_go_to_a_file_of_their_own(places: Places) -> None:
    places.put("a.csv", BAD)

    outcome = places.score("a.csv", table_scorer(), on_bad_rows="skip", keep_columns=True)

    assert (outcome.rows, outcome.rejected) == (5, 2)
    assert places.read("a.csv").splitlines()[1:] == [
        b"1,a,1,1.0,2.0",
        b"2,b,0,1.0,4.0",
        b"3,e,1,1.0,6.0",
    ]
    assert [(line["row"], line["data"]) for line in rejected(places, "a.csv")] == [
        (4, "x,c"),
        (5, "900,d"),
    ]
    manifest = places.json("a.csv.manifest.json")
    assert (manifest["rows"], manifest["rejected"]) == (5, 2)
    assert manifest["rejected_key"] == "a.csv.rejected.jsonl"


@FRESH
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 60))
def test_exactly_the_invalid_rows_are_rejected(
    places: Places, valid: list[bool], size: int
) -> None:
    rows = [str(i) if is_valid else "x" for i, is_valid in enumerate(valid)]
    key = places.put("a.csv", "".join(f"{row},a\n" for row in rows).encode())

    places.score(key, table_scorer(), on_bad_rows="skip", header="absent", block_bytes=size)

    labels = [line.split(b",")[2] for line in places.read(key).splitlines()[1:]]
    assert [float(label) for label in labels] == [2.0 * int(row) for row in rows if row != "x"]
    bad = [i + 1 for i, is_valid in enumerate(valid) if not is_valid]
    found = rejected(places, key) if bad else []
    assert [line["row"] for line in found] == bad


def test_a_line_that_is_not_json_is_rejected_as_it_is(places: Places) -> None:
    places.put("a.jsonl", b'{"age":1,"name":"a"}\nnot json\n')

    places.score("a.jsonl", table_scorer(), on_bad_rows="skip")

    assert [(line["row"], line["data"]) for line in rejected(places, "a.jsonl")] == [
        (2, "not json")
    ]


def test_few_invalid_rows_cost_few_requests(places: Places) -> None:
    scorer = table_scorer()
    calls: list[int] = []

    def answer(request: InferRequest) -> Any:
        calls.append(len(request.inputs["age"]))
        return scorer.answer(request)

    counted = Scorer(pin=PIN, signature=scorer.signature, answer=answer)
    places.put("a.csv", b"age,name\n" + b"1,a\n" * 4000 + b"900,a\n" + b"1,a\n" * 4000)

    places.score("a.csv", counted, on_bad_rows="skip")

    assert len(calls) < 40


def test_an_object_whose_rows_are_all_invalid_has_an_output_without_rows(places: Places) -> None:
    places.put("a.csv", b"age,name\nx,a\ny,b\n")

    outcome = places.score("a.csv", table_scorer(), on_bad_rows="skip")

    assert (outcome.rows, outcome.rejected) == (2, 2)
    assert places.read("a.csv") == b"label,scores[stays],scores[goes]\r\n"


def test_a_model_that_fails_fails_the_object_even_if_rows_may_be_skipped(places: Places) -> None:
    def answer(_: InferRequest) -> Any:
        raise PredictionError("the model failed with ValueError")

    places.put("a.csv", b"age,name\n1,a\n")
    broken = Scorer(pin=PIN, signature=table_scorer().signature, answer=answer)

    outcome = places.score("a.csv", broken, on_bad_rows="skip")

    assert outcome.failure is not None
    assert outcome.failure.message == "the model failed with ValueError"


# Rows that depend on each other


def test_rows_that_depend_on_each_other_are_answered_in_one_request(places: Places) -> None:
    counts: list[int] = []
    scorer = table_scorer(independent=False)

    def answer(request: InferRequest) -> Any:
        counts.append(len(request.inputs["age"]))
        return scorer.answer(request)

    counted = Scorer(pin=PIN, signature=scorer.signature, answer=answer)
    places.put("a.csv", b"age,name\n" + b"1,a\n" * 100)

    places.score("a.csv", counted, block_bytes=8)

    assert counts == [100]


def test_rows_that_depend_on_each_other_cannot_be_skipped(places: Places) -> None:
    places.put("a.csv", b"age,name\n1,a\n")

    outcome = places.score("a.csv", table_scorer(independent=False), on_bad_rows="skip")

    assert outcome.failure is not None
    assert "set it to 'fail'" in outcome.failure.message


def test_a_large_object_whose_rows_depend_on_each_other_is_refused(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shearling.scoring.readers.ROW_LIMIT", 20)
    places.put("a.csv", b"age,name\n" + b"1,a\n" * 100)

    outcome = places.score("a.csv", table_scorer(independent=False))

    assert outcome.failure is not None
    assert "all must fit into one request: 20 bytes at most" in outcome.failure.message
