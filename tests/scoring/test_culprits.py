"""The error about a row names its column and the value, whatever the format."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import polars as pl
import pytest

from tests.scoring.models import matrix_scorer, table_scorer

if TYPE_CHECKING:
    from shearling.scoring.blocks import Scorer
    from tests.scoring.places import Places


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def lines(*rows: Any) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def parquet(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(columns).write_parquet(stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("key", "data", "scorer", "culprit"),
    [
        ("a.csv", b"age,name\n1,a\nx,b\n", table_scorer(), ("age", "'x'")),
        ("a.csv", b"1,2,3\n1,x,3\n", matrix_scorer(), ("1", "'x'")),
        ("a.jsonl", lines([1, "a"], [2, None]), table_scorer(), ("name", "null")),
        ("a.jsonl", lines([1, 2, 3], [1, "x", 3]), matrix_scorer(), ("1", "'x'")),
        ("a.jsonl", lines({"x": [1, 2, 3]}, {"x": [1, 2, "y"]}), matrix_scorer(), ("2", "'y'")),
        ("a.npy", npy(np.array([[1, 2, 3], [1, np.nan, 3]])), matrix_scorer(), ("1", "nan")),
        (
            "a.npy",
            npy(np.array([(1, "a"), (1.5, "b")], [("age", "f4"), ("name", "U1")])),
            table_scorer(),
            ("age", "1.5"),
        ),
        ("a.parquet", parquet(age=[1, None], name=["a", "b"]), table_scorer(), ("age", "null")),
        ("a.parquet", parquet(a=[1, 2], b=[1.0, None], c=[1, 2]), matrix_scorer(), ("b", "null")),
    ],
)
def test_the_error_has_the_row_the_column_and_the_value(
    places: Places, key: str, data: bytes, scorer: Scorer, culprit: tuple[str, str]
) -> None:
    places.put(key, data)

    places.score(key, scorer)

    error = places.json(f"{key}.error.json")["error"]
    header = data.startswith(b"age,")
    assert error["row"] == 2 + header
    assert (error["column"], error["value"]) == culprit
