"""Compute which share of the variance of numbers other numbers explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: By how much an answer may miss a constant, as a share of it.
_OF_A_CONSTANT = 1e-3


def least_r2(own: NDArray[Any], right: NDArray[Any]) -> float:
    """Return the least R2 of the targets; for a constant, whether it is kept.

    Args:
        own: numbers of shape [rows] or [rows, targets].
        right: what they should be, in the same shape.
    """
    errors = ((own - right) ** 2).sum(axis=0)
    spread = ((right - right.mean(axis=0)) ** 2).sum(axis=0)
    is_kept = np.isclose(own, right, rtol=_OF_A_CONSTANT).all(axis=0)
    is_constant = spread == 0
    explained = 1 - errors / np.where(is_constant, 1, spread)
    return float(np.min(np.where(is_constant, is_kept, explained)))
