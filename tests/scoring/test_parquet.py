"""Scoring Parquet files."""

from __future__ import annotations

import builtins
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shearling.scoring import object_file, parquet_source, parquet_writer, sink
from tests.scoring.models import matrix_scorer, table_scorer, text_scorer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest
    from tests.scoring.places import Places

TABLE = pl.DataFrame({"name": ["zoe", "max", "ü"], "age": [3, 4, 5]})


def parquet(frame: pl.DataFrame, **options: Any) -> bytes:
    stream = io.BytesIO()
    frame.write_parquet(stream, **options)
    return stream.getvalue()


def scored(places: Places, key: str) -> pl.DataFrame:
    return pl.read_parquet(places.read(key))


def test_a_parquet_file_is_answered_by_a_parquet_file(places: Places) -> None:
    places.put("a.parquet", parquet(TABLE))

    outcome = places.score("a.parquet", table_scorer(), keep_columns=True)

    assert (outcome.status, outcome.rows) == ("scored", 3)
    answers: dict[str, Any] = {
        "label": pl.Series([1, 0, 1]),
        "scores[stays]": pl.Series([3, 3, 1], dtype=pl.Float32),
        "scores[goes]": pl.Series([6, 8, 10], dtype=pl.Float32),
    }
    assert_frame_equal(scored(places, "a.parquet"), TABLE.with_columns(**answers))


def test_columns_that_the_model_does_not_take_are_only_kept(places: Places) -> None:
    frame = TABLE.with_columns(id=pl.Series(["A", "B", "C"]))
    places.put("a.parquet", parquet(frame))

    places.score("a.parquet", table_scorer(), keep_columns=True)

    assert scored(places, "a.parquet")["id"].to_list() == ["A", "B", "C"]
    other = places.score("a.parquet", table_scorer(), output={"key": "b.parquet"})
    assert other.failure is not None
    assert "column 'id' is unknown" in other.failure.message


def test_columns_without_a_name_for_each_are_a_matrix(places: Places) -> None:
    places.put("a.parquet", parquet(pl.DataFrame({"a": [1, 4], "b": [2, 5], "c": [3.0, 6.0]})))

    places.score("a.parquet", matrix_scorer())

    assert scored(places, "a.parquet")["sum"].to_list() == [6.0, 15.0]


def test_a_column_of_lists_is_an_input_of_rows(places: Places) -> None:
    places.put("a.parquet", parquet(pl.DataFrame({"x": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]})))

    places.score("a.parquet", matrix_scorer())

    assert scored(places, "a.parquet")["sum"].to_list() == [6.0, 15.0]


def test_fewer_rows_are_read_at_a_time_if_they_are_wide(places: Places) -> None:
    counts: list[int] = []
    model = matrix_scorer(width=5000)

    def answer(request: InferRequest) -> Mapping[str, NDArray[Any]]:
        counts.append(len(request.inputs["x"]))
        return model.answer(request)

    rows = pl.Series([[1.0] * 5000] * 120, dtype=pl.List(pl.Float32))
    places.put("a.parquet", parquet(pl.DataFrame({"x": rows})))

    places.score("a.parquet", replace(model, answer=answer))

    assert counts == [50, 50, 20]
    assert scored(places, "a.parquet")["sum"].to_list() == [5000.0] * 120


def test_texts_and_categories_are_read_and_written(places: Places) -> None:
    texts = pl.Series(["a", "b", "a"], dtype=pl.Categorical)
    places.put("a.parquet", parquet(pl.DataFrame({"text": texts})))

    places.score("a.parquet", text_scorer())

    assert scored(places, "a.parquet")["loud"].to_list() == ["A", "B", "A"]


def test_decimals_are_numbers_and_are_kept_as_they_are(places: Places) -> None:
    ages = pl.Series(["3.00", "4.00"]).cast(pl.Decimal(38, 2))
    sizes = pl.Series(["1.25", "-0.50"]).cast(pl.Decimal(10, 2))
    places.put("a.parquet", parquet(pl.DataFrame({"name": ["a", "b"], "age": ages})))
    places.put("b.parquet", parquet(pl.DataFrame({"a": sizes, "b": [1.0, 2.0], "c": [1, 2]})))

    places.score("a.parquet", table_scorer(), keep_columns=True, output={"format": "csv"})
    places.score("b.parquet", matrix_scorer())

    assert places.read("a.csv").splitlines()[1:] == [b"a,3.00,1,1.0,6.0", b"b,4.00,0,1.0,8.0"]
    assert scored(places, "b.parquet")["sum"].to_list() == [3.25, 3.5]


def test_a_decimal_that_is_valid_is_not_blamed_for_another_value(places: Places) -> None:
    ages = pl.Series(["3.00"]).cast(pl.Decimal(10, 2))
    places.put("a.parquet", parquet(pl.DataFrame({"age": ages, "name": [7]})))

    failure = places.score("a.parquet", table_scorer()).failure

    assert failure is not None
    assert (failure.column, failure.value) == ("name", "7")


