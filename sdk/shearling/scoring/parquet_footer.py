"""The footer of a Parquet file: its row groups, and the same footer with some of them alone.

The libraries that are small enough for a function read whole files. A file whose footer names only
some of its row groups is a whole file to them, of which they read these alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.errors import InvalidRequestError
from shearling.scoring.blocks import PLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

#: What ends a file, behind the length of the footer; the length and this have a fixed size.
MAGIC = b"PAR1"
_END = struct.Struct("<I4s")

#: Maximum bytes of a footer: that of a terabyte in usual row groups.
_FOOTER_LIMIT = 64 * 2**20

#: Fields of a file's metadata, and of a row group, by their numbers in Parquet's definition.
_NUM_ROWS, _ROW_GROUPS = 3, 4
_GROUP_BYTES, _GROUP_ROWS, _GROUP_COMPRESSED = 2, 3, 6

#: Types of Thrift's compact protocol; sizes of those whose values have one.
_STOP, _BINARY, _LIST, _MAP, _STRUCT = 0, 8, 9, 11, 12
_BOOLEANS, _INTEGERS, _LISTS = frozenset({1, 2}), frozenset({4, 5, 6}), frozenset({_LIST, 10})
_SIZES = {3: 1, 7: 8, 13: 16}

#: Bits that a number has at most.
_BITS = 70

#: How deeply structures may be nested.
_DEPTH = 32

#: The size in the header of a list that says that the size follows.
_LONG_LIST = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """A row group.

    Attributes:
        rows: number of its rows.
        size: bytes that it takes in the file.
        start: where its description begins in the footer.
        stop: where its description ends, exclusively.
    """

    rows: int
    size: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """The footer of a file.

    Attributes:
        data: its bytes, without its length and the magic.
        begin: where it begins in the file.
        groups: the row groups.
        rows_span: where the file's number of rows stands in `data`.
        groups_span: where the list of row groups stands in `data`.
    """

    data: bytes
    begin: int
    groups: tuple[RowGroup, ...]
    rows_span: tuple[int, int]
    groups_span: tuple[int, int]

    def only(self, start: int, stop: int) -> bytes:
        """Return what ends a file that has only some of the row groups, and the same data."""
        chosen = self.groups[start:stop]
        rows = _varint(2 * sum(group.rows for group in chosen))
        groups = _list_header(len(chosen)) + b"".join(
            self.data[group.start : group.stop] for group in chosen
        )
        data = self.data
        for (begin, end), new in sorted(
            [(self.rows_span, rows), (self.groups_span, groups)], reverse=True
        ):
            data = data[:begin] + new + data[end:]
        return data + _END.pack(len(data), MAGIC)


def read_footer(read: Callable[[int, int], bytes], size: int) -> Footer:
    """Read the footer of a file.

    Args:
        read: returns the bytes from a place up to, but excluding, another.
        size: size of the file.

    Raises:
        InvalidRequestError: the file is not Parquet, or its footer cannot be read.
    """
    end = read(size - _END.size, size) if size > _END.size else b""
    if not end.endswith(MAGIC):
        raise InvalidRequestError(f"{PLACE}: not Parquet: it does not end as Parquet does")
    length, _ = _END.unpack(end)
    begin = size - _END.size - length
    if not 0 < length <= min(_FOOTER_LIMIT, size - _END.size):
        raise InvalidRequestError(f"{PLACE}: not Parquet: its footer has {length:,} bytes")
    data = read(begin, begin + length)
    try:
        return _parsed(data, begin)
    except (IndexError, struct.error) as error:
        raise InvalidRequestError(f"{PLACE}: not Parquet: its footer is damaged") from error


def _parsed(data: bytes, begin: int) -> Footer:
    thrift = _Thrift(data)
    rows_span = groups_span = (0, 0)
    groups: list[RowGroup] = []
    for number, kind in thrift.fields():
        start = thrift.at
        if number == _NUM_ROWS:
            thrift.skip(kind)
            rows_span = start, thrift.at
        elif number == _ROW_GROUPS and kind == _LIST:
            count, _ = thrift.list_header()
            groups = [_row_group(thrift) for _ in range(count)]
            groups_span = start, thrift.at
        else:
            thrift.skip(kind)
    if (0, 0) in (rows_span, groups_span):
        raise IndexError
    return Footer(
        data=data, begin=begin, groups=tuple(groups), rows_span=rows_span, groups_span=groups_span
    )


def _row_group(thrift: _Thrift) -> RowGroup:
    start, found = thrift.at, dict[int, int]()
    for number, kind in thrift.fields():
        if kind in _INTEGERS:
            found[number] = thrift.integer()
        else:
            thrift.skip(kind)
    size = found.get(_GROUP_COMPRESSED) or found[_GROUP_BYTES] if _GROUP_BYTES in found else 0
    return RowGroup(rows=found.get(_GROUP_ROWS, 0), size=size, start=start, stop=thrift.at)


class _Thrift:
    """Reads Thrift's compact protocol.

    Attributes:
        at: where to read next.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def fields(self) -> Generator[tuple[int, int]]:
        """Yield number and type of each field of a structure; its value is to be read then."""
        number = 0
        while (header := self._byte()) != _STOP:
            step, kind = header >> 4, header & 15
            number = number + step if step else self.integer()
            yield number, kind

    def integer(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def list_header(self) -> tuple[int, int]:
        """Return the number of elements of a list, and their type."""
        header = self._byte()
        count = header >> 4
        return (self._varint() if count == _LONG_LIST else count), header & 15

    def skip(self, kind: int, depth: int = 0, *, in_list: bool = False) -> None:
        """Pass over a value."""
        if depth > _DEPTH:
            raise IndexError
        if kind in _SIZES:
            self.at += _SIZES[kind]
        elif kind in _BOOLEANS:
            self.at += in_list  # a field's type is its value
        elif kind in _INTEGERS:
            self._varint()
        elif kind == _BINARY:
            length = self._varint()
            self.at += length
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        else:
            self._skip_collection(kind, depth)

    def _skip_collection(self, kind: int, depth: int) -> None:
        if kind in _LISTS:
            count, inner = self.list_header()
            kinds = [inner]
        elif kind == _MAP:
            count = self._varint()
            both = self._byte() if count else 0
            kinds = [both >> 4, both & 15]
        else:
            raise IndexError
        for _ in range(count):
            for inner in kinds:
                self.skip(inner, depth + 1, in_list=True)

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte

    def _varint(self) -> int:
        value = 0
        for shift in range(0, _BITS, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004 - the highest bit says that more follow
                return value
        raise IndexError


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:  # noqa: PLR2004 - seven bits a byte
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _list_header(count: int) -> bytes:
    if count < _LONG_LIST:
        return bytes([count << 4 | _STRUCT])
    return bytes([_LONG_LIST << 4 | _STRUCT]) + _varint(count)
