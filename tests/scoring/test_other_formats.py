"""Scoring lines of JSON and `.npy` files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shearling.scoring.answers import distinct
from tests.scoring.models import matrix_scorer, table_scorer, text_scorer

if TYPE_CHECKING:
    from tests.scoring.places import Places

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def npy(array: Any, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


def npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def lines(*rows: Any) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def refusal(places: Places, key: str, scorer: Any, **options: Any) -> str:
    outcome = places.score(key, scorer, **options)
    assert outcome.failure is not None
    return outcome.failure.message


# Lines of JSON


def test_a_line_of_json_is_answered_by_a_line_of_json(places: Places) -> None:
    places.put("a.jsonl", lines({"age": 3, "name": "zoe"}, {"name": "ü\nx", "age": 4}))

    places.score("a.jsonl", table_scorer(), block_bytes=2)

    assert places.read("a.jsonl") == lines(
        {"label": 1, "scores": [3.0, 6.0]}, {"label": 0, "scores": [3.0, 8.0]}
    )


def test_rows_may_be_lists_or_single_values(places: Places) -> None:
    places.put("a.jsonl", lines([1, 2, 3], [4, 5, 6]))
    places.put("b.jsonl", lines("a", "b"))

    places.score("a.jsonl", matrix_scorer())
    places.score("b.jsonl", text_scorer())

    assert places.read("a.jsonl") == b"6.0\n15.0\n"
    assert places.read("b.jsonl") == b'"A"\n"B"\n'


def test_the_fields_of_an_object_come_first_if_they_are_kept(places: Places) -> None:
    places.put("a.jsonl", lines({"age": 3, "name": "zoe"}))
    places.put("b.jsonl", lines([1, 2, 3]))

    places.score("a.jsonl", table_scorer(), keep_columns=True)
    places.score("b.jsonl", matrix_scorer(), keep_columns=True)

    assert places.read("a.jsonl") == lines(
        {"age": 3, "name": "zoe", "label": 1, "scores": [3.0, 6.0]}
    )
    assert places.read("b.jsonl") == lines({"instance": [1, 2, 3], "sum": 6.0})


@pytest.mark.parametrize("size", [2, 1000])
def test_all_rows_have_the_form_of_the_first_whatever_the_size_of_a_block(
    places: Places, size: int
) -> None:
    places.put("a.jsonl", lines([1, 2, 3], {"x": [0, 0, 0]}, [4, 5, 6]))

    outcome = places.score("a.jsonl", matrix_scorer(), block_bytes=size)
    skipped = places.score(
        "a.jsonl", matrix_scorer(), block_bytes=size, on_bad_rows="skip", output={"key": "b.jsonl"}
    )

    assert outcome.failure is not None
    assert outcome.failure.row == 2
    assert "but the first row is a list" in outcome.failure.message
    assert (skipped.rows, skipped.rejected) == (3, 1)
    assert places.read("b.jsonl") == b"6.0\n15.0\n"


def test_fields_that_the_model_does_not_take_are_only_kept(places: Places) -> None:
    places.put("a.jsonl", lines({"id": "A-1", "age": 3, "name": "zoe"}))

    places.score("a.jsonl", table_scorer(), keep_columns=True)

    assert places.read("a.jsonl") == lines(
        {"id": "A-1", "age": 3, "name": "zoe", "label": 1, "scores": [3.0, 6.0]}
    )
    message = refusal(places, "a.jsonl", table_scorer(), output={"key": "b.jsonl"})
    assert "'id' is not an input of the model" in message


def test_lines_of_json_may_become_csv_with_their_fields(places: Places) -> None:
    places.put("a.jsonl", lines({"age": 3, "name": "zoe, x"}, {"name": "max", "age": 4}))

    places.score("a.jsonl", table_scorer(), output={"format": "csv"}, keep_columns=True)

    assert places.read("a.csv") == (
        b'age,name,label,scores[stays],scores[goes]\r\n3,"zoe, x",1,6.0,6.0\r\n4,max,0,3.0,8.0\r\n'
    )


@FRESH
@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.text(max_size=5), st.sampled_from(["\n", "\r\n", "\n\n"])),
        min_size=1,
        max_size=9,
    ),
    st.integers(1, 50),
)
def test_the_answers_to_lines_do_not_depend_on_the_size_of_a_block(
    places: Places, rows: list[tuple[int, str, str]], size: int
) -> None:
    data = b"".join(
        orjson.dumps({"age": age, "name": name}) + end.encode() for age, name, end in rows
    )
    key = places.put("a.jsonl", data)

    places.score(key, table_scorer(), block_bytes=size)

    found = [orjson.loads(line) for line in places.read(key).splitlines()]
    assert found == [
        {"label": age % 2, "scores": [float(len(name)), 2.0 * age]} for age, name, _ in rows
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"age": 3', "source: row 3: not JSON"),
        (b'{"age": 3}', "source: row 3: missing name BYTES[-1]"),
        (b"[3]", "source: row 3: expected a list with a value for each of"),
        (b'{"age": "x", "name": "a"}', "source: row 3: 'age': 'x' is not INT64"),
    ],
)
def test_a_line_that_is_no_row_fails_with_its_number(
    places: Places, line: bytes, message: str
) -> None:
    places.put("a.jsonl", b'{"age":1,"name":"a"}\n\n' + line + b'\n{"age":2,"name":"b"}\n')

    assert message in refusal(places, "a.jsonl", table_scorer())


# Arrays


@FRESH
@given(
    st.integers(0, 9),
    st.integers(1, 60),
    st.sampled_from(["<f4", ">f4", "<f8", ">f8", "<i4", ">i8", "|u1"]),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_an_array_of_any_order_of_bytes_is_answered_by_an_array(
    places: Places, rows: int, size: int, dtype: str, version: tuple[int, int]
) -> None:
    array = np.arange(3 * rows).reshape(rows, 3).astype(dtype)
    key = places.put("a.npy", npy(array, version))

    outcome = places.score(key, matrix_scorer(), block_bytes=size)

    assert outcome.rows == rows
    found = np.load(io.BytesIO(places.read(key)))
    assert (found.dtype, found.shape) == (np.float32, (rows,))
    assert found.tolist() == array.astype(np.float32).sum(axis=1).tolist()


def test_the_fields_of_an_array_are_inputs_and_several_outputs_are_fields(places: Places) -> None:
    array = np.array([("zoe", 3), ("ma", 4)], [("name", "U5"), ("age", "<i4")])
    places.put("a.npy", npy(array))

    places.score("a.npy", table_scorer(), block_bytes=30)

    found = np.load(io.BytesIO(places.read("a.npy")))
    assert found["label"].tolist() == [1, 0]
    assert found["scores"].tolist() == [[3.0, 6.0], [2.0, 8.0]]


def test_an_array_may_become_csv(places: Places) -> None:
    places.put("a.npy", npy(np.ones((2, 3), np.float32)))

    places.score("a.npy", matrix_scorer(), output={"format": "csv"}, keep_columns=True)

    assert places.read("a.csv") == b"0,1,2,sum\r\n1.0,1.0,1.0,3.0\r\n1.0,1.0,1.0,3.0\r\n"


def test_texts_in_an_npy_output_are_refused_with_what_to_do(places: Places) -> None:
    places.put("a.npy", npy(np.array(["a", "b"])))

    message = refusal(places, "a.npy", text_scorer())

    assert ".npy cannot carry the texts of output 'loud': choose csv or jsonl" in message


FORTRAN = np.asfortranarray(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(FORTRAN), "is in Fortran order"),
        (npy(np.ones(3, np.float32)[0]), "is a single value and has no rows"),
        (npy(np.array([{}], object)), "has Python objects, as pickles"),
        (npy(np.ones((2, 3)))[:-1], "ends in row 1 of 2: the file is not complete"),
        (npy(np.ones((2, 3))) + b"x", "has more bytes than an array of shape (2, 3)"),
        (b"age,name", "is not a .npy file"),
        (b"", "is not a .npy file"),
        (
            npy(np.ones((2, 3))).replace(b"'descr'", b"'other'"),
            "header of the .npy file is invalid",
        ),
        (b"\x93NUMPY\x03\x00\x10\x00\x00\x00" + b"\xff" * 20, "header of the .npy file is invalid"),
        (npy_header("<f4", (10**15, 0)), "shape [0] has 0 bytes: a row has from 1 to 16,777,216"),
        (npy_header("<f4", (1, 10**9)), "has 4,000,000,000 bytes: a row has from 1 to"),
        (npy(np.ones((2, 4))), "[1, 4] does not fit [-1, 3] of input 'x'"),
        (npy(np.array([[1, 2, np.nan]])), "the value at [0, 2] is missing"),
    ],
)
def test_a_file_that_is_no_array_of_rows_fails_with_the_reason(
    places: Places, data: bytes, message: str
) -> None:
    places.put("a.npy", data)

    assert message in refusal(places, "a.npy", matrix_scorer())


def test_the_first_value_that_an_array_must_not_have_fails_with_its_row(places: Places) -> None:
    array = np.ones((9, 3), np.float32)
    array[6, 1] = np.nan
    places.put("a.npy", npy(array))

    outcome = places.score("a.npy", matrix_scorer(), block_bytes=24)

    assert outcome.failure is not None
    assert outcome.failure.row == 7


def test_values_that_json_lacks_are_kept_as_what_is_near(places: Places) -> None:
    array = np.array([(1, b"a\xff", 2)], [("age", "<i4"), ("id", "S2"), ("name", "U1")])
    longer = np.ones((1, 3), np.longdouble)
    places.put("a.npy", npy(array))
    places.put("b.npy", npy(longer))
    to_lines = {"format": "jsonl"}

    places.score("a.npy", table_scorer(), output=to_lines, keep_columns=True)
    places.score("b.npy", matrix_scorer(), output=to_lines, keep_columns=True)

    assert orjson.loads(places.read("a.jsonl"))["id"] == "a\\xff"
    assert orjson.loads(places.read("b.jsonl")) == {"instance": [1.0, 1.0, 1.0], "sum": 3.0}


def test_fields_of_an_array_that_the_model_does_not_take_are_only_kept(places: Places) -> None:
    places.put("a.npy", npy(np.array([(1, 2, "a")], [("age", "i4"), ("id", "i4"), ("name", "U1")])))

    assert "field 'id' is unknown: the model takes age, name" in refusal(
        places, "a.npy", table_scorer()
    )


def test_a_text_that_json_cannot_carry_fails_with_its_row(places: Places) -> None:
    fields = [("age", "<i4"), ("name", "U1"), ("note", "U1")]
    array = np.array([(1, "a", "b"), (2, "a", "\ud800")], fields)
    places.put("a.npy", npy(array))

    message = refusal(
        places, "a.npy", table_scorer(), output={"format": "jsonl"}, keep_columns=True
    )

    assert message.startswith("source: row 2: JSON cannot carry it")


def test_columns_cannot_be_kept_in_an_array(places: Places) -> None:
    places.put("a.npy", npy(np.ones((2, 3))))

    message = refusal(places, "a.npy", matrix_scorer(), keep_columns=True)

    assert message.startswith("options.keep_columns: not for npy")


def test_nested_values_are_json_in_csv(places: Places) -> None:
    places.put("a.jsonl", lines({"age": 1, "name": "a", "more": {"tags": ["x", True]}}))

    places.score("a.jsonl", table_scorer(), output={"format": "csv"}, keep_columns=True)

    row = places.read("a.csv").splitlines()[1]
    assert row == b'1,a,"{""tags"":[""x"",true]}",1,1.0,2.0'


def test_a_field_that_the_first_row_lacks_is_not_lost_in_csv(places: Places) -> None:
    rows = [{"age": 1, "name": "a"}, {"age": 2, "name": "b", "id": 7}]
    places.put("a.jsonl", lines(*rows))

    message = refusal(
        places, "a.jsonl", table_scorer(), output={"format": "csv"}, keep_columns=True
    )

    assert message.startswith("source: row 2: the first row has no field 'id'")


def test_an_output_never_gets_the_name_of_a_column_or_of_another_output() -> None:
    assert distinct(["label", "output_label"], ["label"]) == [
        "output_output_label",
        "output_label",
    ]
