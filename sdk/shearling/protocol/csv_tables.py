"""CSV tables, parsed in blocks of rows, because cells take many times the memory of their text.

Blocks of plain numbers are almost JSON and are parsed as JSON. Blocks without quotes are split at
once. Only tables with quotes are parsed row by row.
"""

from __future__ import annotations

import csv
import io
import re
from itertools import chain, islice
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Size of a block: characters of a table without quotes, cells of a table with quotes.
_BLOCK_CHARACTERS = 32 * 1024
_BLOCK_CELLS = 8 * 1024

#: Rows of the first block, before the number of cells per row is known.
_FIRST_ROWS = 16

_OF_NUMBERS = b"0123456789+-.eE"

#: JSON has no integer -0; as a float it differs from 0.
_NEGATIVE_ZERO = re.compile(rb"-0(?:[,\n]|$)")

_COMMAS = methodcaller("count", ",")


class Table(Protocol):
    """A table whose rows have the same number of cells; it can be read once.

    Attributes:
        width: cells of each row; 0 if there are no rows.
    """

    width: int

    def first(self) -> list[str]:
        """Return the first row; only possible before `blocks`."""
        ...

    def blocks(self, *, has_names: bool) -> Iterator[Block]:
        """Yield the rows, without the first row if it contains names.

        Raises:
            InvalidRequestError: the text is not CSV, or the rows have different lengths.
        """
        ...


class Block(Protocol):
    """Consecutive rows of a table."""

    def numbers(self) -> list[Any] | None:
        """Return the values in row order, None for an empty cell; None unless all are numbers."""
        ...

    def cells(self, row: int) -> list[str]:
        """Return the cells in row order.

        Args:
            row: number of the first row, for error messages.

        Raises:
            InvalidRequestError: a row has another length than the first row of the table.
        """
        ...


def open_table(text: str, place: str) -> Table:
    """Open a CSV table.

    An empty line is a row only in a table of one column, and never at the end.

    Args:
        text: the table.
        place: name of the table for error messages.

    Raises:
        InvalidRequestError: the text is not CSV, or the rows have different lengths.
    """
    text = text.removeprefix("\ufeff")
    return _QuotedTable(text, place) if '"' in text else _PlainTable(text, place)


class _PlainTable:
    def __init__(self, text: str, place: str) -> None:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        self._text = text.rstrip("\n")
        self._place = place
        rows = self._text.lstrip("\n")
        self.width = rows.partition("\n")[0].count(",") + 1 if rows else 0
        if self.width > 1:
            self._text = rows

    def first(self) -> list[str]:
        return self._text.partition("\n")[0].split(",")

    def blocks(self, *, has_names: bool) -> Iterator[Block]:
        text, end = self._text, len(self._text)
        start = (text.find("\n") + 1 or end + 1) if has_names else 0
        while start <= end and self.width:
            # A block has at least one whole row.
            stop = text.rfind("\n", start, start + _BLOCK_CHARACTERS)
            stop = stop if stop >= 0 else text.find("\n", start + _BLOCK_CHARACTERS)
            stop = stop if stop >= 0 else end
            yield _PlainBlock(text[start:stop], self.width, self._place)
            start = stop + 1


class _PlainBlock:
    def __init__(self, text: str, width: int, place: str) -> None:
        self._text = text
        self._width = width
        self._place = place

    def numbers(self) -> list[Any] | None:
        data = self._text.encode("utf-8", "replace")
        separators = data.translate(None, _OF_NUMBERS) + b"\n"
        row = b"," * (self._width - 1) + b"\n"
        # Other characters, and rows of another length, differ from the separators of numbers.
        if separators != row * (len(separators) // self._width) or _NEGATIVE_ZERO.search(data):
            return None
        document = b"[" + (data.replace(b"\n", b",") or b"null") + b"]"
        try:
            values: list[Any] = orjson.loads(_with_nulls(document))
        except orjson.JSONDecodeError:
            return None
        return values

    def cells(self, row: int) -> list[str]:
        lines = self._text.split("\n")
        if self._width == 1:
            if "," in self._text:
                self._refuse(lines, row)
            return lines
        if "" in lines:
            lines = [line for line in lines if line]
        if set(map(_COMMAS, lines)) - {self._width - 1}:
            self._refuse(lines, row)
        return ",".join(lines).split(",") if lines else []

    def _refuse(self, lines: list[str], row: int) -> None:
        _check_widths([line.split(",") for line in lines], self._width, row, self._place)


def _with_nulls(document: bytes) -> bytes:
    """Insert null where a value is missing between commas or brackets."""
    if b",," in document:
        document = document.replace(b",,", b",null,").replace(b",,", b",null,")
    if document.startswith(b"[,"):
        document = b"[null" + document[1:]
    return document[:-1] + b"null]" if document.endswith(b",]") else document


class _QuotedTable:
    def __init__(self, text: str, place: str) -> None:
        self._blocks = row_blocks(io.StringIO(text, newline=""), place)
        self._head = next(self._blocks, [])
        self.width = len(self._head[0]) if self._head else 0

    def first(self) -> list[str]:
        return self._head[0]

    def blocks(self, *, has_names: bool) -> Iterator[Block]:
        head, self._head = self._head[has_names:], []
        for rows in chain([head] if head else [], self._blocks):
            yield _QuotedBlock(rows)


class _QuotedBlock:
    def __init__(self, rows: list[list[str]]) -> None:
        self._rows = rows

    def numbers(self) -> list[Any] | None:
        return None

    def cells(self, row: int) -> list[str]:
        del row  # the lengths of the rows are checked
        return [*chain.from_iterable(self._rows)]


def row_blocks(lines: Iterable[str], place: str) -> Iterator[list[list[str]]]:
    """Yield the rows of any CSV table in blocks of at least one row.

    Args:
        lines: lines of the table.
        place: name of the table for error messages.

    Raises:
        InvalidRequestError: the text is not CSV, or the rows have different lengths.
    """
    reader = csv.reader(lines)
    width = empty_lines = count = 0
    size = _FIRST_ROWS
    while block := _next_rows(reader, size, place):
        width = width or len(next(filter(None, block), ()))
        size = max(1, _BLOCK_CELLS // max(1, width))
        if width > 1:
            block = [*filter(None, block)]
        elif any(block):
            block, empty_lines = _column_rows([[]] * empty_lines + block)
        else:
            empty_lines, block = empty_lines + len(block), []
        if block:
            _check_widths(block, width, count + 1, place)
            count += len(block)
            yield block


def _next_rows(reader: Iterator[list[str]], size: int, place: str) -> list[list[str]]:
    try:
        return [*islice(reader, size)]
    except csv.Error as error:
        raise InvalidRequestError(f"{place} is not CSV: {error}") from error


def _column_rows(block: list[list[str]]) -> tuple[list[list[str]], int]:
    """Return the rows of a table of one column, and the number of empty lines after them."""
    end = len(block)
    while not block[end - 1]:
        end -= 1
    return [row or [""] for row in block[:end]], len(block) - end


def _check_widths(block: list[list[str]], width: int, first_row: int, place: str) -> None:
    if set(map(len, block)) == {width}:
        return
    number, row = next(each for each in enumerate(block, first_row) if len(each[1]) != width)
    raise InvalidRequestError(
        f"{place}: row {number} has {len(row)} cells, but the first row has {width}"
    )
