"""Rows as CSV: the inputs of a request, and the outputs of an answer."""

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

_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def read_rows(lines: Iterable[str], place: str) -> list[list[str]]:
    """Return the cells of a CSV table; empty lines are rows only where there is one column.

    Raises:
        InvalidRequestError: it is no table; the message begins with `place`.
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
                f"{place}: row {number} has {len(row)} cells, and the first one {len(rows[0])}"
            )
    return rows


def are_names(first: Sequence[str]) -> bool:
    """Say whether the first line of a table is names: at least one cell, and no number."""
    return any(first) and not any(map(_is_number, first))


def parse_csv(
    text: str,
    signature: Signature,
    columns: Sequence[str] = (),
    *,
    has_names: bool | None = None,
    place: str = "body",
) -> InferRequest:
    """Read a request whose rows are instances, below a line of names or without one.

    Args:
        text: the table. Below names the columns stand in any order, else in the signature's; an
            empty cell is NaN where the input is of floats.
        signature: what the model takes and gives: an input for each column, or one of rank 2.
        columns: of the model's only input, if they have names.
        has_names: whether the first line is names; None looks at it.
        place: what messages call the table.

    Raises:
        InvalidRequestError: it does not fit; the message names the column.
    """
    specs = signature.inputs
    is_matrix = len(specs) == 1 and len(specs[0].shape) == 2 and specs[0].shape[1] != 1  # noqa: PLR2004
    if not is_matrix and not all(spec.shape in ((-1,), (-1, 1)) for spec in specs):
        raise InvalidRequestError(
            f"{place}: CSV is for inputs that are columns, or for one of rank 2; send JSON for "
            f"{', '.join(map(str, specs))}"
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
    """Return the outputs that a request wants as a table, a row for each of its own.

    Raises:
        InvalidRequestError: an output has no row for each of the request's.
        PredictionError: an output is of no datatype.
    """
    for name in request.outputs:
        check_rows(name, outputs[name], row_count(request))
    text = io.StringIO(newline="")
    write_csv(text, {name: outputs[name] for name in request.outputs})
    return text.getvalue()


def write_csv(stream: TextIO, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Write outputs as a table below the names of its columns; NaN is an empty cell."""
    columns = dict(columns_of(outputs))
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerows(zip_longest(*map(_cells, columns.values()), fillvalue=""))


def columns_of(
    outputs: Mapping[str, NDArray[Any]], most: int | None = None
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the columns of outputs by name: one for each value of a row, as in `scores[0]`.

    Args:
        outputs: arrays by name; what has no dimension is one row.
        most: how many of each output.
    """
    for name, array in outputs.items():
        rows = as_rows(array)
        count = rows.shape[1]
        for i in range(count)[:most]:
            yield (name if count == 1 else f"{name}[{i}]"), rows[:, i]


def as_rows(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as rows of values; what has no dimension is one."""
    return array.reshape(-1 if array.size else 0, prod(array.shape[1:]))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_names(first: Sequence[str], names: Sequence[str], datatype: str, place: str) -> bool:
    """Say whether the first line of a table is names.

    One of the model's is enough, however it is written: the others are then told of. Names that
    are numbers could as well be values.

    Raises:
        InvalidRequestError: it counts its columns, as pandas does where nobody gave names.
    """
    if len(first) > 1 and list(first) == [str(i) for i in range(len(first))]:
        raise InvalidRequestError(
            f"{place}: the first line, {', '.join(first[:3])} ..., may be names or values: say "
            "which, by the type `text/csv; header=present` or `header=absent` (--header)"
        )
    if not names:
        return datatype != "BYTES" and are_names(first)
    known = {name.strip().lower() for name in names if not _is_number(name)}
    return any(cell.strip().lower() in known for cell in first)


def _order(
    first: Sequence[str], names: Sequence[str], place: str, *, has_names: bool
) -> Sequence[int]:
    """Return where in a row the model's columns stand, in the model's order."""
    if not names:
        return range(len(first))
    takes = f"the model takes {', '.join(names)}"
    if not has_names:
        if len(first) != len(names):
            found = "1 column" if len(first) == 1 else f"{len(first)} columns"
            hint = "; cells are separated by ',', and not by ';'" if ";" in "".join(first) else ""
            raise InvalidRequestError(f"{place}: {found} without names: {takes}{hint}")
        return range(len(first))
    known = set(names)
    places: dict[str, int] = {}
    for i, name in enumerate(first):
        if name not in known:
            raise InvalidRequestError(f"{place}: column {shown(name)} is unknown: {takes}")
        if name in places:
            raise InvalidRequestError(f"{place}: column {shown(name)} stands there twice")
        places[name] = i
    if missing := [name for name in names if name not in places]:
        raise InvalidRequestError(f"{place}: column {missing[0]!r} is missing: {takes}")
    return [places[name] for name in names]


def _values(
    column: Sequence[str], datatype: str, name: str, place: str, *, has_names: bool
) -> list[Any]:
    """Return the cells of a column as values, without the name that stands above them."""
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
    number = _plain(cell)
    try:
        return int(number)
    except ValueError:  # pandas writes a column of integers as 2.0 if a value ever was missing
        if not float(number).is_integer():
            raise
        return float(number)


def _float(cell: str) -> float:
    return float(_plain(cell) or "nan")


def _plain(cell: str) -> str:
    if "_" in cell:  # which Python's own numbers may have
        raise ValueError(cell)
    return cell


def _truth(cell: str) -> bool:
    return _TRUTH[cell.strip().lower()]


#: How a cell becomes a value; all that is not here is an integer.
_READERS: Mapping[str, Callable[[str], Any]] = {
    "BYTES": str,
    "BOOL": _truth,
    **dict.fromkeys(("FP16", "FP32", "FP64"), _float),
}


def _cells(column: NDArray[Any]) -> list[Any]:
    match column.dtype.kind:
        case "f":  # as short as it can be read again
            text: list[str] = column.astype(str).tolist()
            return ["" if cell == "nan" else cell for cell in text]
        case "b":
            return ["true" if value else "false" for value in column]
    cells: list[Any] = column.tolist()
    return cells
