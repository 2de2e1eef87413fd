"""Cut a large object into parts at ends of rows, so that each can be scored by itself."""

from __future__ import annotations

import io
from contextlib import closing
from itertools import chain, pairwise
from math import ceil, prod
from typing import TYPE_CHECKING

from shearling.errors import InvalidRequestError
from shearling.scoring.blocks import ROW_LIMIT
from shearling.scoring.csv_source import first_row
from shearling.scoring.cutting import cut, end_of_csv_rows, end_of_lines
from shearling.scoring.npy_source import NPY_HEADER_LIMIT, read_npy_header
from shearling.scoring.parquet_footer import read_footer
from shearling.scoring.parts import Part
from shearling.scoring.reading import read_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from shearling.scoring.formats import Format
    from shearling.storage.conditional import ObjectState, ReadableObjects

#: Bytes of a CSV that are looked at together, and that a part has fewer times than this only if it
#: is small: a part ends where some of them end.
_WINDOW, _WINDOWS = 2**20, 16

#: Bytes that are read first where a line is expected to end; then four times as many, and so on.
_LINE_BYTES = 64 * 1024

_BOM = b"\xef\xbb\xbf"


def parts_of(
    objects: ReadableObjects, key: str, state: ObjectState, kind: Format, part_bytes: int
) -> list[Part]:
    """Return the parts of an object, in order; none if it is to be scored as a whole.

    An object that is damaged, or not of its format, is a whole: scoring it says what is wrong.

    Args:
        objects: where the object is.
        key: its key.
        state: its state.
        kind: its format.
        part_bytes: bytes that a part has about at most; those of CSV and Parquet are cut behind the
            row, or the row group, that reaches them.

    Raises:
        StoreError: the object cannot be read.
    """
    cutter = _CUTTERS.get(kind)
    if state.size <= part_bytes or cutter is None:
        return []
    size = ceil(state.size / ceil(state.size / part_bytes))  # parts of the same size
    try:
        parts = [*cutter(objects, key, state, size)]
    except InvalidRequestError:
        return []
    return parts if len(parts) > 1 else []


def _csv_parts(objects: ReadableObjects, key: str, state: ObjectState, size: int) -> Iterator[Part]:
    """Yield the parts of a CSV, which is read from its beginning: only so are open quotes known.

    No part ends with empty lines: in a table of one column they are rows, unless the table ends
    with them.
    """
    with closing(read_parts(objects, key, state)) as chunks:
        blocks = cut(chunks, end_of_csv_rows, min(_WINDOW, 1 + size // _WINDOWS))
        head, rest = first_row(blocks)
        cuts, at = [0], len(head)
        for block in chain([rest], blocks):
            length = _length_of_rows(block)
            end = at + length
            at += len(block)
            if length and end - cuts[-1] >= size and at < state.size:
                cuts.append(end)
    yield from _ranges([*cuts, state.size], len(head))


def _length_of_rows(block: bytes) -> int:
    """Return the length of some rows without the empty lines that end them."""
    last = len(block.rstrip(b"\r\n"))
    return last and last + (2 if block.startswith(b"\r\n", last) else 1)


def _line_parts(
    objects: ReadableObjects, key: str, state: ObjectState, size: int
) -> Iterator[Part]:
    """Yield the parts of lines of JSON, which are read only where one is expected to end."""
    head = _end_of_first_line(cut(_reads(objects, key, state, 0), end_of_lines, _LINE_BYTES))
    cuts = [0]
    for place in range(size, state.size, size):
        if place > cuts[-1] and (end := _end_of_line(objects, key, state, max(place, head))):
            cuts.append(end)
    yield from _ranges([*cuts, state.size], head)


def _end_of_first_line(blocks: Iterable[bytes]) -> int:
    """Return where the first line ends that is not empty; 0 without one."""
    at = 0
    for block in blocks:
        for line in io.BytesIO(block):
            is_empty = not (line if at else line.removeprefix(_BOM)).strip()
            at += len(line)
            if not is_empty:
                return at
    return 0


def _end_of_line(objects: ReadableObjects, key: str, state: ObjectState, place: int) -> int:
    """Return where the line of the byte before a place ends; 0 if another line does not follow."""
    at = place - 1
    for data in _reads(objects, key, state, at):
        if (found := data.find(b"\n")) >= 0:
            end = at + found + 1
            return end if end < state.size else 0
        at += len(data)
    return 0


def _reads(objects: ReadableObjects, key: str, state: ObjectState, start: int) -> Iterator[bytes]:
    """Yield consecutive bytes from a place, more each time, as far as a row may reach."""
    count, end = _LINE_BYTES, min(state.size, start + ROW_LIMIT)
    while start < end:
        stop = min(start + count, end)
        yield objects.read(key, start, stop, etag=state.etag)
        start, count = stop, 4 * count


def _npy_parts(objects: ReadableObjects, key: str, state: ObjectState, size: int) -> Iterator[Part]:
    stop = min(state.size, NPY_HEADER_LIMIT + 16)
    dtype, shape, head = read_npy_header(objects.read(key, 0, stop, etag=state.etag))
    row = dtype.itemsize * prod(shape[1:])
    if head + row * shape[0] == state.size:  # else it is damaged
        yield from _ranges([*range(head, state.size, max(1, size // row) * row), state.size], head)


def _ranges(cuts: list[int], head: int) -> Iterator[Part]:
    """Yield the parts between cuts; one at the very beginning needs no head."""
    for start, stop in pairwise(cuts):
        yield Part(start=start, stop=stop, head=head if start else 0)


def _row_group_parts(
    objects: ReadableObjects, key: str, state: ObjectState, size: int
) -> Iterator[Part]:
    """Yield the parts of a Parquet file, of which only the footer is read."""
    footer = read_footer(
        lambda start, stop: objects.read(key, start, stop, etag=state.etag), state.size
    )
    start = taken = 0
    for stop, group in enumerate(footer.groups, 1):
        taken += group.size
        if taken >= size or stop == len(footer.groups):
            yield Part(start=start, stop=stop, row_group_bytes=taken)
            start, taken = stop, 0


#: Format -> what yields the parts; a picture is a whole.
_CUTTERS: dict[Format, Callable[[ReadableObjects, str, ObjectState, int], Iterator[Part]]] = {
    "csv": _csv_parts,
    "jsonl": _line_parts,
    "npy": _npy_parts,
    "parquet": _row_group_parts,
}
