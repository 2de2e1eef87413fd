"""Conversion of CSV cells to arrays, and of arrays to CSV rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from shearling.tensors.conversion import EXACT
from shearling.tensors.dtypes import DTYPES
from shearling.tensors.encoding import has_infinity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: Characters that a cell contains only in quotes.
_SPECIAL = re.compile('[",\r\n]')

#: pandas writes a column of truths as words, whatever the model makes of it.
_WORDS = {"true": True, "false": False}
_TRUTH = _WORDS | {"1": True, "0": False, "1.0": True, "0.0": False}


def read_cells(cells: Sequence[str], datatype: str) -> NDArray[Any]:
    """Convert cells to an array.

    Args:
        cells: the cells.
        datatype: type of the values.

    Returns:
        An array of the datatype; floats of any size have 64 bits, and an empty cell is NaN.

    Raises:
        ValueError: a cell is not of the datatype.
    """
    dtype = DTYPES[datatype]
    if dtype.kind == "O":
        array = np.empty(len(cells), dtype)
        array[:] = cells
        return array
    if "_" in "".join(cells):  # Python accepts 1_000 as a number
        raise ValueError("a number has no underscore")
    quick, careful = _READERS.get(dtype.kind, (int, _integer))
    dtype = np.dtype(np.float64) if dtype.kind == "f" else dtype
    try:
        return np.fromiter(map(quick, cells), dtype, len(cells))
    except (ValueError, KeyError, OverflowError):
        pass
    try:
        return np.fromiter(map(careful, cells), dtype, len(cells))
    except (KeyError, OverflowError) as error:
        raise ValueError(f"not {datatype}") from error


def _float(cell: str) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return float(_WORDS[cell.strip().lower()])


def _integer(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:  # pandas writes integers as 2.0 if the column ever had a missing value
        number = _float(cell)
    if not number.is_integer() or abs(number) >= EXACT:
        raise ValueError(cell)
    return int(number)


def _truth(cell: str) -> bool:
    return _TRUTH[cell.strip().lower()]


#: Kind of numpy type -> functions that convert a cell: a fast one for the usual notation, and one
#: for every notation. All other kinds are integers.
_READERS: dict[str, tuple[Callable[[str], Any], Callable[[str], Any]]] = {
    "f": (float, _float),
    "b": (_TRUTH.__getitem__, _truth),
}


def written_rows(table: NDArray[Any]) -> list[str]:
    """Format the rows of one output as CSV.

    NaN becomes an empty cell. A float has the shortest text that reads back as the same float.
    """
    kind, width = table.dtype.kind, table.shape[1]
    if kind in "biuf" and table.dtype != np.float16 and not has_infinity(table):
        # orjson supports `int64` but not `longlong`, which is the same type.
        known = table.astype(np.dtype(f"{kind}{table.dtype.itemsize}"), order="C", copy=False)
        text = orjson.dumps(known, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        return text[2:-2].replace("null", "").split("],[")
    if kind == "f":
        written = ["" if text == "nan" else text for text in table.ravel().astype(str).tolist()]
    else:
        written = [*map(str, table.ravel().tolist())]
        if _SPECIAL.search("".join(written)):
            written = [*map(_quoted, written)]
    if width == 1:
        return written
    return [",".join(written[i : i + width]) for i in range(0, len(written), width)]


def _quoted(text: str) -> str:
    """Quote a cell if it contains a separator or a quote."""
    if _SPECIAL.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
