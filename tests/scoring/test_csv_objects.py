"""Scoring a CSV object: the answers of `infer` with CSV, whatever the size of a block."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shearling.protocol.csv_rows import csv_of, parse_csv
from shearling.scoring.blocks import Scorer
from tests.scoring.models import PIN, matrix_scorer, spec, table_scorer, text_scorer

if TYPE_CHECKING:
    from shearling.protocol.requests import InferRequest
    from tests.scoring.places import Places

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

TABLE = b'name,age\r\n"zoe, the ""first""",3\r\nmax,4\r\n\xc3\xbc,5\r\n'


def infer(data: bytes, scorer: Scorer) -> str:
    """The answer of the CSV door."""
    request = parse_csv(data.decode(), scorer.signature, scorer.columns)
    return csv_of(request, scorer.answer(request), scorer.signature.classes)


def test_the_scored_table_is_the_answer_to_the_same_table(places: Places) -> None:
    places.put("a.csv", TABLE)

    outcome = places.score("a.csv", table_scorer())

    assert places.read("a.csv").decode() == infer(TABLE, table_scorer())
    assert (outcome.status, outcome.rows, outcome.rejected) == ("scored", 3, 0)


names = st.text(st.sampled_from('ab",\n\rü;'), max_size=6)


@FRESH
@given(
    st.lists(st.tuples(names, st.integers(0, 99)), min_size=1, max_size=12),
    st.integers(1, 40),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["present", "absent"]),
)
def test_the_answers_do_not_depend_on_the_size_of_a_block(
    places: Places, rows: list[tuple[str, int]], size: int, end: str, header: str
) -> None:
    cells = [(age, '"' + name.replace('"', '""') + '"') for name, age in rows]
    lines = [("age", "name"), *cells] if header == "present" else cells
    data = "".join(f"{first},{second}{end}" for first, second in lines).encode()
    key = places.put("a.csv", data)

    places.score(key, table_scorer(), block_bytes=size, header=header)

    has_names = header == "present"
    request = parse_csv(data.decode(), table_scorer().signature, has_names=has_names)
    answer = table_scorer().answer(request)
    assert places.read(key).decode() == csv_of(request, answer, table_scorer().signature.classes)


@FRESH
@given(st.lists(st.sampled_from(["", "a", '"', "b c"]), min_size=1, max_size=12), st.integers(1, 9))
def test_empty_lines_of_one_column_are_rows_in_any_block(
    places: Places, lines: list[str], size: int
) -> None:
    text = "\n".join(
        ['"' + line.replace('"', '""') + '"' if '"' in line else line for line in lines]
    )
    data = f"text\n{text}\n".encode()
    key = places.put("a.csv", data)
    if not "".join(lines):
        return

    places.score(key, text_scorer(), block_bytes=size)

    assert places.read(key).decode() == infer(data, text_scorer())


def test_empty_lines_between_the_rows_of_a_table_are_no_rows(places: Places) -> None:
    data = b"\n\nage,name\n\n3,a\n\n\n4,b\n\n"
    places.put("a.csv", data)

    places.score("a.csv", table_scorer(), block_bytes=2)

    assert places.read("a.csv").decode() == infer(data, table_scorer())


def test_a_byte_order_mark_is_no_part_of_the_first_name(places: Places) -> None:
    places.put("a.csv", b"\xef\xbb\xbfage,name\n3,a\n")

    assert places.score("a.csv", table_scorer()).status == "scored"


def test_a_table_without_names_has_the_columns_of_the_model(places: Places) -> None:
    places.put("a.csv", b"1,2,3\n4,5,6\n")

    places.score("a.csv", matrix_scorer(), block_bytes=4)

    assert places.read("a.csv") == b"sum\r\n6.0\r\n15.0\r\n"


def test_the_columns_of_the_source_come_first_if_they_are_kept(places: Places) -> None:
    places.put("a.csv", TABLE)

    places.score("a.csv", table_scorer(), keep_columns=True, block_bytes=8)

    kept = pd.read_csv(io.BytesIO(places.read("a.csv")))
    assert kept.columns.tolist() == ["name", "age", "label", "scores[stays]", "scores[goes]"]
    assert kept["name"].tolist() == ['zoe, the "first"', "max", "ü"]
    assert kept["scores[goes]"].tolist() == [6.0, 8.0, 10.0]


def test_columns_that_the_model_does_not_take_are_only_kept(places: Places) -> None:
    places.put("a.csv", b'id,name,note,age\nA-1,zoe,"x, y",3\nA-2,max,,4\n')

    places.score("a.csv", table_scorer(), keep_columns=True, block_bytes=20)

    assert places.read("a.csv") == (
        b"id,name,note,age,label,scores[stays],scores[goes]\r\n"
        b'A-1,zoe,"x, y",3,1,3.0,6.0\r\nA-2,max,,4,0,3.0,8.0\r\n'
    )
    assert places.score("a.csv", table_scorer(), output={"key": "b.csv"}).status == "failed"


