"""The options that name the labels of rows, and the rows and labels that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec


def add_label_options(command: argparse.ArgumentParser) -> None:
    """Add the options of a command whose rows may have labels."""
    labels = command.add_mutually_exclusive_group()
    labels.add_argument(
        "--label-column",
        metavar="NAME",
        help="the column of the rows with the right answers; it is not given to the model",
    )
    labels.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="the right answer to each row, in a file of its own: .npy, .json or .csv",
    )


def rows_and_labels(
    arguments: argparse.Namespace, path: Path, inputs: tuple[TensorSpec, ...] = ()
) -> tuple[Any, Any]:
    """Return the rows of a file, and their labels; None if no option names any.

    Args:
        arguments: the options of `add_label_options`.
        path: the file of the rows.
        inputs: the inputs of the model, if they are known: a CSV file has no types of its own.

    Raises:
        InvalidRequestError: a file is invalid, or has no such column.
        OSError: a file cannot be read.
    """
    from shearling.cli.data import Frame, read_data

    if arguments.label_column is None:
        labels = None if arguments.labels is None else _labels(arguments.labels)
        return read_data(path, inputs), labels
    data = read_data(path)
    arrays = data.arrays if isinstance(data, Frame) else data
    if not isinstance(arrays, dict):
        raise InvalidRequestError(
            f"{path} has no column names, so --label-column names none: pass --labels FILE"
        )
    rows, labels = _split(arrays, arguments.label_column, path)
    return Frame(rows) if isinstance(data, Frame) else rows, labels


def _split(
    arrays: Mapping[str, NDArray[Any]], column: str, path: Path
) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    if column not in arrays:
        raise InvalidRequestError(
            f"{path} has no column {column!r:.80}: --label-column is one of "
            f"{', '.join(arrays):.300}"
        )
    rows = {name: array for name, array in arrays.items() if name != column}
    if not rows:
        raise InvalidRequestError(f"{path} has no column but {column!r:.80}, so it has no rows")
    return rows, _with_missing(arrays[column])


def _labels(path: Path) -> NDArray[Any]:
    import numpy as np

    from shearling.cli.data import Frame, read_data

    values = read_data(path)
    if isinstance(values, Frame):
        values = values.to_numpy()
    if not isinstance(values, np.ndarray):
        raise InvalidRequestError(f"{path}: expected one label for each row, without other values")
    return _with_missing(values[:, 0] if values.shape[1:] == (1,) else values)


def _with_missing(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels with None for an empty text."""
    import numpy as np

    is_empty = labels == ""
    return np.where(is_empty, np.array(None), labels) if np.any(is_empty) else labels
