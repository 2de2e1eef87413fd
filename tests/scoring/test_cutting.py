"""Where a stream of rows may be cut: the rows are those of the whole, however it arrives."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.errors import InvalidRequestError
from shearling.scoring import cutting
from shearling.scoring.cutting import csv_rows, cut, end_of_csv_rows, end_of_lines

#: Texts of what decides where a row of CSV ends.
tables = st.text(st.sampled_from('a",\n\rü'), max_size=60)


def read(text: str) -> list[list[str]]:
    return [*csv.reader(io.StringIO(text, newline=""))]


def chunks_of(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks, start = [], 0
    for size in sizes:
        chunks.append(data[start : start + size])
        start += size
    return [*chunks, data[start:]]


@given(tables, st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12))
def test_any_cutting_of_a_table_gives_the_rows_of_the_whole(
    text: str, sizes: list[int], size: int
) -> None:
    blocks = [*cut(chunks_of(text.encode(), sizes), end_of_csv_rows, size)]

    assert b"".join(blocks) == text.encode()
    assert [row for block in blocks for row in read(block.decode())] == read(text)


@given(tables)
def test_the_rows_of_a_block_are_those_that_csv_reads(text: str) -> None:
    rows = csv_rows(text.encode())

    assert [read(row.decode()) or [[]] for row in rows] == [[row] for row in read(text)]


@given(st.binary(max_size=40), st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12))
def test_any_cutting_of_lines_gives_the_lines_of_the_whole(
    data: bytes, sizes: list[int], size: int
) -> None:
    blocks = [*cut(chunks_of(data, sizes), end_of_lines, size)]

    assert b"".join(blocks) == data
    assert all(block.endswith(b"\n") for block in blocks[:-1])


def test_a_quote_within_a_cell_opens_nothing() -> None:
    assert csv_rows(b'5" disk,1\n"a\nb",2\n') == [b'5" disk,1', b'"a\nb",2']


def test_a_row_without_an_end_is_refused_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "ROW_LIMIT", 16)

    with pytest.raises(InvalidRequestError, match="row that begins at byte 4 does not end within"):
        [*cut([b'a,b\n"' + b"x" * 40], end_of_csv_rows, 4)]
