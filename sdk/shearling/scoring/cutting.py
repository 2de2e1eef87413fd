"""Cut a stream of bytes into blocks that end where rows end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.scoring.blocks import PLACE, ROW_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: A cell of CSV, as Python's `csv` reads it: a quote opens a cell only where the cell begins, and
#: after the closing quote all is text. No group gives back what it matched, so that time is linear.
_CELL = rb'(?:"(?:[^"]++|"")*+"[^,\r\n]*+|(?!")[^,\r\n]*+)'
_ROW = _CELL + rb"(?:," + _CELL + rb")*+"

#: Whole rows from the beginning. The last byte may be the first half of CRLF.
_WHOLE_ROWS = re.compile(rb"(?:" + _ROW + rb"(?:\r\n|\n|\r(?!\Z)))*+")

#: If every opening quote follows one of these, it opens a cell, or it is the second of two within
#: one, so that quotes alternate between open and closed.
_QUOTE = ord('"')
_BEFORE_QUOTES = np.frombuffer(b',\r\n"', np.uint8)

_LINE_END = rb"(?:\r\n|\n|\r)"
_ENDED_ROWS = re.compile(rb"(?:" + _ROW + _LINE_END + rb")*+")
_ONE_ROW = re.compile(rb"(" + _ROW + rb")" + _LINE_END)
_LAST_ROW = re.compile(_ROW)
_LINE = re.compile(_LINE_END)


def cut(chunks: Iterable[bytes], end_of_rows: Callable[[bytes], int], size: int) -> Iterator[bytes]:
    """Yield blocks of whole rows; the last may lack the end of its row.

    Args:
        chunks: consecutive parts of an object.
        end_of_rows: returns the length of the whole rows at the beginning of some bytes.
        size: bytes of a block, unless a row is longer.

    Raises:
        InvalidRequestError: a row is longer than the limit.
    """
    left, window, done = b"", size, 0
    for chunk in chunks:
        data, start = left + chunk, 0
        while len(data) - start >= window:
            block = data[start : start + window]
            if length := end_of_rows(block):
                yield block[:length]
                start, window = start + length, size
                done += length
            elif window >= ROW_LIMIT:
                raise InvalidRequestError(
                    f"{PLACE}: the row that begins at byte {done:,} does not end within "
                    f"{ROW_LIMIT:,} bytes: look for a quote that is not closed, or split the row"
                )
            else:
                window = min(2 * window, ROW_LIMIT)
        left = data[start:]
    if left:
        yield left


def end_of_csv_rows(data: bytes) -> int:
    """Return the length of the whole rows at the beginning of a part of a CSV table."""
    if b'"' not in data:
        return _last_line_end(data, len(data))
    array = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(array == _QUOTE)
    opening = quotes[::2]
    if not np.isin(array[opening[opening > 0] - 1], _BEFORE_QUOTES).all():
        match = _WHOLE_ROWS.match(data)  # slower, but it knows quotes within text
        return match.end() if match else 0
    stop = len(data)
    while end := _last_line_end(data, stop):
        before = int(np.searchsorted(quotes, end))
        if before % 2 == 0:
            return end
        stop = int(quotes[before - 1])
    return 0


def _last_line_end(data: bytes, stop: int) -> int:
    """Return the length of the lines at the beginning of some bytes, quoted or not."""
    # The last byte may be the first half of CRLF.
    return max(data.rfind(b"\n", 0, stop), data.rfind(b"\r", 0, min(stop, len(data) - 1))) + 1


def end_of_lines(data: bytes) -> int:
    """Return the length of the whole lines at the beginning of some bytes."""
    return data.rfind(b"\n") + 1


def csv_rows(data: bytes) -> list[bytes]:
    """Return the rows of a part of a CSV table without their ends; the last may have none.

    A quote that is still open at the end is closed, so that other cells can follow the row.
    """
    if b'"' not in data:
        rows = _LINE.split(data) if b"\r" in data else data.split(b"\n")
        return rows[:-1] if not rows[-1] else rows
    match = _ENDED_ROWS.match(data)
    end = match.end() if match else 0
    rows = _ONE_ROW.findall(data, 0, end)
    if end == len(data):
        return rows
    last = data[end:]
    return [*rows, last if _LAST_ROW.fullmatch(last) else last + b'"']
