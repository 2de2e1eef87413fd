"""Which columns of a CSV table the inputs of a model are made of, as its first line says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.errors import InvalidRequestError
from shearling.protocol.csv_fields import Field
from shearling.protocol.requests import InferRequest
from shearling.tensors.categories import check_categories
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shearling.protocol.csv_tables import Table
    from shearling.tensors.spec import Signature, TensorSpec


class AmbiguousHeaderError(InvalidRequestError):
    """The first line of a table may be column names or values, and the caller has not said it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """The columns of a table that become the inputs of a model.

    Attributes:
        signature: signature of the model.
        columns: column names of the model's only input, if it has any.
        names: the model's names of the columns; empty for a matrix without names.
        order: place of each of the model's columns in the table.
        width: number of cells of a row.
        header: the cells of the line of column names; empty without one.
        has_names: whether the first line has column names.
        place: name of the table for error messages.
    """

    signature: Signature
    columns: Sequence[str]
    names: Sequence[str]
    order: Sequence[int]
    width: int
    header: Sequence[str]
    has_names: bool
    place: str

    def read(self, table: Table, row: int, *, has_names: bool = False) -> InferRequest:
        """Return the request for the rows of a table.

        Args:
            table: the table, or a part of it.
            row: number of its first row, for error messages.
            has_names: whether its first line is the one with the names.

        Raises:
            InvalidRequestError: the rows do not match the signature; the message has the column.
        """
        if table.width != self.width:
            raise InvalidRequestError(
                f"{self.place}: row {row} has {table.width} cells, but the first row has "
                f"{self.width}"
            )
        fields = self._fields()
        width = table.width
        at = row
        for block in table.blocks(has_names=has_names):
            numbers = block.numbers()
            cells: list[str] = []
            for field in fields:
                if numbers is None or not field.take(numbers, width):
                    cells = cells or block.cells(at)
                    field.read(cells, width, at)
            at += len(cells or numbers or ()) // width
        if not fields[0]:
            raise InvalidRequestError(f"{self.place}: no rows")
        inputs = {field.spec.name: field.tensor() for field in fields}
        signature = self.signature
        check_categories(
            inputs, signature.categorical, self.columns, place=self.place, first_row=row
        )
        return InferRequest(id=None, inputs=inputs, outputs=signature.output_names, rows="csv")

    def _fields(self) -> list[Field]:
        specs = self.signature.inputs
        if _is_matrix(self.signature):
            return [Field(specs[0], self.order, self.names or self.order, self.place)]
        return [
            Field(spec, (i,), (label,), self.place)
            for spec, i, label in zip(specs, self.order, self.names, strict=True)
        ]


def check_tabular(signature: Signature, place: str) -> None:
    """Refuse a model whose inputs are no columns of a table.

    Raises:
        InvalidRequestError: an input has another shape; the message names them.
    """
    specs = signature.inputs
    if not _is_matrix(signature) and not all(spec.shape in ((-1,), (-1, 1)) for spec in specs):
        raise InvalidRequestError(
            f"{place}: CSV needs inputs of shape [-1] or [-1, 1], or a single input of rank 2; "
            f"send JSON for {', '.join(map(str, specs))}"
        )


def find_columns(
    first: Sequence[str],
    signature: Signature,
    columns: Sequence[str] = (),
    *,
    has_names: bool | None,
    place: str,
    allows_others: bool = False,
) -> TableColumns:
    """Find the columns of the inputs in a table.

    Args:
        first: cells of the table's first line.
        signature: signature of the model, of a table's columns.
        columns: column names of the model's only input, if it has any.
        has_names: whether the first line has column names; None detects it.
        place: name of the table for error messages.
        allows_others: whether the table may have named columns that the model does not take.

    Raises:
        InvalidRequestError: a column is missing, unknown or used twice; the message names it.
    """
    spec = signature.inputs[0]
    names = columns or (() if _is_matrix(signature) else tuple(signature.by_name))
    if has_names is None:
        has_names = _has_names(first, names, spec.datatype, place)
    is_indexed = has_names and len(without_index(first, spec, names)) < len(first)
    return TableColumns(
        signature=signature,
        columns=columns,
        names=names,
        order=_order(
            first,
            names,
            place,
            has_names=has_names,
            is_indexed=is_indexed,
            allows_others=allows_others,
        ),
        width=len(first),
        header=first if has_names else (),
        has_names=has_names,
        place=place,
    )


def _is_matrix(signature: Signature) -> bool:
    specs = signature.inputs
    return len(specs) == 1 and len(specs[0].shape) == 2 and specs[0].shape[1] != 1  # noqa: PLR2004


def are_names(first: Sequence[str]) -> bool:
    """Return whether the first line of a table has column names: text and no numbers."""
    return any(first) and not any(map(_is_number, first))


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
        raise AmbiguousHeaderError(
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
    allows_others: bool = False,
) -> Sequence[int]:
    """Return the index of each of the model's columns in the table, in the model's order."""
    if not names:
        return range(is_indexed, len(first))
    takes, known = f"the model takes {', '.join(names)}", set(names)
    if not has_names:
        _check_width(first, names, place, takes)
        return range(len(first))
    hint = ""
    if _has_index(first, names):
        hint = "; if it is the index of a DataFrame, write the table with to_csv(index=False)"
    places: dict[str, int] = {}
    for i, name in enumerate(first[is_indexed:], is_indexed):
        if name in places:
            raise InvalidRequestError(f"{place}: duplicate column {shown(name)}{hint}")
        if name in known:
            places[name] = i
        elif not allows_others:
            raise InvalidRequestError(f"{place}: column {shown(name)} is unknown: {takes}{hint}")
    if missing := [name for name in names if name not in places]:
        raise InvalidRequestError(f"{place}: column {missing[0]!r} is missing: {takes}")
    return [places[name] for name in names]


def _check_width(first: Sequence[str], names: Sequence[str], place: str, takes: str) -> None:
    """Refuse a table without names that has not as many columns as the model takes."""
    if len(first) == len(names):
        return
    count = "1 column" if len(first) == 1 else f"{len(first)} columns"
    hint = "; separate cells by ',' instead of ';'" if ";" in "".join(first) else ""
    raise InvalidRequestError(f"{place}: {count} without names: {takes}{hint}")
