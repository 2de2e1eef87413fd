"""Write answers as the rows of an output: CSV, lines of JSON, or a `.npy` file."""

from __future__ import annotations

import csv
import io
from math import isnan, prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import orjson

from shearling.errors import InvalidRequestError
from shearling.protocol.csv_rows import columns_of, csv_texts
from shearling.protocol.instances import predictions
from shearling.scoring.answers import checked, distinct
from shearling.scoring.blocks import PLACE
from shearling.scoring.csv_source import CsvBlock
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest
    from shearling.scoring.blocks import Block, Scorer
    from shearling.scoring.formats import Format

    Outputs = Mapping[str, NDArray[Any]]


class Writer(Protocol):
    """Formats answers; the formatted blocks, behind the head, are the output."""

    def write(self, block: Block | None, request: InferRequest, outputs: Outputs) -> bytes:
        """Return the rows of a block.

        Args:
            block: the block; `Reader.empty` for no rows, whose outputs still say how they look.
            request: the block's request.
            outputs: the answer, by output name.

        Raises:
            InvalidRequestError: the format cannot carry an output; the message says which.
        """
        ...

    def head(self, rows: int) -> bytes:
        """Return what precedes all rows, of which the number is known at the end."""
        ...

    def tail(self) -> bytes:
        """Return what follows all rows."""
        ...

    def close(self) -> None:
        """End what still runs; the output is not wanted any more, or complete."""
        ...


class _Plain:
    """A format in which nothing follows the rows, and nothing runs beside."""

    def tail(self) -> bytes:
        """See `Writer`."""
        return b""

    def close(self) -> None:
        """See `Writer`."""


def writer_of(name: Format, scorer: Scorer, names: Sequence[str], *, keep: bool) -> Writer:
    """Return the writer of a format.

    Args:
        name: the format.
        scorer: the model.
        names: names of the source's columns.
        keep: whether the source's columns come first.

    Raises:
        InvalidRequestError: the format cannot keep columns.
    """
    if name == "csv":
        return CsvWriter(scorer, names if keep else None)
    if name == "jsonl":
        return JsonLinesWriter(scorer, keep=keep)
    if name == "parquet":
        from shearling.scoring.parquet_writer import ParquetWriter

        return ParquetWriter(scorer, keep=keep)
    if keep:
        raise InvalidRequestError(
            f"options.keep_columns: not for {name}, which has no column names: set "
            "output.format to csv or jsonl"
        )
    return NpyWriter()


class CsvWriter(_Plain):
    """Writes CSV as `infer` does, with a line of column names; see `Writer`.

    Args:
        scorer: the model.
        kept: names of the source's columns, which come first; None: they are left out.
    """

    def __init__(self, scorer: Scorer, kept: Sequence[str] | None) -> None:
        self._classes = scorer.signature.classes
        self._kept = kept
        self._head = b""
        self._width = 0

    def write(self, block: Block | None, request: InferRequest, outputs: Outputs) -> bytes:
        """See `Writer`."""
        found = checked(request, outputs)
        width = sum(prod(array.shape[1:]) for array in found.values())
        if not self._head:
            self._width = width
            names = [name for name, _ in columns_of(found, classes=self._classes)]
            kept = self._names(block)
            self._head = _csv_text([[*kept, *distinct(names, kept)]])
        rows = csv_texts(found)
        if not rows:
            return b""
        if width != self._width:
            raise InvalidRequestError(
                f"output.format: the outputs' columns change from {self._width} to {width}, which "
                "CSV cannot carry: choose jsonl"
            )
        if self._kept is None or block is None:
            return "\r\n".join([*rows, ""]).encode("utf-8", "backslashreplace")
        pairs = zip(self._lines(block), rows, strict=True)
        lines = [kept + b"," + row.encode("utf-8", "backslashreplace") for kept, row in pairs]
        return b"\r\n".join([*lines, b""])

    def head(self, rows: int) -> bytes:
        """See `Writer`."""
        del rows
        return self._head

    def _names(self, block: Block | None) -> Sequence[str]:
        if self._kept is None:
            return ()
        if not self._kept and block is not None:
            first = block.values()[0]
            if isinstance(first, dict):
                self._kept = list(first)
            else:
                self._kept = [*map(str, range(len(first) if isinstance(first, list) else 1))]
        return self._kept

    def _lines(self, block: Block) -> list[bytes]:
        if isinstance(block, CsvBlock):
            return block.lines()
        names = self._kept or ()
        lines = []
        for i, value in enumerate(block.values()):
            if isinstance(value, dict) and (others := value.keys() - names):
                raise InvalidRequestError(
                    f"{PLACE}: row {block.part(i, i + 1).number()}: the first row has no field "
                    f"{shown(min(others))}, so that the CSV has no column for it: set "
                    "output.format to jsonl"
                )
            lines.append(_csv_text([_cells(value, names)]).removesuffix(b"\r\n"))
        return lines


