"""A bundle answers infinite values like the original model, or refuses them."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from shearling.bundle.json_reader import Field
from shearling.bundle.signatures import read_signature, signature_document
from shearling.cli.contract import contract_facts
from shearling.errors import BundleError, InvalidRequestError
from shearling.models.load import load_model
from shearling.models.push import push_model
from shearling.protocol.binary import raw_request
from shearling.protocol.csv_rows import parse_csv
from shearling.protocol.requests import parse_request
from shearling.tensors.spec import Signature, TensorSpec
from tests.support.bundles import scaling_graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.registry.registry import Registry

ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
TARGET = ROWS[:, 0] * 2 - ROWS[:, 1]
INFINITE = np.repeat(ROWS[:1], 2, axis=0)
INFINITE[:, 1] = [np.inf, -np.inf]


@pytest.mark.parametrize(
    ("model", "labels"),
    [
        (LinearRegression(), TARGET),
        (LogisticRegression(), TARGET > 0),
        (RandomForestRegressor(5, random_state=0), TARGET),
    ],
    ids=lambda value: type(value).__name__,
)
def test_infinite_values_that_the_original_refuses_are_refused_by_the_contract(
    model: Any, labels: Any, registry: Registry
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        push_model(model.fit(ROWS, labels), "fraud", example=ROWS, registry=registry)
    loaded = load_model("fraud", registry=registry)
    for row, value in enumerate(["inf", "-inf"]):
        with pytest.raises(InvalidRequestError) as caught:
            loaded.predict(np.concatenate([ROWS[:row], INFINITE[row:]]))
        assert str(caught.value) == (
            f"input 'X': the value at [{row}, 1] is {value}, but the model accepts no infinite "
            "values in input 'X': replace it by a number"
        )


def test_infinite_values_that_the_original_answers_are_answered(registry: Registry) -> None:
    model = HistGradientBoostingRegressor(max_iter=5).fit(ROWS, TARGET)
    push_model(model, "fraud", example=ROWS, registry=registry)
    answers = load_model("fraud", registry=registry).predict(INFINITE)["prediction"]
    np.testing.assert_allclose(answers.ravel(), model.predict(INFINITE), rtol=1e-4)


def test_a_graph_is_its_own_reference_and_answers_infinite_values(registry: Registry) -> None:
    push_model(scaling_graph(), "fraud", example=ROWS[:, :2], registry=registry)
    assert not load_model("fraud", registry=registry).signature.inputs[0].finite


FINITE = TensorSpec(name="X", datatype="FP32", shape=(-1, 2), finite=True)
SIGNATURE = Signature(inputs=(FINITE,), outputs=(replace(FINITE, finite=False),))
SINGLE, DOUBLE = (np.array([[1, -np.inf]], dtype).tobytes() for dtype in ("<f4", "<f8"))


def binary(datatype: str, size: int) -> dict[str, Any]:
    tensor = {"name": "X", "datatype": datatype, "shape": [1, 2]}
    return {"inputs": [tensor | {"parameters": {"binary_data_size": size}}]}


@pytest.mark.parametrize(
    "ask",
    [
        lambda: parse_request(binary("FP32", 8), SIGNATURE, SINGLE),
        lambda: parse_request(binary("FP64", 16), SIGNATURE, DOUBLE),
        lambda: raw_request(SINGLE, SIGNATURE),
        lambda: parse_csv("1,-inf\n", SIGNATURE),
    ],
    ids=["binary", "other-datatype", "raw", "csv"],
)
def test_an_infinite_value_in_any_encoding_that_has_it_is_refused(
    ask: Callable[[], object],
) -> None:
    with pytest.raises(InvalidRequestError, match=r"at \[0, 1\] is -inf, but the model accepts no"):
        ask()


@pytest.mark.parametrize("data", ["[1, -1e400]", "[[1, -1e400]]"])
def test_a_number_that_lambda_decodes_as_infinite_is_refused(data: str) -> None:
    tensor = f'{{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": {data}}}'
    event = json.loads(f'{{"inputs": [{tensor}]}}')
    with pytest.raises(InvalidRequestError, match=r"at \[0, 1\] is -inf, but the model accepts no"):
        parse_request(event, SIGNATURE)


def test_the_command_shows_which_inputs_refuse_infinite_values() -> None:
    assert contract_facts(SIGNATURE, ()) == [("finite", "X: infinite values are refused")]


def test_missing_values_are_another_matter() -> None:
    assert np.isnan(parse_csv("1,\n", SIGNATURE).inputs["X"][0, 1])


def test_the_manifest_says_only_what_differs_and_is_read_strictly() -> None:
    document: Any = signature_document(SIGNATURE)
    assert read_signature(Field(document, "signature")) == SIGNATURE
    assert document["inputs"][0]["finite"] is True
    assert "finite" not in document["outputs"][0]
    document["inputs"][0]["finite"] = 1
    with pytest.raises(BundleError, match="true or false"):
        read_signature(Field(document, "signature"))
