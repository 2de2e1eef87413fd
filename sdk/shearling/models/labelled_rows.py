"""Read rows of data, and the true value of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.inputs import as_array, is_missing, to_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest


def rows_of(data: Any, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Return the rows as the tensors of a request."""
    rows = to_tensors(data, manifest.signature.inputs, manifest.options.get("columns", ()))
    counts = {name: len(array) for name, array in rows.items()}
    if len(set(counts.values())) > 1:
        raise InvalidRequestError(f"data: the inputs have different numbers of rows: {counts}")
    return rows


def labels_of(y: Any, count: int) -> NDArray[Any] | None:
    """Return the true values as an array; None without them."""
    return None if y is None else all_labels_of(y, count, "y")


def all_labels_of(y: Any, count: int, what: str) -> NDArray[Any]:
    """Return the true values of rows as an array.

    Args:
        y: the values.
        count: number of the rows.
        what: what messages call the values.

    Raises:
        InvalidRequestError: there is not one for each row.
    """
    labels = as_array(y, what)
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
    if labels.ndim == 0 or len(labels) != count:
        raise InvalidRequestError(
            f"{what} has {labels.size if labels.ndim == 0 else len(labels):,} values, but data has "
            f"{count:,} rows: pass one label for each row"
        )
    if not (known := are_known(labels)).all():
        raise InvalidRequestError(
            f"{what}: row {int(np.argmin(known))} is missing: leave out rows without a label"
        )
    return plain(labels)


def are_known(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return for which rows all values are there."""
    if labels.dtype.kind not in "fO":
        return np.ones(len(labels), bool)
    rows = labels.reshape(len(labels), -1)
    if labels.dtype.kind == "f":
        return np.asarray(~np.isnan(rows).any(axis=1))
    return np.array([not any(map(is_missing, row)) for row in rows], bool)


def plain(labels: NDArray[Any]) -> NDArray[Any]:
    """Return objects that are all numbers, as a column of pandas has them, as an array of these."""
    if labels.dtype.kind != "O" or any(isinstance(label, str) for label in labels.flat):
        return labels
    numbers = np.array(labels.tolist())
    return numbers if numbers.dtype.kind in "biuf" else labels
