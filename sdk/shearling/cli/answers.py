"""Show a model's outputs as a table or JSON, or write them to a file."""

from __future__ import annotations

import json
from itertools import zip_longest
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.cli.output import note
from shearling.errors import InvalidRequestError
from shearling.protocol.csv_rows import as_rows, columns_of, write_csv
from shearling.protocol.requests import tensor_document
from shearling.text_table import table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.tensors.spec import Classes, TensorSpec

    Outputs = Mapping[str, NDArray[Any]]

#: Maximum rows and columns of a table in the terminal.
_ROWS_SHOWN, _COLUMNS_SHOWN = 50, 12


def rendered(outputs: Outputs, classes: Mapping[str, Classes]) -> str:
    """Return the first rows of outputs as a table, and report on stderr what it leaves out.

    Args:
        outputs: arrays by output name.
        classes: classes of the outputs whose columns have names.
    """
    for name, array in outputs.items():
        count = prod(array.shape[1:])
        rows = len(as_rows(array))
        if count > _COLUMNS_SHOWN or rows > _ROWS_SHOWN:
            note(
                f"{name} has {rows} rows of {count} values; only the first are shown. --raw prints "
                "all of them, --output writes them to a file"
            )
    columns = list(columns_of(outputs, _COLUMNS_SHOWN, classes))
    lines = zip_longest(*(column[:_ROWS_SHOWN].tolist() for _, column in columns), fillvalue="")
    return table([name for name, _ in columns], lines)


def answer_document(outputs: Outputs) -> dict[str, Any]:
    """Return outputs as a response of the Open Inference Protocol."""
    return {"outputs": [tensor_document(name, array) for name, array in outputs.items()]}


def check_destination(path: Path, outputs: Sequence[TensorSpec]) -> None:
    """Refuse a file that `write_answer` cannot write, before the model is called.

    Raises:
        InvalidRequestError: the file type is unknown, it cannot hold all outputs, or the directory
            does not exist.
    """
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise InvalidRequestError(f"{path}: unknown file type; expected one of {', '.join(_KINDS)}")
    if kind == ".npy" and len(outputs) > 1:
        raise InvalidRequestError(
            f"{path}: a .npy file holds one array, and the model has {len(outputs)} outputs "
            f"({', '.join(map(str, outputs))}). Use .npz"
        )
    if not path.parent.is_dir():
        raise InvalidRequestError(f"{path}: the directory {path.parent} does not exist")


def write_answer(path: Path, outputs: Outputs, classes: Mapping[str, Classes]) -> None:
    """Write outputs to a file.

    Args:
        path: `.csv` (a line for each row, a column for each value of a row), `.npy` (one output),
            `.npz` (an array for each output), or `.json` (a response of the protocol).
        outputs: arrays of shape [rows, ...] by output name.
        classes: classes of the outputs whose columns have names, for `.csv`.
    """
    kind = path.suffix.lower()
    if kind == ".csv":
        _write_csv(path, outputs, classes)
    else:
        _WRITERS[kind](path, outputs)
    note(f"{path}: {max(map(len, map(as_rows, outputs.values())))} rows")


def _write_csv(path: Path, outputs: Outputs, classes: Mapping[str, Classes]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        write_csv(stream, outputs, classes)


def _write_npy(path: Path, outputs: Outputs) -> None:
    (array,) = outputs.values()
    with path.open("wb") as stream:
        np.save(stream, _plain(array))


def _write_npz(path: Path, outputs: Outputs) -> None:
    arrays: dict[str, Any] = {name: _plain(array) for name, array in outputs.items()}
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def _write_json(path: Path, outputs: Outputs) -> None:
    path.write_text(json.dumps(answer_document(outputs), ensure_ascii=False), encoding="utf-8")


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return strings in a type that NumPy reads without pickle."""
    return array.astype(np.str_) if array.dtype.kind == "O" else array


_WRITERS: dict[str, Callable[[Path, Outputs], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".json": _write_json,
}

_KINDS = (".csv", *_WRITERS)
