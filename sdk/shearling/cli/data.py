"""Read the rows of a file for `--example`, `--csv`, `--json` and `--npy`."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError, InvalidRequestError
from shearling.protocol.csv_columns import are_names, without_index
from shearling.protocol.csv_rows import parse_csv, read_rows
from shearling.tensors.dtypes import DTYPES
from shearling.tensors.spec import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec

#: A cell whose zeros or underscores would be lost in a number.
_CODE = re.compile(r"0[0-9]|[0-9]+_")


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns by name, with the parts of a DataFrame that `to_tensors` uses."""

    arrays: Mapping[str, NDArray[Any]]

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.arrays)

    def __getitem__(self, name: str) -> Frame:
        return Frame({name: self.arrays[name]})

    def to_numpy(self) -> NDArray[Any]:
        """Return an array of shape [rows, columns]; of objects if there are numbers and strings."""
        return np.column_stack(list(self.arrays.values()))


def read_data(path: Path, specs: tuple[TensorSpec, ...] = ()) -> Any:
    """Return the rows of a file, in a form that `to_tensors` accepts.

    Args:
        path: `.npy` (an array), `.npz` (an array for each input), `.csv` (a column for each input,
            or the columns of the only input), or `.json`: rows, an object with a list for each
            input, or a request of the Open Inference Protocol.
        specs: the inputs of the model, if they are known: a CSV file has no types of its own.

    Raises:
        InvalidRequestError: the file type is unknown, or the content is invalid.
        OSError: the file cannot be read.
    """
    if path.suffix.lower() == ".csv" and specs:
        return _read_typed_csv(path, specs)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidRequestError(
            f"{path}: unknown file type; expected one of {', '.join(_READERS)}"
        )
    return reader(path)


def data_frame(rows: Any, path: Path) -> Any:
    """Return rows as a DataFrame if they have columns, for a library that takes one."""
    if not isinstance(rows, Frame):
        return rows
    try:
        import pandas as pd
    except ImportError as error:
        raise FormatError(
            f"reading columns from {path} needs pandas: pip install 'shearling[pandas]'"
        ) from error
    return pd.DataFrame({name: rows[name].to_numpy().ravel() for name in rows.columns})


def read_csv(path: Path) -> Frame | NDArray[Any]:
    """Return the columns of a CSV file, or an array if the file has no header."""
    _, rows, has_names = _read_table(path)
    names = rows[0] if has_names else [str(i) for i in range(len(rows[0]))]
    columns = [_column(cells) for cells in zip(*rows[has_names:], strict=True)]
    frame = Frame(dict(zip(names, columns, strict=True)))
    return frame if has_names else frame.to_numpy()


def _read_typed_csv(
    path: Path, specs: tuple[TensorSpec, ...]
) -> Frame | Mapping[str, NDArray[Any]]:
    """Return the columns of a CSV file as the inputs' datatypes say.

    A single input takes its columns' names from the first line, if that has names.
    """
    text, rows, has_names = _read_table(path)
    columns = without_index(rows[0], specs[0]) if has_names and len(specs) == 1 else []
    request = parse_csv(
        text,
        Signature(inputs=specs, outputs=()),
        columns,
        has_names=bool(columns) or None,
        place=str(path),
    )
    if not columns:
        return request.inputs
    (array,) = request.inputs.values()
    return Frame(dict(zip(columns, array.reshape(len(array), -1).T, strict=True)))


def _read_table(path: Path) -> tuple[str, list[list[str]], bool]:
    """Return a CSV file's text, its lines as cells, and whether the first line has names."""
    text = text_of(path.read_bytes(), str(path))
    rows = read_rows(io.StringIO(text, newline=""), str(path))
    has_names = bool(rows) and are_names(rows[0])
    if len(rows) == has_names:
        raise InvalidRequestError(f"{path} has no rows")
    return text, rows, has_names


def text_of(data: bytes, place: str) -> str:
    """Return the text of a CSV file, with its line ends unchanged."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{place} is not CSV in UTF-8: {error}") from error


def read_json(path: Path) -> Any:
    """Return the rows of a JSON file, or its values by input name."""
    return rows_of(json_document(path.read_bytes(), str(path)), str(path))


def json_document(data: bytes, place: str) -> Any:
    """Return the document in JSON data; `place` names the data in messages."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise InvalidRequestError(f"{place} is not JSON: {error}") from error


def is_request(document: object) -> bool:
    """Return whether a document is a request of the Open Inference Protocol."""
    return isinstance(document, dict) and isinstance(document.get("inputs"), list)


def rows_of(document: Any, place: str) -> Any:
    """Return the rows of a document, or its values by input name."""
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
        f"{place}: expected rows, as in [[1, 2], [3, 4]], a list for each input, as in "
        '{"age": [1, 3], "height": [2, 4]}, or a request of the Open Inference Protocol'
    )


def read_numpy(path: Path) -> Any:
    """Return the array of a .npy file, or the arrays by name of a .npz file."""
    try:
        loaded = np.load(path, allow_pickle=False)
        return loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, EOFError) as error:
        raise InvalidRequestError(f"{path} is not a file of NumPy arrays: {error}") from error


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
            raise InvalidRequestError(
                f"{place}: row {number} is not an object, but the first row is"
            )
        if different := sorted(row.keys() ^ first.keys()):
            name, verb = different[0], "has" if different[0] in row else "lacks"
            raise InvalidRequestError(
                f"{place}: row {number} {verb} column {name!r}, unlike the first row"
            )
    return Frame({name: np.array([row[name] for row in rows]) for name in first})


def _tensor(tensor: Mapping[str, Any]) -> NDArray[Any]:
    return np.array(tensor["data"], DTYPES[tensor["datatype"]]).reshape(tensor["shape"])


def _column(cells: Sequence[str]) -> NDArray[Any]:
    """Return integers, or else floats with NaN for an empty cell, or else strings.

    Codes such as 01234 are strings.
    """
    if any(_CODE.match(cell) for cell in cells):
        return np.array(cells, object)
    for kind in (int, float):
        try:
            return np.array([kind(cell or "nan") for cell in cells])
        except (ValueError, OverflowError):
            continue
    return np.array(cells, object)
