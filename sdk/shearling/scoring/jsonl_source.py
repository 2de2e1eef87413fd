"""Read lines of JSON in blocks: an object, a list or a value for each row."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from shearling.errors import InvalidRequestError
from shearling.protocol.instances import parse_instances
from shearling.scoring.blocks import PLACE
from shearling.scoring.culprits import naming_culprit
from shearling.scoring.cutting import cut, end_of_lines
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shearling.protocol.requests import InferRequest
    from shearling.scoring.blocks import Block, Scorer

_BOM = b"\xef\xbb\xbf"


class JsonLinesReader:
    """Reads lines of JSON; see `Reader`.

    Empty lines are no rows, but they have numbers. Objects may have other fields if all are kept. A
    part needs the `head` of the lines up to the end of the first row, whose form all rows have.

    Attributes:
        scorer: the model.
        keep: whether all fields are kept.
        form: form of the first valid row, which all rows must have; empty before it is read.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        scorer: Scorer,
        size: int,
        *,
        keep: bool,
        head: bytes = b"",
    ) -> None:
        self._head = head
        self._blocks = cut(chunks, end_of_lines, size)
        self.scorer = scorer
        self.keep = keep
        self.form = ""
        self.names: Sequence[str] = ()
        self.empty: Block | None = None

    def __iter__(self) -> Iterator[JsonLinesBlock]:
        """Yield the blocks; see `Reader`."""
        if self._head:
            self._read_head()
        number = 1
        for block in self._blocks:
            data = block.removeprefix(_BOM) if number == 1 and not self._head else block
            lines = data.removesuffix(b"\n").split(b"\n")
            rows = [(number + i, line) for i, line in enumerate(lines) if line.strip()]
            number += len(lines)
            if rows:
                yield JsonLinesBlock(rows, self, len(block))

    def _read_head(self) -> None:
        """Take form and fields of the first row, if the model does not refuse it."""
        lines = self._head.removeprefix(_BOM).split(b"\n")
        first = JsonLinesBlock([(1, line) for line in lines if line.strip()], self)
        with suppress(InvalidRequestError):
            first.request()
            (row,) = first.values()
            self.names = _names(row)


class JsonLinesBlock:
    """Consecutive lines; see `Block`."""

    def __init__(
        self, lines: list[tuple[int, bytes]], reader: JsonLinesReader, size: int = 0
    ) -> None:
        self._lines = lines
        self._reader = reader
        self._scorer = reader.scorer
        self._values: list[Any] = []
        self.size = size

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._lines)

    def request(self) -> InferRequest:
        """See `Block`."""
        scorer = self._scorer
        rows = self._instances() if self._reader.keep else self.values()
        try:
            with naming_culprit(self, scorer):
                request = parse_instances({"instances": rows}, scorer.signature, scorer.columns)
            self._check_forms()
        except InvalidRequestError as error:
            if len(self) > 1:
                raise
            text = str(error).removeprefix("instances[0]: ").removeprefix("instances: ")
            raise InvalidRequestError(
                f"{PLACE}: row {self.number()}: {text}", column=error.column, value=error.value
            ) from error
        return request

    def part(self, start: int, stop: int) -> JsonLinesBlock:
        """See `Block`."""
        return JsonLinesBlock(self._lines[start:stop], self._reader)

    def number(self) -> int:
        """See `Block`."""
        return self._lines[0][0]

    def text(self) -> str:
        """See `Block`."""
        return b"\n".join(line for _, line in self._lines).decode(errors="replace").strip()

    def values(self) -> list[Any]:
        """See `Block`.

        Raises:
            InvalidRequestError: a line is not JSON.
        """
        if not self._values:
            self._values = [_parsed(number, line) for number, line in self._lines]
        return self._values

    def _check_forms(self) -> None:
        """Refuse a row of another form than the first.

        Each request takes its form from its own first row, so the answers would depend on how the
        object is cut into blocks.
        """
        reader, scorer = self._reader, self._scorer
        for row in self.values():
            form = _form(row, scorer)
            reader.form = reader.form or form
            if form != reader.form:
                raise InvalidRequestError(
                    f"{form}, but the first row is {reader.form}: write all rows in the same form"
                )

    def _instances(self) -> list[Any]:
        """Return the rows without fields that the model does not take."""
        inputs, columns = self._scorer.signature.by_name, self._scorer.columns
        rows = self.values()
        is_by_input = not columns or (isinstance(rows[0], dict) and inputs.keys() <= rows[0].keys())
        names = inputs if is_by_input else columns
        return [
            {name: row[name] for name in names if name in row} if isinstance(row, dict) else row
            for row in rows
        ]


def _names(row: Any) -> list[str]:
    """Return the names of a row's columns: its fields, or the positions of its values."""
    if isinstance(row, dict):
        return [*row]
    return [*map(str, range(len(row) if isinstance(row, list) else 1))]


def _form(row: Any, scorer: Scorer) -> str:
    if isinstance(row, dict):
        by_input = scorer.columns and scorer.signature.by_name.keys() <= row.keys()
        return "an object of inputs" if by_input else "an object"
    return "a list" if isinstance(row, list) else "a single value"


def _parsed(number: int, line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        text = line.decode(errors="replace")
        raise InvalidRequestError(
            f"{PLACE}: row {number}: not JSON: {error.msg}. Write a row on each line, and nothing "
            "else",
            value=shown(text),
        ) from error