class JsonLinesWriter(_Plain):
    """Writes one line of JSON for each row, as the predictions of `infer`; see `Writer`."""

    def __init__(self, scorer: Scorer, *, keep: bool) -> None:
        self._pin = scorer.pin
        self._keep = keep

    def write(self, block: Block | None, request: InferRequest, outputs: Outputs) -> bytes:
        """See `Writer`."""
        found = {
            name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in outputs.items()
        }
        answers = predictions(self._pin, "", request, found).document["predictions"]
        if self._keep and block is not None:
            names = request.outputs
            answers = [
                _joined(row, answer, names)
                for row, answer in zip(block.values(), answers, strict=True)
            ]
        first = block.number() if block is not None else 1
        return b"".join(_json_line(answer, first + i) for i, answer in enumerate(answers))

    def head(self, rows: int) -> bytes:
        """See `Writer`."""
        del rows
        return b""


class NpyWriter(_Plain):
    """Writes an array with a row for each row; several outputs are the fields of a structured one.

    See `Writer`.
    """

    def __init__(self) -> None:
        self._dtype: np.dtype[Any] | None = None
        self._shape: tuple[int, ...] = ()

    def write(self, block: Block | None, request: InferRequest, outputs: Outputs) -> bytes:
        """See `Writer`."""
        del block
        found = checked(request, outputs)
        if texts := [name for name, array in found.items() if array.dtype.hasobject]:
            raise InvalidRequestError(
                f"output.format: .npy cannot carry the texts of output {texts[0]!r}: choose csv or "
                "jsonl"
            )
        array = _array_of(found)
        if self._dtype is None:
            self._dtype, self._shape = array.dtype, array.shape[1:]
        if (array.dtype, array.shape[1:]) != (self._dtype, self._shape):
            raise InvalidRequestError(
                f"output.format: the outputs' shape changes from {list(self._shape)} to "
                f"{list(array.shape[1:])}, which .npy cannot carry: choose jsonl"
            )
        return array.tobytes()

    def head(self, rows: int) -> bytes:
        """See `Writer`."""
        assert self._dtype is not None  # noqa: S101 - something was written
        stream = io.BytesIO()
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (rows, *self._shape),
        }
        np.lib.format.write_array_header_1_0(stream, header)
        return stream.getvalue()


def _array_of(outputs: Outputs) -> NDArray[Any]:
    """Return the only output, or a structured array of several."""
    if len(outputs) == 1:
        (only,) = outputs.values()
        return only
    dtype = np.dtype([(name, array.dtype, array.shape[1:]) for name, array in outputs.items()])
    array = np.empty(len(next(iter(outputs.values()))), dtype)
    for name, values in outputs.items():
        array[name] = values
    return array


def _joined(row: Any, answer: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return a row with its answer: an object's fields, or the row itself as `instance`."""
    kept = row if isinstance(row, dict) else {"instance": row}
    if not isinstance(answer, dict) or {*answer} != {*names}:
        answer = {names[0]: answer}
    return {**kept, **dict(zip(distinct([*answer], [*kept]), answer.values(), strict=True))}


def _json_line(answer: Any, row: int) -> bytes:
    try:
        return orjson.dumps(
            answer, default=_near, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
        )
    except orjson.JSONEncodeError as error:
        raise InvalidRequestError(
            f"{PLACE}: row {row}: JSON cannot carry it: {error}. Set output.format to csv"
        ) from error


def _near(value: object) -> Any:
    """Return a value of JSON for one that JSON lacks, such as a decimal of Parquet."""
    if isinstance(value, np.floating):
        return float(value)
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _cells(value: Any, names: Sequence[str]) -> list[Any]:
    if isinstance(value, dict):
        return [_cell(value.get(name)) for name in names]
    return [*map(_cell, value)] if isinstance(value, list) else [_cell(value)]


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list | tuple):
        return orjson.dumps(value, default=_near).decode()
    if isinstance(value, float) and isnan(value):
        return None  # an empty cell, as in the outputs
    return _near(value) if isinstance(value, bytes) else value


def _csv_text(rows: Sequence[Sequence[Any]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(rows)
    return stream.getvalue().encode("utf-8", "backslashreplace")
