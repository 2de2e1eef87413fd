"""Count, take, join and repeat the rows of tensors, and ask a model about them in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from shearling.formats.base import Tensors


def count_of(rows: Tensors) -> int:
    """Return the number of rows."""
    return len(next(iter(rows.values())))


def taken(rows: Tensors, places: Any) -> dict[str, NDArray[Any]]:
    """Return the rows at the given places, or where a mask is true."""
    return {name: array[places] for name, array in rows.items()}


def joined(parts: Sequence[Tensors]) -> dict[str, NDArray[Any]]:
    """Return all rows of several sets in one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def repeated(rows: Tensors, count: int) -> dict[str, NDArray[Any]]:
    """Return a number of rows, which are repeated as needed."""
    return {name: array[np.arange(count) % len(array)] for name, array in rows.items()}


def in_blocks(
    answer: Callable[[Tensors], Tensors], rows: Tensors, size: int
) -> dict[str, NDArray[Any]]:
    """Return the answers to any number of rows, of which a call gets so many at most."""
    starts = range(0, count_of(rows), size)
    return joined([answer(taken(rows, slice(start, start + size))) for start in starts])
