"""The inputs of a request, collected from the columns of a CSV table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.protocol.csv_cells import read_cells
from shearling.tensors.conversion import check_shape, convert, packed, shown, to_float
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec

_FLOATS = ("FP16", "FP32", "FP64")


class Field:
    """The columns of a table that become one input.

    Args:
        spec: the input.
        places: positions of the columns in a row.
        labels: names of the columns for error messages.
        place: name of the table for error messages.
    """

    def __init__(
        self, spec: TensorSpec, places: Sequence[int], labels: Sequence[Any], place: str
    ) -> None:
        self.spec = spec
        self._places = places
        self._labels = labels
        self._place = place
        self._parts: list[NDArray[Any]] = []

    def __len__(self) -> int:
        """Return the number of values."""
        return sum(map(len, self._parts))

    def take(self, numbers: list[Any], width: int) -> bool:
        """Add the numbers of a block, unless one of them needs closer checks.

        Args:
            numbers: values of the block in row order; None for an empty cell.
            width: values per row.

        Returns:
            Whether the numbers were added.

        Raises:
            InvalidRequestError: a number is out of range.
        """
        values = _picked(numbers, self._places, width)
        array = packed(values, self.spec.datatype, [len(values)])
        if array is None and self.spec.datatype in _FLOATS:
            # An empty cell is NaN.
            array = self._to_float(np.array(values, np.float64))
        if array is not None:
            self._parts.append(array)
        return array is not None

    def read(self, cells: list[str], width: int, row: int) -> None:
        """Add the cells of a block.

        Args:
            cells: cells of the block in row order.
            width: cells per row.
            row: number of the first row, for error messages.

        Raises:
            InvalidRequestError: a cell is not of the input's datatype.
        """
        picked = _picked(cells, self._places, width)
        try:
            array = read_cells(picked, self.spec.datatype)
        except ValueError as error:
            raise self._misfit(picked, row) from error
        if array.dtype.kind == "f":
            array = self._to_float(array)
        self._parts.append(array)

    def tensor(self) -> NDArray[Any]:
        """Return the input.

        Raises:
            InvalidRequestError: the table does not fit the input's shape, or a value is missing.
        """
        array = np.concatenate(self._parts)
        if len(self.spec.shape) > 1:
            array = array.reshape(-1, len(self._labels))
        check_shape(list(array.shape), self.spec, self._name)
        return self._checked(array, lambda values: convert(values, self.spec, self._name))

    def _to_float(self, array: NDArray[Any]) -> NDArray[Any]:
        dtype = DTYPES[self.spec.datatype]
        return self._checked(array, lambda values: to_float(values, dtype, self._name))

    def _checked(
        self, array: NDArray[Any], check: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> NDArray[Any]:
        """Return what a check returns for all values; its error gets the first refused column."""
        try:
            return check(array)
        except InvalidRequestError as error:
            for i, label in enumerate(self._labels):
                column = array.ravel()[i :: len(self._labels)]
                try:
                    check(column)
                except InvalidRequestError:
                    error.column = str(label)
                    error.value = shown(column.tolist()[0]) if len(column) == 1 else None
                    break
            raise

    @property
    def _name(self) -> str:
        return f"{self._place}: {self.spec.name!r}"

    def _misfit(self, cells: Sequence[str], row: int) -> InvalidRequestError:
        datatype = self.spec.datatype
        i = next(i for i, cell in enumerate(cells) if not _is_one(cell, datatype))
        below, column = divmod(i, len(self._labels))
        label = str(self._labels[column])
        return InvalidRequestError(
            f"{self._place}: row {row + below}, column {label!r}: {shown(cells[i])} is not "
            f"{datatype}",
            column=label,
            value=shown(cells[i]),
        )


def _picked(values: list[Any], places: Sequence[int], width: int) -> list[Any]:
    """Return the values at some positions of each row, in row order."""
    if len(places) == 1:
        return values[places[0] :: width] if width > 1 else values
    if len(places) == width and all(i == place for i, place in enumerate(places)):
        return values
    picked = values[: len(values) // width * len(places)]
    for i, place in enumerate(places):
        picked[i :: len(places)] = values[place::width]
    return picked


def _is_one(cell: str, datatype: str) -> bool:
    try:
        read_cells([cell], datatype)
    except ValueError:
        return False
    return True
