"""Rows from a file: what `--example`, `--csv`, `--json` and `--npy` name."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.protocol.csv_rows import are_names, read_rows
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns by name: as much of a DataFrame as `shearling.inputs` looks at."""

    arrays: Mapping[str, NDArray[Any]]

    @property
    def columns(self) -> list[str]:
        """Names, in order."""
        return list(self.arrays)

    def __getitem__(self, name: str) -> Frame:
        return Frame({name: self.arrays[name]})

    def to_numpy(self) -> NDArray[Any]:
        """Return all columns side by side; strings among numbers make it an array of objects."""
        return np.column_stack(list(self.arrays.values()))


def read_data(path: Path) -> Any:
    """Return what a file holds, in a form that `shearling.inputs.to_tensors` takes.

    Args:
        path: `.npy` (an array), `.npz` (an array for each input), `.csv` (a column for each input,
            or the columns of the one input), or `.json`: rows, an object with a list for each
            input, or a request of the Open Inference Protocol.

    Raises:
        InvalidRequestError: it is none of these, or broken.
        OSError: it cannot be read.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidRequestError(f"{path}: expected one of {', '.join(_READERS)}")
    return reader(path)


def read_csv(path: Path) -> Frame | NDArray[Any]:
    """Return the columns of a CSV file, or an array if its first line is no names."""
    text = text_of(path.read_bytes(), str(path))
    rows = read_rows(io.StringIO(text, newline=""), str(path))
    has_names = bool(rows) and are_names(rows[0])
    if len(rows) == has_names:
        raise InvalidRequestError(f"{path} has no rows")
    names = rows[0] if has_names else [str(i) for i in range(len(rows[0]))]
    columns = [_column(cells) for cells in zip(*rows[has_names:], strict=True)]
    frame = Frame(dict(zip(names, columns, strict=True)))
    return frame if has_names else frame.to_numpy()


def text_of(data: bytes, place: str) -> str:
    """Return the text of a table, its ends of lines as they are."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{place} is not CSV: {error}") from error


def read_json(path: Path) -> Any:
    """Return the rows of a JSON file, its lists by input, or a request's tensors by name."""
    return rows_of(json_document(path.read_bytes(), str(path)), str(path))


def json_document(data: bytes, place: str) -> Any:
    """Return what JSON says, or name the place where it is broken."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise InvalidRequestError(f"{place} is not JSON: {error}") from error


def is_request(document: object) -> bool:
    """Say whether a document is a request of the protocol."""
    return isinstance(document, dict) and isinstance(document.get("inputs"), list)


def rows_of(document: Any, place: str) -> Any:
    """Return a document's rows, its lists by input, or a request's tensors by name."""
    if isinstance(document, dict) and document.keys() == {"instances"}:
        document = document["instances"]
    try:
        if is_request(document):
            return {tensor["name"]: _tensor(tensor) for tensor in document["inputs"]}
        if isinstance(document, list) and document and isinstance(document[0], dict):
            return _frame(document, place)
        if isinstance(document, dict):
            return {name: np.array(values) for name, values in document.items()}
        if isinstance(document, list):
            return np.array(document)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequestError(f"{place}: {type(error).__name__}: {error}") from error
    raise InvalidRequestError(
        f"{place}: expected rows, as in [[1, 2], [3, 4]], lists by input, as in "
        '{"age": [1, 3], "height": [2, 4]}, or a request of the Open Inference Protocol'
    )


def read_numpy(path: Path) -> Any:
    """Return the array of a .npy file, or the arrays by name of a .npz file."""
    try:
        found = np.load(path, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else dict(found)
    except (ValueError, EOFError) as error:
        raise InvalidRequestError(f"{path} is not a file of arrays: {error}") from error


_READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": read_numpy,
    ".npz": read_numpy,
    ".json": read_json,
    ".csv": read_csv,
}


def _frame(rows: Sequence[Any], place: str) -> Frame:
    first = rows[0]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InvalidRequestError(f"{place}: row {number} is no object, as the first is")
        if different := sorted(row.keys() ^ first.keys()):
            name, verb = different[0], "has" if different[0] in row else "lacks"
            raise InvalidRequestError(
                f"{place}: row {number} {verb} column {name!r}, unlike the first"
            )
    return Frame({name: np.array([row[name] for row in rows]) for name in first})


def _tensor(tensor: Mapping[str, Any]) -> NDArray[Any]:
    return np.array(tensor["data"], DTYPES[tensor["datatype"]]).reshape(tensor["shape"])


def _column(cells: Sequence[str]) -> NDArray[Any]:
    """Return integers, or numbers with NaN where a cell is empty, or else strings."""
    for kind in (int, float):
        try:
            return np.array([kind(cell or "nan") for cell in cells])
        except (ValueError, OverflowError):
            continue
    return np.array(cells, object)
