"""Read a CSV table in blocks, with or without a line of column names."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from shearling.errors import InvalidRequestError
from shearling.protocol.csv_columns import AmbiguousHeaderError
from shearling.protocol.csv_rows import open_rows, read_rows
from shearling.protocol.csv_tables import open_table
from shearling.scoring.blocks import PLACE, ROW_LIMIT
from shearling.scoring.cutting import csv_rows, cut, end_of_csv_rows
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shearling.protocol.csv_columns import TableColumns
    from shearling.protocol.requests import InferRequest
    from shearling.scoring.blocks import Block, Scorer

_BOM = b"\xef\xbb\xbf"

#: An empty cell in a table of one column, where an empty line may be the end of the table.
_EMPTY = b'""'

#: Empty lines that are rows of one block at most.
_MANY = 100_000

#: What other files begin with -> what they are.
_OTHERS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip or a workbook",
    b"PAR1": "Parquet",
}


class CsvReader:
    """Reads a CSV table, or a part of one; see `Reader`.

    It may have other columns if all are kept. A part needs the `head` of the table up to the end of
    the first row, which says what the columns are.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        scorer: Scorer,
        size: int,
        *,
        has_names: bool | None,
        keep: bool,
        head: bytes = b"",
    ) -> None:
        self._head = head
        self._blocks = cut(chunks, end_of_csv_rows, size)
        self._scorer = scorer
        self._has_names = has_names
        self._keep = keep
        self.names: Sequence[str] = ()
        self.empty: Block | None = None

    def __iter__(self) -> Iterator[CsvBlock]:
        """Yield the blocks; see `Reader`."""
        head, data = (self._head, b"") if self._head else first_row(self._blocks)
        if not head:
            return
        if other := next((name for magic, name in _OTHERS.items() if head.startswith(magic)), ""):
            raise InvalidRequestError(
                f"{PLACE}: not CSV in UTF-8, but {other}, as its first bytes say: save the table "
                "as CSV in UTF-8, uncompressed"
            )
        head = head.removeprefix(_BOM)
        columns = self._open(head)
        self.names = columns.header or columns.names or [*map(str, range(columns.width))]
        if self._head:
            head = b""
        elif columns.has_names:
            # In a table of one column, empty lines before a row are rows.
            lines = csv_rows(head)[1:] if columns.width == 1 else []
            head = b"".join(line + b"\n" for line in lines)
        data = head + data
        row = 1 if self._head else 1 + columns.has_names
        for rows, size in _rows(data, self._blocks, columns.width):
            block = CsvBlock(rows, columns, row, size)
            yield block
            row += len(block)

    def _open(self, head: bytes) -> TableColumns:
        scorer, text = self._scorer, _decoded(head, 1)
        try:
            _, columns = open_rows(
                text,
                scorer.signature,
                scorer.columns,
                has_names=self._has_names,
                place=PLACE,
                allows_others=self._keep,
            )
        except AmbiguousHeaderError as error:
            raise InvalidRequestError(
                f"{PLACE}: the first line may be column names or values: set `options.header` to "
                "present or absent"
            ) from error
        return columns


class CsvBlock:
    """Consecutive rows of a table; see `Block`."""

    def __init__(self, data: bytes, columns: TableColumns, row: int, size: int = 0) -> None:
        self._data = data
        self._columns = columns
        self._row = row
        self._count: int | None = None
        self.size = size

    def __len__(self) -> int:
        """Return the number of rows."""
        if self._count is None:
            self._count = len(self.lines())
        return self._count

    def request(self) -> InferRequest:
        """See `Block`."""
        request = self._columns.read(open_table(self._text(), PLACE), self._row)
        self._count = len(next(iter(request.inputs.values())))
        return request

    def part(self, start: int, stop: int) -> CsvBlock:
        """See `Block`."""
        data = b"".join(line + b"\n" for line in self.lines()[start:stop])
        return CsvBlock(data, self._columns, self._row + start)

    def number(self) -> int:
        """See `Block`."""
        return self._row

    def lines(self) -> list[bytes]:
        """Return the rows as they are in the table, without their ends."""
        rows = csv_rows(self._data)
        if self._columns.width == 1:
            return [row or _EMPTY for row in rows]
        return [*filter(None, rows)]

    def text(self) -> str:
        """See `Block`."""
        return self._data.decode(errors="replace").rstrip("\r\n")

    def values(self) -> list[Any]:
        """See `Block`."""
        cells = read_rows(io.StringIO(self._text(), newline=""), PLACE)
        names = self._columns.header or self._columns.names
        if len({*names}) < len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise InvalidRequestError(
                f"{PLACE}: duplicate column {shown(twice)}, which an object of JSON cannot carry: "
                "rename it, or set output.format to csv"
            )
        return [dict(zip(names, row, strict=True)) for row in cells] if names else cells

    def _text(self) -> str:
        # A BOM is dropped where a table begins, and this is the middle of one.
        text = _decoded(self._data, self._row)
        return f"\ufeff{text}" if text.startswith("\ufeff") else text


def first_row(blocks: Iterator[bytes]) -> tuple[bytes, bytes]:
    """Return the lines up to the first that is not empty, and what follows them in its block."""
    empty = b""
    for block in blocks:
        data = empty + block
        if not data.removeprefix(_BOM).strip(b"\r\n"):
            if len(data) > ROW_LIMIT:
                raise InvalidRequestError(
                    f"{PLACE}: begins with more than {ROW_LIMIT:,} bytes of empty lines"
                )
            empty = data
            continue
        lead = len(data) - len(data.removeprefix(_BOM).lstrip(b"\r\n"))
        row = csv_rows(data[lead:])[0]
        end = lead + len(row)
        end += 2 if data[end : end + 2] == b"\r\n" else 1
        return data[:end], data[end:]
    return b"", b""


def _rows(data: bytes, blocks: Iterator[bytes], width: int) -> Iterator[tuple[bytes, int]]:
    """Yield the blocks that have rows, with the bytes that they take in the source.

    In a table of one column an empty line is a row, but not at the end of the table.
    """
    empty_lines = 0
    for block in _chained(data, blocks):
        if width > 1:
            if block.strip(b"\r\n"):
                yield block, len(block)
            continue
        rows = [row or _EMPTY for row in csv_rows(block)]
        if any(row != _EMPTY for row in rows):
            while empty_lines > _MANY:  # limits the memory
                yield (_EMPTY + b"\n") * _MANY, 0
                empty_lines -= _MANY
            rows = [_EMPTY] * empty_lines + rows
            empty_lines = 0
        while rows and rows[-1] == _EMPTY:
            rows.pop()
            empty_lines += 1
        if rows:
            yield b"".join(row + b"\n" for row in rows), len(block)


def _chained(data: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    if data:
        yield data
    yield from blocks


def _decoded(data: bytes, row: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"{PLACE}: row {row}: not UTF-8: {error.reason}. Save the table as UTF-8"
        ) from error
