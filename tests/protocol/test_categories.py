"""A value that is none of a column's known categories is refused by every form of request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shearling.errors import InvalidRequestError
from shearling.protocol.binary import raw_request
from shearling.protocol.csv_rows import parse_csv
from shearling.protocol.instances import parse_instances
from shearling.protocol.requests import parse_request, request_document
from shearling.tensors.categories import check_categories
from shearling.tensors.inputs import to_tensors
from shearling.tensors.spec import Signature, TensorSpec
from tests.support.attack import attack

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CITIES = ("Bern", "Oslo", "Paris")
CITY = TensorSpec(name="city", datatype="BYTES", shape=(-1, 1), categories=(CITIES,))
AGE = TensorSpec(name="age", datatype="FP32", shape=(-1, 1))
LABEL = TensorSpec(name="label", datatype="INT64", shape=(-1,))
BY_NAME = Signature(inputs=(CITY, AGE), outputs=(LABEL,))
ALONE = Signature(inputs=(CITY,), outputs=(LABEL,))
MATRIX = Signature(
    inputs=(
        TensorSpec(
            name="X", datatype="FP32", shape=(-1, 3), categories=((1.0, 2.0), None, (0.1, math.nan))
        ),
    ),
    outputs=(LABEL,),
)
COLUMNS = ["grade", "height", "share"]


def tensors(cities: list[str]) -> dict[str, NDArray[Any]]:
    return {
        "city": np.array(cities, object).reshape(-1, 1),
        "age": np.ones((len(cities), 1), np.float32),
    }


def by_tensors(cities: list[str]) -> object:
    return parse_request(request_document(tensors(cities)), BY_NAME)


def by_bytes(cities: list[str]) -> object:
    import orjson

    data = b"".join(len(c.encode()).to_bytes(4, "little") + c.encode() for c in cities)
    place = {"name": "city", "datatype": "BYTES", "shape": [len(cities), 1]}
    document = {"inputs": [place | {"parameters": {"binary_data_size": len(data)}}]}
    return parse_request(orjson.loads(orjson.dumps(document)), ALONE, data)


def by_objects(cities: list[str]) -> object:
    return parse_instances({"instances": [{"city": c, "age": 1} for c in cities]}, BY_NAME)


def by_values(cities: list[str]) -> object:
    return parse_instances({"instances": [[c, 1] for c in cities]}, BY_NAME)


def by_csv(cities: list[str]) -> object:
    return parse_csv("age,city\n" + "".join(f"1,{c}\n" for c in cities), BY_NAME)


def by_frame(cities: list[str]) -> object:
    return to_tensors(pd.DataFrame({"age": 1.0, "city": cities}), BY_NAME.inputs)


DOORS = {
    by_tensors: "inputs: row 1, ",
    by_bytes: "inputs: row 1, ",
    by_objects: "instances: row 1, ",
    by_values: "instances: row 1, ",
    by_csv: "body: row 3, ",  # its lines are counted, as in its other errors
    by_frame: "inputs: row 1, ",
}


@pytest.mark.parametrize(("door", "place"), DOORS.items())
def test_an_unknown_category_is_refused_with_row_column_and_nearest(
    door: Callable[[list[str]], object], place: str
) -> None:
    door(["Oslo", "Paris", "Bern"])
    with pytest.raises(InvalidRequestError) as caught:
        door(["Oslo", "Pariss", "Bern"])
    assert str(caught.value) == (
        f"{place}column 'city': 'Pariss' is not a category that the model knows; the nearest is "
        "'Paris' (it knows 'Bern', 'Oslo', 'Paris')"
    )


def test_the_bytes_of_a_whole_body_are_refused_too() -> None:
    raw_request(b"Oslo", ALONE)
    with pytest.raises(InvalidRequestError, match="body: row 0, column 'city': 'Rome' is not a"):
        raw_request(b"Rome", ALONE)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([3, 9, 0.1], "row 1, column 'grade': 3.0 is not a .* the nearest is 2.0 .it knows 1.0"),
        ([1, 9, 0.2], "row 1, column 'share': 0.2 is not a .* the nearest is 0.1 "),
        ([np.nan, 9, 0.1], "row 1, column 'grade': a missing value is not a category"),
    ],
)
def test_the_columns_of_a_matrix_have_categories_each(row: list[float], message: str) -> None:
    good = [2, 5, 0.1]
    with pytest.raises(InvalidRequestError, match=message):
        to_tensors([good, row], MATRIX.inputs, COLUMNS)
    instances = [[None if math.isnan(v) else v for v in each] for each in (good, row)]
    with pytest.raises(InvalidRequestError, match=message):
        parse_instances({"instances": instances}, MATRIX, COLUMNS)


def test_a_column_without_a_name_is_named_by_its_place() -> None:
    with pytest.raises(InvalidRequestError, match=r"row 0, column 2 of input 'X': 7.0 is not"):
        to_tensors([[1, 1, 7]], MATRIX.inputs)


def test_a_missing_value_may_be_a_category() -> None:
    rows = [[1, 5, np.nan], [1, np.nan, 0.1]]
    assert to_tensors(rows, MATRIX.inputs)["X"].shape == (2, 3)


def test_no_nearest_is_named_where_nothing_is_near() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        by_tensors(["東京"])
    assert "nearest" not in str(caught.value)


@pytest.mark.parametrize("city", ["OSLO", " oslo", "Osl0"])
def test_the_nearest_is_found_in_any_case(city: str) -> None:
    with pytest.raises(InvalidRequestError, match="the nearest is 'Oslo'"):
        by_tensors([city])


def test_long_values_and_many_categories_keep_the_message_short() -> None:
    names = tuple(f"city {i} " + "x" * 1000 for i in range(20_000))
    spec = TensorSpec(name="city", datatype="BYTES", shape=(-1, 1), categories=(names,))
    with pytest.raises(InvalidRequestError, match="and 19995 more") as caught:
        check_categories({"city": np.array([["y" * 100_000]], object)}, [spec])
    assert len(str(caught.value)) < 1000


@settings(max_examples=attack(100))
@given(
    known=st.lists(st.floats(width=32), min_size=1, max_size=6, unique_by=repr),
    asked=st.lists(st.floats(width=32), min_size=1, max_size=6),
)
def test_exactly_the_known_values_are_accepted(known: list[float], asked: list[float]) -> None:
    spec = TensorSpec(name="x", datatype="FP32", shape=(-1,), categories=(tuple(known),))

    def is_known(value: float) -> bool:
        return any(value == other or (math.isnan(value) and math.isnan(other)) for other in known)

    bad = [i for i, value in enumerate(asked) if not is_known(value)]
    array = {"x": np.array(asked, np.float32)}
    if not bad:
        check_categories(array, [spec])
        return
    with pytest.raises(InvalidRequestError, match=f"inputs: row {bad[0]}, column 'x'"):
        check_categories(array, [spec])
