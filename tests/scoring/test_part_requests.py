"""Score requests for a part of an object, and for an object that must not have changed."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shearling.errors import InvalidRequestError
from shearling.scoring.parquet_footer import read_footer
from tests.scoring.models import matrix_scorer, table_scorer
from tests.support.attack import attack

if TYPE_CHECKING:
    from shearling.scoring.blocks import Scorer
    from shearling.scoring.outcome import Outcome
    from tests.scoring.places import Places

CSV = b"name,age\nzoe,3\nmax,4\nliz,5\n"

FRAME = pl.DataFrame({"name": ["a", "b", "c", "d"], "age": [1, 2, 300, 4]})


def parquet() -> bytes:
    stream = io.BytesIO()
    FRAME.write_parquet(stream, row_group_size=2)
    return stream.getvalue()


def etag(places: Places, key: str) -> str:
    state = places.source.state(key)
    assert state is not None
    return state.etag


def score(places: Places, key: str, scorer: Scorer, *numbers: int, **fields: Any) -> Outcome:
    part = dict(zip(("start", "stop", "head"), numbers, strict=False))
    source = {"etag": etag(places, key), "part": part}
    return places.score(key, scorer, source=source, **fields)


def message(outcome: Outcome) -> str:
    assert outcome.status == "failed"
    assert outcome.failure is not None
    return outcome.failure.message


def test_the_output_of_a_part_has_the_names_of_the_columns(places: Places) -> None:
    places.put("a.csv", CSV)

    outcome = score(places, "a.csv", table_scorer(), 15, 21, 9, keep_columns=True)

    assert (outcome.status, outcome.rows) == ("scored", 1)
    names = b"name,age,label,scores[stays],scores[goes]"
    assert places.read("a.csv") == names + b"\r\nmax,4,0,3.0,8.0\r\n"
    part = places.json("a.csv.manifest.json")["source"]["part"]
    assert part == {"start": 15, "stop": 21, "head": 9}


def test_a_table_without_names_is_read_by_its_first_row(places: Places) -> None:
    places.put("a.csv", b"1,zoe\n2,max\n3,liz\n")

    score(places, "a.csv", table_scorer(), 12, 18, 6, header="absent")

    assert places.read("a.csv").splitlines()[1:] == [b"1,3.0,6.0"]


def test_an_invalid_row_has_its_number_in_the_part(places: Places) -> None:
    places.put("a.csv", CSV.replace(b"5", b"x"))

    outcome = score(places, "a.csv", table_scorer(), 15, 27, 9)

    assert outcome.failure is not None
    assert (outcome.failure.row, outcome.failure.column) == (2, "age")


def test_an_invalid_row_of_row_groups_has_its_number_in_the_file(places: Places) -> None:
    places.put("a.parquet", parquet())

    outcome = score(places, "a.parquet", table_scorer(), 1, 2, on_bad_rows="fail")

    assert outcome.failure is not None
    assert outcome.failure.row == 3


def test_the_rows_of_a_part_have_the_form_of_the_first_row(places: Places) -> None:
    places.put("a.jsonl", b'{"x": [1, 2, 3]}\n[1, 2, 3]\n[4, 5, 6]\n')

    outcome = score(places, "a.jsonl", matrix_scorer(), 27, 37, 17)

    assert "a list, but the first row is an object" in message(outcome)


def test_a_part_keeps_the_columns_of_the_first_row(places: Places) -> None:
    first = b'{"name": "zoe", "age": 3, "id": 7}\n'
    places.put("a.jsonl", first + b'{"age": 4, "name": "max"}\n')

    score(
        places,
        "a.jsonl",
        table_scorer(),
        len(first),
        len(first) + 26,
        len(first),
        output={"format": "csv"},
        keep_columns=True,
    )

    lines = places.read("a.csv").splitlines()
    assert lines[0].startswith(b"name,age,id,")
    assert lines[1].startswith(b"max,4,,")


def test_a_part_whose_rows_are_all_refused_has_the_columns_of_the_first_row(
    places: Places,
) -> None:
    places.put("a.jsonl", b'[3, "zoe"]\n[4]\n')

    score(
        places,
        "a.jsonl",
        table_scorer(),
        11,
        15,
        11,
        output={"format": "csv"},
        keep_columns=True,
        on_bad_rows="skip",
    )

    assert places.read("a.csv") == b"0,1,label,scores[stays],scores[goes]\r\n"


def test_another_part_replaces_the_result(places: Places) -> None:
    places.put("a.csv", CSV)
    score(places, "a.csv", table_scorer(), 0, 15)
    again = score(places, "a.csv", table_scorer(), 0, 15)

    other = score(places, "a.csv", table_scorer(), 15, 21, 9)

    assert (again.status, other.status) == ("unchanged", "scored")
    assert places.json("a.csv.manifest.json")["rows"] == 1


@pytest.mark.parametrize("change", [b"name,age\nzoe,3\nmax,9\n", None])
def test_an_object_that_was_replaced_or_deleted_since_is_refused(
    places: Places, change: bytes | None
) -> None:
    places.put("a.csv", CSV)
    source = {"etag": etag(places, "a.csv"), "if_match": True}
    (places.root / "in" / "a.csv").unlink()
    if change is not None:
        places.put("a.csv", change)

    outcome = places.score("a.csv", table_scorer(), source=source)

    assert f"was {'replaced' if change else 'deleted'} since" in message(outcome)
    assert places.files() == ["a.csv.error.json"]


def test_a_finished_result_stays_though_its_source_is_gone(places: Places) -> None:
    places.put("a.csv", CSV)
    source = {"etag": etag(places, "a.csv"), "if_match": True}
    places.score("a.csv", table_scorer(), source=source)
    (places.root / "in" / "a.csv").unlink()

    outcome = places.score("a.csv", table_scorer(), source=source)

    assert (outcome.status, outcome.rows) == ("unchanged", 3)


def test_a_model_whose_rows_depend_on_each_other_scores_no_part(places: Places) -> None:
    places.put("a.csv", CSV)

    outcome = score(places, "a.csv", table_scorer(independent=False), 0, 15)

    assert "cannot be scored in parts: raise `part_bytes`" in message(outcome)


@pytest.mark.parametrize(
    ("key", "part", "problem"),
    [
        ("a.csv", (0, 99, 0), "source.part.stop: 99, but the source has 27 bytes"),
        ("a.parquet", (1, 3, 0), "source.part.stop: 3, but there are 2 row groups"),
        ("a.npy", (129, 140, 128), "bytes 129 to 140 are no rows of an array whose 2 rows"),
        ("a.npy", (128, 164, 128), "source.part.stop: 164, but the source has 152 bytes"),
    ],
)
def test_a_part_that_is_not_in_the_object_is_refused(
    places: Places, key: str, part: tuple[int, int, int], problem: str
) -> None:
    stream = io.BytesIO()
    np.save(stream, np.ones((2, 3), np.float32))
    places.put("a.csv", CSV)
    places.put("a.parquet", parquet())
    places.put("a.npy", stream.getvalue())

    outcome = score(places, key, matrix_scorer(), *part)

    assert problem in message(outcome)


def test_a_long_head_is_refused_unread(places: Places) -> None:
    path = places.root / "in" / "a.csv"
    path.write_bytes(b"a")
    with path.open("r+b") as stream:
        stream.truncate(10**9)

    outcome = score(places, "a.csv", table_scorer(), 10**9 - 1, 10**9, 10**9 - 1)

    assert "source.part.head: 999999999 is above 33,554,432" in message(outcome)


@settings(max_examples=attack(200), deadline=None)
@given(st.data())
def test_a_damaged_footer_is_refused_or_read(data: st.DataObject) -> None:
    file = bytearray(parquet())
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InvalidRequestError):
        read_footer(lambda start, stop: bytes(file[start:stop]), len(file)).only(0, 1)


def test_a_footer_of_some_row_groups_ends_a_whole_file_of_them() -> None:
    file = parquet()
    footer = read_footer(lambda start, stop: file[start:stop], len(file))

    part = file[: footer.begin] + footer.only(1, 2)

    assert pl.read_parquet(part).equals(FRAME[2:])
    assert pl.scan_parquet(part).select(pl.len()).collect().item() == 2
    again = read_footer(lambda start, stop: part[start:stop], len(part))
    assert [group.rows for group in again.groups] == [2]
    assert again.only(0, 1) == part[again.begin :]
