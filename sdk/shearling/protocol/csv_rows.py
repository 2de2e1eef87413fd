"""CSV tables: the inputs of a request, and the outputs of a response."""

from __future__ import annotations

import csv
import io
from itertools import zip_longest
from math import prod
from typing import TYPE_CHECKING, Any, TextIO

from shearling.errors import InvalidRequestError
from shearling.protocol.instances import check_rows, row_count, tensor_of
from shearling.protocol.requests import InferRequest
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


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
    try:
        rows = list(csv.reader(lines))
    except csv.Error as error:
        raise InvalidRequestError(f"{place} is not CSV: {error}") from error
    while rows and not rows[-1]:
        rows.pop()
    is_column = max(map(len, rows), default=0) == 1
    rows = [row or [""] for row in rows] if is_column else [row for row in rows if row]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise InvalidRequestError(
                f"{place}: row {number} has {len(row)} cells, but the first row has {len(rows[0])}"
            )
    return rows


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
    rows = read_rows(io.StringIO(text.removeprefix("\ufeff"), newline=""), place)
    names = columns or (() if is_matrix else tuple(signature.by_name))
    if has_names is None:
        has_names = bool(rows) and _has_names(rows[0], names, specs[0].datatype, place)
    if len(rows) <= has_names:
        raise InvalidRequestError(f"{place}: no rows")
    order = _order(rows[0], names, place, has_names=has_names)
    labels = names or [*map(str, order)]
    types = [spec.datatype for spec in specs] * (len(order) if is_matrix else 1)
    values = [
        _values([row[i] for row in rows], datatype, label, place, has_names=has_names)
        for i, datatype, label in zip(order, types, labels, strict=True)
    ]
    if is_matrix:
        values = [[list(row) for row in zip(*values, strict=True)]]
    inputs = {
        spec.name: tensor_of(column, spec, f"{place}: {spec.name!r}")
        for spec, column in zip(specs, values, strict=True)
    }
    return InferRequest(id=None, inputs=inputs, outputs=signature.output_names, rows="csv")


def csv_of(request: InferRequest, outputs: Mapping[str, NDArray[Any]]) -> str:
    """Format the requested outputs as a CSV table with one row for each row of the request.

    Args:
        request: the request.
        outputs: arrays by output name.

    Raises:
        InvalidRequestError: an output does not have one row for each row of the request.
        PredictionError: an output has a type that the protocol does not have.
    """
    for name in request.outputs:
        check_rows(name, outputs[name], row_count(request))
    text = io.StringIO(newline="")
    write_csv(text, {name: outputs[name] for name in request.outputs})
    return text.getvalue()


def write_csv(stream: TextIO, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Write outputs as a CSV table with a line of column names; NaN becomes an empty cell."""
    columns = dict(columns_of(outputs))
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerows(zip_longest(*map(_cells, columns.values()), fillvalue=""))


def columns_of(
    outputs: Mapping[str, NDArray[Any]], most: int | None = None
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the columns of outputs as (name, values), as in `scores[0]`.

    Args:
        outputs: arrays by output name; an array without dimensions is one row.
        most: number of columns of each output at most; None for all.
    """
    for name, array in outputs.items():
        rows = as_rows(array)
        count = rows.shape[1]
        for i in range(count)[:most]:
            yield (name if count == 1 else f"{name}[{i}]"), rows[:, i]


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
    that are numbers do not count, since they could be values.

    Raises:
        InvalidRequestError: the line is 0, 1, 2 ..., which pandas writes for columns without names.
    """
    if len(first) > 1 and list(first) == [str(i) for i in range(len(first))]:
        raise InvalidRequestError(
            f"{place}: the first line, {', '.join(first[:3])} ..., may be names or values: set the "
            "content type `text/csv; header=present` or `text/csv; header=absent` (in the command: "
            "--header)"
        )
    if not names:
        return datatype != "BYTES" and are_names(first)
    known = {name.strip().lower() for name in names if not _is_number(name)}
    return any(cell.strip().lower() in known for cell in first)


def _order(
    first: Sequence[str], names: Sequence[str], place: str, *, has_names: bool
) -> Sequence[int]:
    """Return the index of each of the model's columns in the table, in the model's order."""
    if not names:
        return range(len(first))
    takes = f"the model takes {', '.join(names)}"
    if not has_names:
        if len(first) != len(names):
            count = "1 column" if len(first) == 1 else f"{len(first)} columns"
            hint = "; separate cells by ',' instead of ';'" if ";" in "".join(first) else ""
            raise InvalidRequestError(f"{place}: {count} without names: {takes}{hint}")
        return range(len(first))
    known = set(names)
    places: dict[str, int] = {}
    for i, name in enumerate(first):
        if name not in known:
            raise InvalidRequestError(f"{place}: column {shown(name)} is unknown: {takes}")
        if name in places:
            raise InvalidRequestError(f"{place}: duplicate column {shown(name)}")
        places[name] = i
    if missing := [name for name in names if name not in places]:
        raise InvalidRequestError(f"{place}: column {missing[0]!r} is missing: {takes}")
    return [places[name] for name in names]


def _values(
    column: Sequence[str], datatype: str, name: str, place: str, *, has_names: bool
) -> list[Any]:
    """Convert the cells of a column to values, without the column's name."""
    convert = _READERS.get(datatype, _integer)
    values = []
    for row, cell in enumerate(column[has_names:], 1 + has_names):
        try:
            values.append(convert(cell))
        except (ValueError, KeyError) as error:
            raise InvalidRequestError(
                f"{place}: row {row}, column {name!r}: {shown(cell)} is not {datatype}"
            ) from error
    return values


def _integer(cell: str) -> float:
    number = _without_underscores(cell)
    try:
        return int(number)
    except ValueError:  # pandas writes integers as 2.0 if the column ever had a missing value
        if not float(number).is_integer():
            raise
        return float(number)


def _float(cell: str) -> float:
    return float(_without_underscores(cell) or "nan")


def _without_underscores(cell: str) -> str:
    if "_" in cell:  # Python accepts 1_000 as a number
        raise ValueError(cell)
    return cell


def _boolean(cell: str) -> bool:
    return _BOOLEANS[cell.strip().lower()]


#: Datatype -> function that converts a cell; all other datatypes are integers.
_READERS: Mapping[str, Callable[[str], Any]] = {
    "BYTES": str,
    "BOOL": _boolean,
    **dict.fromkeys(("FP16", "FP32", "FP64"), _float),
}


def _cells(column: NDArray[Any]) -> list[Any]:
    match column.dtype.kind:
        case "f":  # the shortest text that reads back as the same float
            text: list[str] = column.astype(str).tolist()
            return ["" if cell == "nan" else cell for cell in text]
        case "b":
            return ["true" if value else "false" for value in column]
    cells: list[Any] = column.tolist()
    return cells
