"""Read rows of data, and the true value of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.inputs import as_array, to_tensors

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
    if y is None:
        return None
    labels = as_array(y, "y")
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
    if labels.ndim == 0 or len(labels) != count:
        raise InvalidRequestError(
            f"y has {labels.size if labels.ndim == 0 else len(labels):,} values, but data has "
            f"{count:,} rows"
        )
    is_missing = labels != labels  # noqa: PLR0124 - true for NaN, in arrays of objects too
    if np.any(is_missing):
        raise InvalidRequestError(
            f"y: row {int(np.argwhere(is_missing)[0][0])} is missing: leave out rows without a "
            "label"
        )
    return labels
