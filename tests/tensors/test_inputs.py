"""Conversion of arrays, DataFrames and dicts to the tensors of a signature."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from shearling.client.connect import connect
from shearling.errors import InvalidRequestError
from shearling.registry.registry import Registry
from shearling.tensors.inputs import check_rows, to_tensors
from shearling.tensors.spec import TensorSpec
from tests.support.bundles import ROWS, scaling_bundle
from tests.support.lambda_server import LocalLambda, served

if TYPE_CHECKING:
    from pathlib import Path

MATRIX = (TensorSpec(name="X", datatype="FP32", shape=(-1, 2)),)
CITY = (TensorSpec(name="city", datatype="BYTES", shape=(-1, 1)),)
COLUMNS = ["age", "income"]
FRAME = pd.DataFrame({"age": [1, 2], "income": [0.5, 1.5]})


def test_columns_in_another_order_are_put_into_the_known_one() -> None:
    tensors = to_tensors(FRAME[["income", "age"]], MATRIX, COLUMNS)
    np.testing.assert_array_equal(tensors["X"], [[1, 0.5], [2, 1.5]])


def test_columns_are_known_by_the_text_of_their_names() -> None:
    frame = pd.DataFrame({1: [3.0], 0: [2.0]})
    np.testing.assert_array_equal(to_tensors(frame, MATRIX, ["0", "1"])["X"], [[2, 3]])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.rename(columns={"age": "years"}), "column 'age' is missing: the model was pushed"),
        (FRAME[["age"]], "column 'income' is missing: the model was pushed with columns age, inco"),
        (FRAME.assign(vip=True), "column 'vip' is unknown: the model was pushed with columns age"),
        (
            pd.DataFrame([[1, 2, 3]], columns=["age", "age", "income"]),
            "duplicate column name 'age'",
        ),
    ],
    ids=["renamed", "missing", "unknown", "duplicate"],
)
def test_other_columns_are_refused_by_name(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        to_tensors(frame, MATRIX, COLUMNS)


def test_a_single_column_is_known_by_its_name_too() -> None:
    with pytest.raises(InvalidRequestError, match="column 'city' is missing"):
        to_tensors(pd.DataFrame({"town": ["Oslo"]}), CITY, ["city"])


def test_a_text_keeps_its_last_characters_whatever_they_are() -> None:
    tensors = to_tensors(["a\0", "\0"], (replace(CITY[0], shape=(-1,)),))
    assert tensors["city"].tolist() == ["a\0", "\0"]


def test_arrays_are_taken_as_they_are() -> None:
    np.testing.assert_array_equal(to_tensors([[1, 2]], MATRIX, COLUMNS)["X"], [[1, 2]])


def test_a_frame_is_taken_as_it_is_where_no_names_are_known() -> None:
    np.testing.assert_array_equal(to_tensors(FRAME, MATRIX)["X"], FRAME.to_numpy())


def test_booleans_beside_numbers_become_0_and_1() -> None:
    frame = pd.DataFrame({"age": [1.5], "vip": [True]})
    np.testing.assert_array_equal(to_tensors(frame, MATRIX)["X"], [[1.5, 1]])


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT], ids=repr)
def test_a_missing_string_is_named_with_its_row(missing: Any) -> None:
    city = np.array(["Oslo", "Rome", missing], object)
    with pytest.raises(
        InvalidRequestError, match=r"input 'city': row 2 is \S+, .*missing values: fill them first"
    ):
        to_tensors({"city": city}, CITY)


def test_an_element_that_is_not_a_string_is_refused_with_its_row() -> None:
    with pytest.raises(InvalidRequestError, match="input 'city': row 1 is 5, which is not a strin"):
        to_tensors({"city": np.array(["Oslo", 5], object)}, CITY)


@pytest.mark.parametrize("value", [[[1, 2], [3]], {"X": [[1, 2], [3]]}], ids=["list", "dict"])
def test_rows_of_different_lengths_are_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match="input 'X': the rows have different len"):
        to_tensors(value, MATRIX)


@pytest.mark.parametrize(
    "example",
    [
        np.ones((0, 2)),
        np.ones((2, 0)),
        [],
        FRAME.iloc[:0],
        {"a": np.ones((2, 1)), "b": np.ones((0, 1))},
        {"a": np.ones((2, 0)), "b": np.ones((1, 0))},
    ],
    ids=["no-rows", "no-columns", "list", "frame", "one-input", "all-inputs"],
)
def test_an_example_without_rows_is_refused(example: Any) -> None:
    with pytest.raises(InvalidRequestError, match="example has no rows"):
        check_rows(example)


def test_one_of_several_inputs_may_be_empty() -> None:
    check_rows({"tokens": np.ones((1, 3)), "cache": np.ones((1, 8, 0, 64))})


def deployed(directory: Path, **changes: Any) -> LocalLambda:
    """Return a function that serves a bundle with changes to its manifest."""
    bundle = scaling_bundle(directory)
    registry = Registry(str(directory / "registry"))
    pin = registry.publish(replace(bundle.manifest, **changes), bundle.files, {}).version.pin
    return LocalLambda(
        {"acme-fraud:prod": served(registry.store.uri, str(pin), directory / "scratch")}
    )


def test_a_deployed_model_takes_columns_by_the_names_of_the_push(tmp_path: Path) -> None:
    model = connect(
        "acme-fraud:prod", client=deployed(tmp_path, options={"columns": COLUMNS}).client
    )
    frame = pd.DataFrame(ROWS, columns=COLUMNS)
    for rows in (frame, frame[["income", "age"]], ROWS):
        np.testing.assert_array_equal(model.infer(rows)["Y"], 2 * ROWS)
    with pytest.raises(InvalidRequestError, match="column 'age' is missing"):
        model.infer(frame.rename(columns={"age": "years"}))


def test_the_users_metadata_cannot_set_the_columns(tmp_path: Path) -> None:
    local_lambda = deployed(tmp_path, metadata={"columns": ["other", "names"]})
    model = connect("acme-fraud:prod", client=local_lambda.client)
    assert "columns" not in model.metadata()["parameters"]
    answer = model.infer(pd.DataFrame(ROWS, columns=COLUMNS))
    np.testing.assert_array_equal(answer["Y"], 2 * ROWS)
