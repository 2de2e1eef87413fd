"""Split rows into those that calibrate and those that judge, so that no row is in both."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[Any]]
    Places = NDArray[np.intp]


def split_rows(tensors: Tensors, least: int) -> tuple[Places, Places]:
    """Return the places of the rows that calibrate, and of those that judge, in random order.

    Equal rows are on the same side. The order depends on nothing but the number of rows.

    Args:
        tensors: an array with the same number of rows for each input.
        least: the least number of different rows that judge.

    Raises:
        InvalidRequestError: there are too few different rows.
    """
    groups: dict[bytes, list[int]] = {}
    for place, row in enumerate(_rows(tensors)):
        groups.setdefault(row, []).append(place)
    count, different = sum(map(len, groups.values())), len(groups)
    if different < 2 * least:
        alike = "" if different == count else f", of which {different:,} are different,"
        raise InvalidRequestError(
            f"data: {count:,} rows{alike} are too few: {2 * least:,} different rows are needed, of "
            f"which half calibrate and {least:,} judge. Pass more rows. To judge by fewer, which "
            "may miss a loss, pass a smaller number as min_rows="
        )
    own = list(groups.values())
    order = np.random.default_rng(0).permutation(different)
    halves = order[: different // 2], order[different // 2 :]
    calibrating, judging = ([place for group in half for place in own[group]] for half in halves)
    return np.array(calibrating, np.intp), np.array(judging, np.intp)


def _rows(tensors: Tensors) -> Iterator[bytes]:
    """Yield for each row a digest that equal rows share."""
    columns = [_comparable(array) for array in tensors.values()]
    for parts in zip(*columns, strict=True):
        digest = hashlib.blake2b()
        for part in parts:
            text = part.tobytes() if part.dtype != object else repr(part.tolist()).encode()
            digest.update(len(text).to_bytes(8, "little") + text)
        yield digest.digest()


def _comparable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as rows whose equal values have equal bytes: one zero, and one NaN."""
    rows = array.reshape(len(array), -1)
    if array.dtype.kind != "f":
        return rows
    return np.where(np.isnan(rows), np.nan, rows + 0.0).astype(array.dtype)
