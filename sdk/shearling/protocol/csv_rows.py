"""CSV tables: the inputs of a request, and the outputs of a response."""

from __future__ import annotations

import csv
import io
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any, TextIO

from shearling.errors import InvalidRequestError
from shearling.protocol.class_names import column_names
from shearling.protocol.csv_cells import written_rows
from shearling.protocol.csv_columns import check_tabular, find_columns
from shearling.protocol.csv_tables import open_table, row_blocks
from shearling.protocol.instances import check_rows, row_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.protocol.csv_columns import TableColumns
    from shearling.protocol.csv_tables import Table
    from shearling.protocol.requests import InferRequest
    from shearling.tensors.spec import Classes, Signature

#: Cells that are written at once.
_BLOCK_CELLS = 8 * 1024


def read_rows(lines: Iterable[str], place: str) -> list[list[str]]:
    """Parse a CSV table; an empty line is a row only in a table of one column.

    Args:
        lines: lines of the table.
        place: name of the table for error messages.

    Returns:
        The rows as lists of cells.

    Raises:
        InvalidRequestError: the text is not CSV, or the rows have different lengths.
    """
    return list(chain.from_iterable(row_blocks(lines, place)))


def parse_csv(
    text: str,
    signature: Signature,
    columns: Sequence[str] = (),
    *,
    has_names: bool | None = None,
    place: str = "body",
) -> InferRequest:
    """Parse a CSV table of rows, with or without a line of column names.

    Args:
        text: the table. With column names, the columns may have any order; without, they have the
            signature's. An empty cell is NaN in an input of floats.
        signature: signature of the model, with one input per column or one input of rank 2.
        columns: column names of the model's only input, if it has any.
        has_names: whether the first line has column names; None detects it.
        place: name of the table for error messages.

    Raises:
        InvalidRequestError: the table does not match the signature; the message names the column.
    """
    table, found = open_rows(text, signature, columns, has_names=has_names, place=place)
    return found.read(table, 1 + found.has_names, has_names=found.has_names)


def open_rows(
    text: str,
    signature: Signature,
    columns: Sequence[str] = (),
    *,
    has_names: bool | None = None,
    place: str = "body",
    allows_others: bool = False,
) -> tuple[Table, TableColumns]:
    """Open the beginning of a CSV table, and find the columns of the inputs in it.

    Args:
        text: as for `parse_csv`; at least one line.
        signature: as for `parse_csv`.
        columns: as for `parse_csv`.
        has_names: as for `parse_csv`.
        place: as for `parse_csv`.
        allows_others: whether the table may have named columns that the model does not take.

    Raises:
        InvalidRequestError: as for `parse_csv`.
    """
    check_tabular(signature, place)
    table = open_table(text, place)
    if not table.width:
        raise InvalidRequestError(f"{place}: no rows")
    return table, find_columns(
        table.first(),
        signature,
        columns,
        has_names=has_names,
        place=place,
        allows_others=allows_others,
    )


def csv_of(
    request: InferRequest,
    outputs: Mapping[str, NDArray[Any]],
    classes: Mapping[str, Classes] | None = None,
) -> str:
    """Format the requested outputs as a CSV table with one row for each row of the request.

    Args:
        request: the request.
        outputs: arrays by output name.
        classes: classes of the outputs whose columns have names.

    Raises:
        InvalidRequestError: an output does not have one row for each row of the request.
        PredictionError: an output has a type that the protocol does not have.
    """
    for name in request.outputs:
        check_rows(name, outputs[name], row_count(request))
    text = io.StringIO(newline="")
    write_csv(text, {name: outputs[name] for name in request.outputs}, classes)
    return text.getvalue()


def write_csv(
    stream: TextIO,
    outputs: Mapping[str, NDArray[Any]],
    classes: Mapping[str, Classes] | None = None,
) -> None:
    """Write outputs as a CSV table with a line of column names; NaN becomes an empty cell."""
    csv.writer(stream).writerow(name for name, _ in columns_of(outputs, classes=classes))
    stream.writelines(csv_lines(outputs))


def csv_lines(outputs: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """Yield the rows of outputs as lines of CSV, many at a time; NaN becomes an empty cell."""
    tables = [table for table in map(as_rows, outputs.values()) if table.shape[1]]
    step = max(1, _BLOCK_CELLS // max(1, sum(table.shape[1] for table in tables)))
    for i in range(0, max(map(len, tables), default=0), step):
        yield "\r\n".join([*_rows([table[i : i + step] for table in tables]), ""])


def csv_texts(outputs: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the rows of outputs as CSV, without their ends; NaN becomes an empty cell."""
    return _rows([table for table in map(as_rows, outputs.values()) if table.shape[1]])


def _rows(blocks: Sequence[NDArray[Any]]) -> list[str]:
    """Format a block of rows of each output."""
    count = max(map(len, blocks), default=0)
    if not count:
        return []
    columns = [
        # An output with fewer rows than another has empty cells.
        written_rows(block) + ["," * (block.shape[1] - 1)] * (count - len(block))
        for block in blocks
    ]
    if len(columns) > 1:
        return [*map(",".join, zip(*columns, strict=True))]
    if blocks[0].shape[1] == 1:  # an empty line at the end is not a row
        return [row or '""' for row in columns[0]]
    return columns[0]


def columns_of(
    outputs: Mapping[str, NDArray[Any]],
    most: int | None = None,
    classes: Mapping[str, Classes] | None = None,
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the columns of outputs as (name, values), as in `scores[0]` or `scores[stays]`.

    Args:
        outputs: arrays by output name; an array without dimensions is one row.
        most: number of columns of each output at most; None for all.
        classes: classes of the outputs whose columns have names.
    """
    for name, array in outputs.items():
        rows = as_rows(array)
        count = rows.shape[1]
        names = column_names(name, array, (classes or {}).get(name))
        names = names or ([name] if count == 1 else [f"{name}[{i}]" for i in range(count)[:most]])
        for i, column in enumerate(names[:most]):
            yield column, rows[:, i]


def as_rows(array: NDArray[Any]) -> NDArray[Any]:
    """Reshape an array to [rows, values]; an array without dimensions is one row."""
    return array.reshape(-1 if array.size else 0, prod(array.shape[1:]))
