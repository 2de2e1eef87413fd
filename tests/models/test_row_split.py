"""No row calibrates and judges, and too few rows are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.errors import InvalidRequestError
from shearling.models.row_split import hold_out, split_rows

#: Rows of few different values, so that most of them are duplicates.
ROWS = st.lists(
    st.tuples(
        st.sampled_from([0.0, -0.0, 1.0, np.nan, -np.nan, np.inf]),
        st.sampled_from(["a", "ab", "b", ""]),
        st.sampled_from([1, 2]),
    ),
    min_size=2,
    max_size=200,
)


def tensors(rows: list[tuple[float, str, int]]) -> dict[str, Any]:
    floats, texts, numbers = zip(*rows, strict=True)
    return {
        "floats": np.array(floats, np.float32),
        "texts": np.array(texts, object),
        "numbers": np.array(numbers).reshape(-1, 1),
    }


def key(row: tuple[float, str, int]) -> str:
    """A text that equal rows share: there is one zero, and one NaN."""
    return f"{abs(row[0])!r} {row[1]!r} {row[2]}"


@given(rows=ROWS)
def test_no_row_calibrates_and_judges_even_if_it_is_there_twice(
    rows: list[tuple[float, str, int]],
) -> None:
    try:
        calibrating, judging = split_rows(tensors(rows), 1)
    except InvalidRequestError:
        assert len({key(row) for row in rows}) == 1
        return
    sides = [
        {repr((rows[i][0] + 0.0, *rows[i][1:])) for i in side} for side in (calibrating, judging)
    ]
    assert not sides[0] & sides[1]
    assert sorted([*calibrating, *judging]) == list(range(len(rows)))


def test_half_of_the_different_rows_judge() -> None:
    rows = np.arange(1000, dtype=np.float32).reshape(-1, 1)
    calibrating, judging = split_rows({"X": rows}, 200)
    assert (len(calibrating), len(judging)) == (500, 500)
    again = split_rows({"X": rows}, 200)
    assert np.array_equal(again[0], calibrating)


def test_too_few_rows_are_refused_with_the_number_that_is_needed() -> None:
    rows = np.arange(399, dtype=np.float32).reshape(-1, 1)
    with pytest.raises(InvalidRequestError, match=r"399 rows are too few: 400 different rows"):
        split_rows({"X": rows}, 200)


def test_equal_rows_count_once() -> None:
    rows = np.tile(np.arange(100, dtype=np.float32), 50).reshape(-1, 1)
    with pytest.raises(InvalidRequestError, match=r"5,000 rows, of which 100 are different"):
        split_rows({"X": rows}, 200)


def test_half_of_the_different_rows_are_learnt_however_many_copies_one_has() -> None:
    for copied in range(200):
        rows = np.concatenate([np.arange(200), np.full(1800, copied)])[:, None]
        fitted, judged = hold_out(rows, 500, least=200)
        assert len(np.unique(rows[fitted])) >= 100
        assert len(fitted) + len(judged) == len(rows)
