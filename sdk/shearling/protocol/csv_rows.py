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
from shearling.protocol.csv_fields import Field
from shearling.protocol.csv_tables import open_table, row_blocks
from shearling.protocol.instances import check_rows, row_count
from shearling.protocol.requests import InferRequest
from shearling.tensors.categories import check_categories
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.protocol.csv_tables import Table
    from shearling.tensors.spec import Classes, Signature, TensorSpec

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


def are_names(first: Sequence[str]) -> bool:
    """Return whether the first line of a table has column names: text and no numbers."""
    return any(first) and not any(map(_is_number, first))


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
    specs = signature.inputs
    is_matrix = len(specs) == 1 and len(specs[0].shape) == 2 and specs[0].shape[1] != 1  # noqa: PLR2004
    if not is_matrix and not all(spec.shape in ((-1,), (-1, 1)) for spec in specs):
        raise InvalidRequestError(
            f"{place}: CSV needs inputs of shape [-1] or [-1, 1], or a single input of rank 2; "
            f"send JSON for {', '.join(map(str, specs))}"
        )
    table = open_table(text, place)
    if not table.width:
        raise InvalidRequestError(f"{place}: no rows")
    names = columns or (() if is_matrix else tuple(signature.by_name))
    first = table.first()
    if has_names is None:
        has_names = _has_names(first, names, specs[0].datatype, place)
    is_indexed = has_names and len(without_index(first, specs[0], names)) < len(first)
    order = _order(first, names, place, has_names=has_names, is_indexed=is_indexed)
    del first  # in a table of one long row it takes most of the memory
    if is_matrix:
        fields = [Field(specs[0], order, names or order, place)]
    else:
        fields = [
            Field(spec, (i,), (label,), place)
            for spec, i, label in zip(specs, order, names, strict=True)
        ]
    first_row = 1 + has_names
    _read(table, fields, first_row, has_names=has_names)
    if not fields[0]:
        raise InvalidRequestError(f"{place}: no rows")
    inputs = {field.spec.name: field.tensor() for field in fields}
    check_categories(inputs, signature.categorical, columns, place=place, first_row=first_row)
    return InferRequest(id=None, inputs=inputs, outputs=signature.output_names, rows="csv")


def without_index(
    header: Sequence[str], spec: TensorSpec, names: Sequence[str] = ()
) -> Sequence[str]:
    """Return a line of column names without the empty name that pandas gives the index.

    Args:
        header: the line.
        spec: the first input.
        names: the model's columns, if they have names.
    """
    width = spec.shape[1] if len(spec.shape) > 1 and not names else -1
    is_index = len(header) > 1 and not header[0] and "" not in names and width != len(header)
    return header[1:] if is_index else header


def _read(table: Table, fields: Sequence[Field], row: int, *, has_names: bool) -> None:
    """Read the rows of a table, of which the first has the number `row`, into the fields."""
    width = table.width
    for block in table.blocks(has_names=has_names):
        numbers = block.numbers()
        cells: list[str] = []
        for field in fields:
            if numbers is None or not field.take(numbers, width):
                cells = cells or block.cells(row)
                field.read(cells, width, row)
        row += len(cells or numbers or ()) // width


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
    names = [name for name, _ in columns_of(outputs, classes=classes)]
    tables = [table for table in map(as_rows, outputs.values()) if table.shape[1]]
    csv.writer(stream).writerow(names)
    step = max(1, _BLOCK_CELLS // max(1, len(names)))
    starts = range(0, max(map(len, tables), default=0), step)
    stream.writelines(_written([table[i : i + step] for table in tables]) for i in starts)


def _written(blocks: Sequence[NDArray[Any]]) -> str:
    """Format a block of rows of each output as lines."""
    count = max(map(len, blocks))
    columns = [
        # An output with fewer rows than another has empty cells.
        written_rows(block) + ["," * (block.shape[1] - 1)] * (count - len(block))
        for block in blocks
    ]
    if len(columns) > 1:
        rows = [*map(",".join, zip(*columns, strict=True))]
    elif blocks[0].shape[1] == 1:  # an empty line at the end is not a row
        rows = [row or '""' for row in columns[0]]
    else:
        (rows,) = columns
    return "\r\n".join([*rows, ""])


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


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_names(first: Sequence[str], names: Sequence[str], datatype: str, place: str) -> bool:
    """Return whether the first line of a table has column names.

    One known name in any case is enough, so that an error can then name the unknown columns. Names
    that are numbers do not count, since they could be values, except after an index.

    Raises:
        InvalidRequestError: the line is names that are numbers, those of the model, or 0, 1, 2 ...,
            which pandas writes for columns without names.
    """
    is_count = len(first) > 1 and all(cell == str(i) for i, cell in enumerate(first))
    if is_count or _are_numbers_as_names(first, names):
        raise InvalidRequestError(
            f"{place}: the first line, {', '.join(first[:3])} ..., may be names or values: set the "
            "content type `text/csv; header=present` or `text/csv; header=absent` (in the command: "
            "--header)"
        )
    if first[1:] and not first[0] and all(cell == str(i) for i, cell in enumerate(first[1:])):
        return True  # pandas writes this for columns without names, after its index
    if not names:
        return datatype != "BYTES" and are_names(first)
    known = {name.strip().lower() for name in names if not _is_number(name)}
    return _has_index(first, names) or any(cell.strip().lower() in known for cell in first)


def _are_numbers_as_names(first: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a line is the model's names in any order, and could be a row of numbers."""
    # Most models have a name that is no number, which is found at once.
    if len(first) != len(names) or not all(not name or _is_number(name) for name in names):
        return False
    return sorted(cell.strip() for cell in first) == sorted(name.strip() for name in names)


def _has_index(first: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a line is the model's names, in any order, after the columns of an index."""
    extra = len(first) - len(names)
    return bool(names) and extra > 0 and sorted(first[extra:]) == sorted(names)


def _order(
    first: Sequence[str],
    names: Sequence[str],
    place: str,
    *,
    has_names: bool,
    is_indexed: bool = False,
) -> Sequence[int]:
    """Return the index of each of the model's columns in the table, in the model's order."""
    if not names:
        return range(is_indexed, len(first))
    takes = f"the model takes {', '.join(names)}"
    if not has_names:
        if len(first) != len(names):
            count = "1 column" if len(first) == 1 else f"{len(first)} columns"
            hint = "; separate cells by ',' instead of ';'" if ";" in "".join(first) else ""
            raise InvalidRequestError(f"{place}: {count} without names: {takes}{hint}")
        return range(len(first))
    hint = ""
    if _has_index(first, names):
        hint = "; if it is the index of a DataFrame, write the table with to_csv(index=False)"
    known = set(names)
    places: dict[str, int] = {}
    for i, name in enumerate(first):
        if i == 0 and is_indexed:
            continue
        if name not in known:
            raise InvalidRequestError(f"{place}: column {shown(name)} is unknown: {takes}{hint}")
        if name in places:
            raise InvalidRequestError(f"{place}: duplicate column {shown(name)}{hint}")
        places[name] = i
    if missing := [name for name in names if name not in places]:
        raise InvalidRequestError(f"{place}: column {missing[0]!r} is missing: {takes}")
    return [places[name] for name in names]