def test_a_decimal_that_is_refused_is_shown_as_a_number(places: Places) -> None:
    ages = pl.Series(["1.50"]).cast(pl.Decimal(10, 2))
    places.put("a.parquet", parquet(pl.DataFrame({"age": ages, "name": ["a"]})))

    failure = places.score("a.parquet", table_scorer()).failure

    assert failure is not None
    assert (failure.column, failure.value) == ("age", "1.5")


def test_many_row_groups_are_read_and_written_in_blocks(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sink, object_file):
        monkeypatch.setattr(module, "PART_BYTES", 1000)
    monkeypatch.setattr(parquet_source, "_ROWS", 300)
    monkeypatch.setattr(parquet_writer, "_GROUP_ROWS", 500)
    ages = np.arange(4000) % 100
    frame = pl.DataFrame({"name": [str(age) * 3 for age in ages], "age": ages})
    places.put("a.parquet", parquet(frame, row_group_size=700))

    outcome = places.score("a.parquet", table_scorer())

    assert outcome.rows == 4000
    assert scored(places, "a.parquet")["scores[goes]"].to_list() == (2.0 * ages).tolist()


def test_an_invalid_value_fails_with_its_row_and_column(places: Places) -> None:
    ages = [1] * 50 + [None] + [2] * 9
    places.put("a.parquet", parquet(pl.DataFrame({"age": ages, "name": ["a"] * 60})))

    outcome = places.score("a.parquet", table_scorer())

    assert outcome.failure is not None
    assert (outcome.failure.row, outcome.failure.column) == (51, "age")


def test_invalid_rows_go_to_a_file_of_their_own(places: Places) -> None:
    places.put("a.parquet", parquet(pl.DataFrame({"age": [1, None, 3], "name": ["a", "b", "c"]})))

    outcome = places.score("a.parquet", table_scorer(), on_bad_rows="skip")

    assert (outcome.rows, outcome.rejected) == (3, 1)
    assert scored(places, "a.parquet")["label"].to_list() == [1, 1]


def test_a_table_without_rows_has_an_output_without_rows(places: Places) -> None:
    places.put("a.parquet", parquet(TABLE.clear()))

    assert places.score("a.parquet", table_scorer()).rows == 0
    assert scored(places, "a.parquet").columns == ["label", "scores[stays]", "scores[goes]"]


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("rows", [0, 1])
def test_an_output_without_rows_keeps_the_columns(places: Places, rows: int, form: str) -> None:
    types: dict[str, pl.DataType] = {
        "id": pl.Decimal(9, 2),
        "tags": pl.List(pl.String),
        "age": pl.Int64(),
        "name": pl.String(),
    }
    invalid = pl.DataFrame({name: [None] for name in types}, schema=types)
    places.put("a.parquet", parquet(invalid.head(rows)))

    outcome = places.score(
        "a.parquet",
        table_scorer(),
        keep_columns=True,
        on_bad_rows="skip",
        output={"format": form, "key": "out"},
    )

    assert (outcome.status, outcome.rejected) == ("scored", rows)
    names = [*types, "label", "scores[stays]", "scores[goes]"]
    if form == "parquet":
        assert scored(places, "out").columns == names
        assert dict(scored(places, "out").schema).items() >= types.items()
    else:
        line = ",".join(names) + "\r\n"
        assert places.read("out").decode() == (line if form == "csv" else "")


def test_csv_may_become_parquet_and_parquet_csv(places: Places) -> None:
    places.put("a.csv", TABLE.write_csv().encode())
    places.put("b.parquet", parquet(TABLE))

    places.score("a.csv", table_scorer(), output={"format": "parquet"})
    places.score("b.parquet", table_scorer(), output={"format": "csv"}, keep_columns=True)

    assert scored(places, "a.parquet")["label"].to_list() == [1, 0, 1]
    assert places.read("b.csv").splitlines()[1] == b"zoe,3,1,3.0,6.0"


@pytest.mark.parametrize("data", [b"", b"PAR1" * 9, b"age,name\n" * 9, parquet(TABLE)[:-3]])
def test_a_file_that_is_not_parquet_fails_with_the_reason(places: Places, data: bytes) -> None:
    places.put("a.parquet", data)

    outcome = places.score("a.parquet", table_scorer())

    assert outcome.failure is not None
    assert outcome.failure.message.startswith("source: not Parquet: ")


def test_a_column_that_is_missing_is_named(places: Places) -> None:
    places.put("a.parquet", parquet(TABLE.drop("name")))

    outcome = places.score("a.parquet", table_scorer())

    assert outcome.failure is not None
    assert "column 'name' is missing" in outcome.failure.message


def test_a_package_without_parquet_fails_with_the_command(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without_arro3(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("arro3"):
            raise ImportError(name)
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without_arro3)
    places.put("a.parquet", parquet(TABLE))

    outcome = places.score("a.parquet", table_scorer())

    assert outcome.failure is not None
    assert "`shearling package runtime --with parquet`" in outcome.failure.message