def test_an_output_with_the_name_of_a_kept_column_is_renamed(places: Places) -> None:
    scorer = matrix_scorer()
    places.put("a.csv", b"sum,output_sum,b\n1,2,3\n")

    places.score("a.csv", scorer, keep_columns=True)

    assert places.read("a.csv") == b"sum,output_sum,b,output_output_sum\r\n1,2,3,6.0\r\n"


@pytest.mark.parametrize("data", [b"", b"age,name\n", b"\n\n"], ids=["empty", "names", "lines"])
def test_an_object_without_rows_has_an_output_without_rows(places: Places, data: bytes) -> None:
    places.put("a.csv", data)

    outcome = places.score("a.csv", table_scorer())

    assert (outcome.status, outcome.rows) == ("scored", 0)
    assert places.read("a.csv") == b"label,scores[stays],scores[goes]\r\n"


def test_a_row_of_another_length_fails_with_its_number(places: Places) -> None:
    places.put("a.csv", b"age,name\n" + b"3,a\n" * 10 + b"3,a,b\n")

    outcome = places.score("a.csv", table_scorer(), block_bytes=8)

    assert outcome.failure is not None
    assert outcome.failure.row == 12
    assert "row 12 has 3 cells" in outcome.failure.message


def test_a_table_that_is_not_utf_8_fails_with_the_row(places: Places) -> None:
    places.put("a.csv", b"age,name\n3,a\n3,\xff\n")

    outcome = places.score("a.csv", table_scorer())

    assert outcome.failure is not None
    assert outcome.failure.row == 3
    assert "not UTF-8" in outcome.failure.message


def test_the_output_may_be_lines_of_json(places: Places) -> None:
    places.put("a.csv", TABLE)

    places.score("a.csv", table_scorer(), output={"format": "jsonl"}, keep_columns=True)

    assert places.read("a.jsonl").splitlines()[1] == (
        b'{"name":"max","age":"4","label":0,"scores":[3.0,8.0]}'
    )


def test_a_first_line_that_may_be_names_or_values_fails_with_what_to_set(places: Places) -> None:
    places.put("a.csv", b"0,1,2\n4,5,6\n")

    outcome = places.score("a.csv", matrix_scorer())

    assert outcome.failure is not None
    assert "set `options.header` to present or absent" in outcome.failure.message
    assert places.score("a.csv", matrix_scorer(), header="absent").rows == 2


@pytest.mark.parametrize("number", [1, 250_000])
def test_empty_lines_of_a_column_of_texts_are_rows_before_another_row(
    places: Places, number: int
) -> None:
    places.put("a.csv", b"text\na\n" + b"\n" * number + b"b\n")

    outcome = places.score("a.csv", text_scorer(), block_bytes=200_000)

    assert outcome.rows == number + 2
    assert places.read("a.csv") == b"loud\r\nA\r\n" + b'""\r\n' * number + b"B\r\n"


def test_a_quote_that_is_open_at_the_end_is_closed_before_the_outputs(places: Places) -> None:
    places.put("a.csv", b'age,name\n1,a\n2,"b\n')

    places.score("a.csv", table_scorer(), keep_columns=True)

    found = pd.read_csv(io.BytesIO(places.read("a.csv")))
    assert found["name"].tolist() == ["a", "b\n"]
    assert found["label"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (gzip.compress(b"age,name\n1,a\n", mtime=0), "gzip"),
        (b"PK\x03\x04\x14\x00", "zip or a workbook"),
        ("age,name\n1,a\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_of_another_format_is_refused_by_its_name(
    places: Places, data: bytes, name: str
) -> None:
    places.put("a.csv", data)

    outcome = places.score("a.csv", table_scorer())

    assert outcome.failure is not None
    assert f"not CSV in UTF-8, but {name}" in outcome.failure.message


def test_a_column_that_occurs_twice_is_kept_in_csv_alone(places: Places) -> None:
    places.put("a.csv", b"age,name,id,id\n1,a,3,4\n")

    places.score("a.csv", table_scorer(), keep_columns=True)
    as_lines = places.score("a.csv", table_scorer(), keep_columns=True, output={"format": "jsonl"})

    assert places.read("a.csv").splitlines()[1] == b"1,a,3,4,1,1.0,2.0"
    assert as_lines.failure is not None
    assert "duplicate column 'id'" in as_lines.failure.message


def test_the_output_has_the_same_columns_in_all_rows(places: Places) -> None:
    def answer(request: InferRequest) -> dict[str, Any]:
        ages = request.inputs["age"]
        return {"scores": np.ones((len(ages), int(ages.max())), np.float32)}

    signature = replace(table_scorer().signature, outputs=(spec("scores", "FP32", -1, -1),))
    scorer = Scorer(pin=PIN, signature=signature, answer=answer)
    places.put("a.csv", b"age,name\n1,a\n2,b\n")

    outcome = places.score("a.csv", scorer, block_bytes=4)

    assert outcome.failure is not None
    assert "columns change from 1 to 2, which CSV cannot carry" in outcome.failure.message
