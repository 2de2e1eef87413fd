"""A pickle gets the DataFrame that its push was shown, as far as a request can carry it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from shearling.errors import FormatError, InvalidRequestError
from shearling.models.push import push_model
from tests.support.bundles import ROWS
from tests.support.datasets import load_pinned

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from shearling.models.load import LoadedModel
    from shearling.registry.registry import Registry

FRAME = pd.DataFrame(
    {
        "colour": pd.Categorical(["red", "blue", "red"], categories=["red", "green", "blue"]),
        "size": pd.Categorical(["S", "L", "M"], categories=["S", "M", "L"], ordered=True),
        "amount": [1.0, 2.0, 3.0],
        "count": pd.array([4, 5, 6], "Int64"),
    }
)


def pushed(model: Any, example: Any, registry: Registry) -> LoadedModel:
    version = push_model(model, "odd", example=example, format="cloudpickle", registry=registry)
    return load_pinned(version, registry)


@pytest.mark.parametrize(
    "model",
    [
        lambda frame: frame["colour"].cat.codes.to_numpy(),
        lambda frame: frame.select_dtypes("category").shape[1] + frame["amount"].to_numpy(),
        lambda frame: pd.get_dummies(frame["colour"]).to_numpy().astype(float),
        lambda frame: (frame["size"] > "S").to_numpy(),
        lambda frame: frame.select_dtypes("Int64").sum(axis=1).to_numpy(float),
    ],
    ids=["codes", "select_dtypes", "get_dummies", "ordered", "nullable-integers"],
)
def test_column_types_and_categories_survive(
    registry: Registry, model: Callable[[Any], NDArray[Any]]
) -> None:
    loaded = pushed(model, FRAME, registry)
    for rows in (FRAME, FRAME[1:2]):  # a single row does not have all categories
        np.testing.assert_array_equal(loaded.predict(rows)["output"], model(rows))


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        (
            FRAME.assign(colour=pd.Categorical([None] * 3)),
            "'colour' has .* category, but no category",
        ),
        (pl.DataFrame({"amount": [1.0, 2.0]}), r"polars's DataFrame: pass example\.to_pandas\(\)"),
    ],
    ids=["no-category", "polars"],
)
def test_a_frame_that_no_request_can_carry_is_refused(
    registry: Registry, example: Any, problem: str
) -> None:
    with pytest.raises(FormatError, match=problem):
        pushed(lambda frame: frame["amount"].to_numpy(), example, registry)


def test_an_unknown_category_is_refused(registry: Registry) -> None:
    loaded = pushed(lambda frame: frame["colour"].cat.codes.to_numpy(), FRAME, registry)
    assert loaded.signature.by_name["colour"].categories == (("red", "green", "blue"),)
    other = FRAME.astype({"colour": object}).assign(colour="violet")
    with pytest.raises(InvalidRequestError, match="'violet' is not a category"):
        loaded.predict(other)


def test_integer_column_names_survive(registry: Registry) -> None:
    frame = pd.DataFrame(ROWS)
    loaded = pushed(lambda frame: frame[0] + frame[1], frame, registry)
    np.testing.assert_array_equal(loaded.predict(frame)["output"], ROWS.sum(axis=1))


@pytest.mark.parametrize(
    ("model", "index"),
    [
        (lambda frame: frame.index.to_numpy(), [10, 20, 30]),
        (
            lambda frame: frame.index.get_level_values("id").to_numpy(),
            pd.Index([0, 1, 2], name="id"),
        ),
    ],
    ids=["values", "name"],
)
def test_a_model_that_reads_the_index_is_refused_with_the_reason(
    registry: Registry, model: Any, index: Any
) -> None:
    with pytest.raises(
        FormatError, match=r"Nothing was published.*what the model reads from the index"
    ):
        push_model(
            model, "odd", example=FRAME.set_axis(index), format="cloudpickle", registry=registry
        )
    assert registry.models() == []


def test_a_plain_frame_with_another_index_is_accepted(registry: Registry) -> None:
    loaded = pushed(lambda frame: frame["amount"] * 2, FRAME.set_axis([7, 8, 9]), registry)
    assert loaded.predict(FRAME)["output"].tolist() == [2.0, 4.0, 6.0]


def test_columns_have_the_order_of_the_example_in_any_order_of_a_request(
    registry: Registry,
) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 5.0]})
    loaded = pushed(lambda frame: frame.to_numpy()[:, 0], frame, registry)
    inputs = {name: frame[[name]].to_numpy() for name in ("b", "a")}
    answer = loaded._predictor.predict(inputs, ["output"])["output"]
    assert answer.tolist() == [1.0, 2.0]


def test_a_pickle_that_refuses_missing_values_refuses_them_in_its_contract(
    registry: Registry,
) -> None:
    def total(rows: NDArray[Any]) -> NDArray[Any]:
        if np.isnan(rows).any():
            raise ValueError("a value is missing")
        return np.asarray(rows.sum(axis=1))

    loaded = pushed(total, ROWS, registry)
    with pytest.raises(InvalidRequestError, match="is missing, but the model accepts no"):
        loaded.predict(np.full((1, 2), np.nan, np.float32))


def test_a_pickle_that_answers_missing_values_accepts_them(registry: Registry) -> None:
    loaded = pushed(lambda rows: np.nan_to_num(rows).sum(axis=1), ROWS, registry)
    assert loaded.predict(np.array([[np.nan, 2]], np.float32))["output"].tolist() == [2.0]
