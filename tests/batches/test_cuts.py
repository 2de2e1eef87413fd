"""Parts of objects: together they have the rows of the whole, and answer what it answers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shearling.batches.cuts import parts_of
from shearling.scoring.readers import open_reader
from shearling.scoring.request import ScoreRequest
from tests.scoring.models import matrix_scorer, table_scorer, text_scorer
from tests.support.attack import attack
from tests.support.memory_objects import MemoryObjects

if TYPE_CHECKING:
    from shearling.scoring.blocks import Scorer
    from shearling.scoring.parts import Part


def request(key: str, part: Part | None = None, **options: Any) -> ScoreRequest:
    return ScoreRequest.from_document(
        {
            "source": {"bucket": "in", "key": key, "etag": "e", "part": part and part.document()},
            "output": {"bucket": "out"},
            "options": options,
        }
    )


def rows_of(data: bytes, asked: ScoreRequest, scorer: Scorer) -> list[tuple[Any, Any]]:
    """The rows that a reader yields, each with the inputs that the model gets."""
    objects, found = MemoryObjects(data), list[tuple[Any, Any]]()
    state = objects.state(asked.source.key)
    with open_reader(asked, objects, state, scorer, 16) as reader:
        for block in reader:
            inputs = [array.tolist() for array in block.request().inputs.values()]
            found += zip(block.values(), zip(*inputs, strict=True), strict=True)
    return found


def check(data: bytes, key: str, scorer: Scorer, size: int, **options: Any) -> None:
    """Check that the parts of an object have its rows, in order."""
    objects = MemoryObjects(data)
    kind = request(key).source_format
    parts = parts_of(objects, key, objects.state(key), kind, size)
    whole = rows_of(data, request(key, **options), scorer)
    if parts:
        found = [rows_of(data, request(key, part, **options), scorer) for part in parts]
        assert [row for rows in found for row in rows] == whole


cells = st.text(st.sampled_from('a",\n\rü '), max_size=6)
line_ends = st.sampled_from(["\n", "\r\n", "\r"])
sizes = st.integers(1, 60)


def quoted(text: str) -> str:
    return '"{}"'.format(text.replace('"', '""'))


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """CSV of ages and names, with quotes and line ends in cells, empty lines, and any last line."""
    rows = draw(st.lists(st.tuples(st.integers(0, 99), cells, st.booleans()), min_size=1))
    end, text = draw(line_ends), draw(st.sampled_from(["", "\ufeff"])) + "age,name"
    for age, name, is_plain in rows:
        cell = name if is_plain and not {*name} & {*',"\r\n'} else quoted(name)
        text += end * draw(st.integers(1, 3)) + f"{age},{cell}"
    return (text + end * draw(st.integers(0, 2))).encode()


@settings(max_examples=attack(200), deadline=None)
@given(tables(), sizes)
def test_the_parts_of_a_csv_have_its_rows(data: bytes, size: int) -> None:
    check(data, "a.csv", table_scorer(), size, keep_columns=True)


@settings(max_examples=attack(200), deadline=None)
@given(st.lists(cells, min_size=1, max_size=25), line_ends, line_ends, sizes)
def test_the_parts_of_a_csv_of_one_column_have_its_empty_rows(
    texts: list[str], end: str, last: str, size: int
) -> None:
    lines = [quoted(text) if text else "" for text in texts]
    data = (end.join(["text", *lines]) + last).encode()
    check(data, "a.csv", text_scorer(), size, header="present")


@settings(max_examples=attack(200), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 99), cells), min_size=1, max_size=25),
    st.lists(st.sampled_from(["", " ", "\r"]), max_size=25),
    st.sampled_from(["", "\n"]),
    sizes,
)
def test_the_parts_of_json_lines_have_its_rows(
    rows: list[tuple[int, str]], empty: list[str], last: str, size: int
) -> None:
    lines = [orjson.dumps({"age": age, "name": name}) for age, name in rows]
    for i, line in enumerate(empty):
        lines.insert(2 * i, line.encode())
    data = b"\n".join(lines) + last.encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shearling.batches.cuts._LINE_BYTES", 5)
        check(data, "a.jsonl", table_scorer(), size)


@settings(max_examples=attack(50), deadline=None)
@given(st.integers(1, 40), st.integers(1, 400))
def test_the_parts_of_an_array_have_its_rows(rows: int, size: int) -> None:
    stream = io.BytesIO()
    np.save(stream, np.arange(rows * 3, dtype=np.float32).reshape(rows, 3))
    check(stream.getvalue(), "a.npy", matrix_scorer(), size)


@settings(max_examples=attack(50), deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.integers(100, 4000))
def test_the_parts_of_a_parquet_file_have_its_rows(rows: int, group: int, size: int) -> None:
    frame = pl.DataFrame({"age": range(rows), "name": [str(i) * 3 for i in range(rows)]})
    stream = io.BytesIO()
    frame.write_parquet(stream, row_group_size=group)
    check(stream.getvalue(), "a.parquet", table_scorer(), size)
