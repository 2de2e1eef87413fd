"""Split rows into some that a model is made with and others that judge it: no row is in both."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.inputs import is_frame

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
    own = _groups(tensors)
    count, different = sum(map(len, own)), len(own)
    if different < 2 * least:
        alike = "" if different == count else f", of which {different:,} are different,"
        raise InvalidRequestError(
            f"data: {count:,} rows{alike} are too few: {2 * least:,} different rows are needed, of "
            f"which half calibrate and {least:,} judge. Pass more rows. To judge by fewer, which "
            "may miss a loss, pass a smaller number as min_rows="
        )
    order = np.random.default_rng(0).permutation(different)
    halves = order[: different // 2], order[different // 2 :]
    calibrating, judging = ([place for group in half for place in own[group]] for half in halves)
    return np.array(calibrating, np.intp), np.array(judging, np.intp)


def hold_out(rows: Any, judged: int, least: int) -> tuple[Places, Places]:
    """Return the places of rows to learn from, and of others to judge by, in their order.

    Equal rows are on the same side.

    Args:
        rows: an array or a DataFrame.
        judged: how many rows are to judge; copies of one row may make it more.
        least: how many different rows there must be.

    Raises:
        InvalidRequestError: there are fewer.
    """
    columns = (
        {str(i): rows.iloc[:, i].to_numpy() for i in range(rows.shape[1])}
        if is_frame(rows)
        else {"": rows}
    )
    own = _groups(columns)
    if len(own) < least:
        alike = "" if len(own) == len(rows) else f", of which {len(own):,} are different"
        raise InvalidRequestError(
            f"X has {len(rows):,} rows{alike}: at least {least:,} different rows are needed, some "
            "of which are held out to judge. They need no labels"
        )
    order = np.random.default_rng(0).permutation(len(own))
    before = np.cumsum([0, *(len(own[group]) for group in order)])[:-1]
    is_judged = np.zeros(len(rows), bool)
    # Half of the different rows at most: copies of one may be as many as are to judge.
    for group in order[before < judged][: len(own) // 2]:
        is_judged[own[group]] = True
    return np.flatnonzero(~is_judged), np.flatnonzero(is_judged)


def taken_rows(rows: Any, places: Places | slice) -> Any:
    """Return some rows of an array or a DataFrame."""
    return rows.iloc[places] if is_frame(rows) else rows[places]


def _groups(tensors: Tensors) -> list[list[int]]:
    """Return the places of equal rows together."""
    groups: dict[bytes, list[int]] = {}
    for place, row in enumerate(_rows(tensors)):
        groups.setdefault(row, []).append(place)
    return list(groups.values())


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
    rows = array.reshape(len(array), math.prod(array.shape[1:]))
    if array.dtype.kind != "f":
        return rows
    return np.where(np.isnan(rows), np.nan, rows + 0.0).astype(array.dtype)
