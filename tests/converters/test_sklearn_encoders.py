"""Categories are encoded as by the original, and what it refuses is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import CategoricalNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, TargetEncoder

from shearling.errors import FormatError, InvalidRequestError
from shearling.protocol.requests import parse_request
from tests.support.datasets import served

COUNTRIES = ["de", "fr", "us", "at", "de", "fr"] * 10
FRAME = pd.DataFrame(
    {"country": COUNTRIES, "grade": np.arange(60) % 5, "member": [True, False] * 30}
)
TARGET = np.arange(60) % 2
UNSEEN = pd.DataFrame(
    {"country": ["nl", "de", "", "DE"], "grade": [1, 9, -1, 3], "member": [True, False] * 2}
)


def dense(encoded: Any) -> Any:
    return encoded.toarray() if hasattr(encoded, "toarray") else np.asarray(encoded)


@pytest.mark.filterwarnings("ignore:Found unknown categories:UserWarning")
@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(handle_unknown="ignore", drop="first", sparse_output=False),
        OneHotEncoder(handle_unknown="ignore", drop="if_binary"),
        OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=11),
        OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2, drop="first"),
        OneHotEncoder(handle_unknown="warn", min_frequency=11),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-5, max_categories=3),
        TargetEncoder(random_state=0),
    ],
    ids=str,
)
def test_known_and_unknown_categories_are_encoded_like_by_the_original(encoder: Any) -> None:
    encoder.fit(FRAME, TARGET)
    loaded = served(encoder, FRAME)
    for rows in (FRAME, UNSEEN):
        expected = dense(encoder.transform(rows))
        np.testing.assert_allclose(loaded.predict(rows)["output"], expected, atol=1e-6)


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()], ids=str)
def test_the_contract_lists_the_known_categories_where_the_original_refuses_others(
    encoder: Any,
) -> None:
    loaded = served(make_pipeline(encoder, LogisticRegression()).fit(FRAME, TARGET), FRAME)
    categories = {spec.name: spec.categories for spec in loaded.signature.inputs}
    assert categories == {
        "country": (("at", "de", "fr", "us"),),
        "grade": ((0, 1, 2, 3, 4),),
        "member": ((False, True),),
    }
    row = {"country": "ux", "grade": 1, "member": True}
    request = {
        "inputs": [
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": [1, 1],
                "data": [row[spec.name]],
            }
            for spec in loaded.signature.inputs
        ]
    }
    with pytest.raises(InvalidRequestError, match=r"'ux'.*'us'"):
        parse_request(request, loaded.signature)


def test_the_columns_of_one_matrix_have_categories_each() -> None:
    rows = FRAME[["grade", "member"]].to_numpy().astype(np.float32)
    columns = ColumnTransformer([("grade", OneHotEncoder(), [0])], remainder="passthrough")
    loaded = served(make_pipeline(columns, LogisticRegression()).fit(rows, TARGET), rows)
    assert loaded.signature.inputs[0].categories == ((0.0, 1.0, 2.0, 3.0, 4.0), None)


def test_two_encoders_of_one_column_know_what_both_know() -> None:
    columns = ColumnTransformer(
        [
            ("all", OneHotEncoder(), ["country"]),
            ("two", OneHotEncoder(categories=[["at", "de", "fr", "us", "nl"]]), ["country"]),
            ("any", OneHotEncoder(handle_unknown="ignore"), ["grade"]),
        ]
    )
    loaded = served(columns.fit(FRAME), FRAME)
    specs = loaded.signature.by_name
    assert specs["country"].categories == (("at", "de", "fr", "us"),)
    assert specs["grade"].categories is None


@pytest.mark.filterwarnings("ignore:values of input 'X' that the example does not have:UserWarning")
def test_a_category_that_an_earlier_step_makes_is_refused() -> None:
    rows = np.arange(60, dtype=np.float32).reshape(-1, 1)
    model = make_pipeline(SimpleImputer(), OneHotEncoder()).fit(rows % 5)
    loaded = served(model, rows % 5)
    with pytest.raises(Exception, match="out of data bounds"):
        loaded.predict(rows + 100)


def test_bins_are_encoded_like_by_the_original() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    bins = KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf")
    model = make_pipeline(bins, OneHotEncoder(handle_unknown="ignore")).fit(rows)
    answer = served(model, rows).predict(rows * 3)["output"]
    np.testing.assert_array_equal(answer, model.transform(rows * 3).toarray())


def test_missing_numbers_may_be_a_category() -> None:
    rows = (np.arange(60, dtype=np.float32) % 4).reshape(-1, 1)
    rows[::7] = np.nan
    model = OneHotEncoder(handle_unknown="ignore").fit(rows)
    asked = np.array([[np.nan], [2.0], [9.0]], np.float32)
    answer = served(model, rows).predict(asked)["output"]
    np.testing.assert_array_equal(answer, model.transform(asked).toarray())


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()], ids=str)
def test_an_unseen_number_is_refused_by_name_where_a_missing_one_is_a_category(
    encoder: Any,
) -> None:
    rows = (np.arange(60, dtype=np.float32) % 4).reshape(-1, 1)
    rows[::7] = np.nan
    loaded = served(encoder.fit(rows), rows)
    assert repr(loaded.signature.inputs[0].categories) == "((0.0, 1.0, 2.0, 3.0, nan),)"
    with pytest.raises(
        InvalidRequestError,
        match=r"row 1, column 'X': 9\.0 is not .* nearest is 3\.0 .*3\.0, a missing value\)",
    ):
        loaded.predict(np.array([[np.nan], [9.0]], np.float32))
    asked = np.array([[np.nan], [2.0]], np.float32)
    np.testing.assert_array_equal(loaded.predict(asked)["output"], dense(encoder.transform(asked)))


@pytest.mark.parametrize("form", [np.float32, np.int64])
@pytest.mark.parametrize("fewest", [None, 5])
def test_a_bayes_model_of_categories_lists_them(form: Any, fewest: int | None) -> None:
    rows = np.stack([np.arange(60) % 3, np.arange(60) % 4], axis=1).astype(form)
    model = CategoricalNB(min_categories=fewest).fit(rows, TARGET)
    loaded = served(model, rows)
    counts = [5, 5] if fewest else [3, 4]
    known = tuple(tuple(map(float, range(count))) for count in counts)
    assert loaded.signature.inputs[0].categories == known
    answers = loaded.predict(rows)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=1e-5)
    for unseen in (-1, 7):
        with pytest.raises(InvalidRequestError, match=rf"row 0, column 1 .*{unseen}.* nearest is"):
            loaded.predict(np.array([[1, unseen]]))


def test_a_bayes_model_of_named_columns_lists_their_categories() -> None:
    frame = pd.DataFrame({"a": np.arange(60) % 3, "b": [True, False] * 30})
    columns = ColumnTransformer([("all", "passthrough", ["a", "b"])])
    model = make_pipeline(columns, CategoricalNB()).fit(frame, TARGET)
    loaded = served(model, frame)
    assert loaded.signature.by_name["a"].categories == ((0, 1, 2),)
    expected = model.predict_proba(frame)
    np.testing.assert_allclose(loaded.predict(frame)["probabilities"], expected, atol=1e-5)


def test_a_bayes_model_whose_example_has_fractions_takes_them() -> None:
    rows = np.stack([np.arange(60) % 3, np.arange(60) % 4 + 0.5], axis=1).astype(np.float32)
    model = CategoricalNB().fit(rows, TARGET)
    loaded = served(model, rows)
    assert loaded.signature.inputs[0].categories == ((0.0, 1.0, 2.0), None)
    answers = loaded.predict(rows)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=1e-5)


def test_two_encoders_of_one_column_know_its_missing_values() -> None:
    rows = (np.arange(60, dtype=np.float32) % 4).reshape(-1, 1)
    rows[::7] = np.nan
    steps = [("one", OneHotEncoder(), [0]), ("two", OrdinalEncoder(), [0])]
    loaded = served(ColumnTransformer(steps).fit(rows), rows)
    assert repr(loaded.signature.inputs[0].categories) == "((0.0, 1.0, 2.0, 3.0, nan),)"


def test_categories_that_are_equal_as_32_bit_floats_are_refused() -> None:
    rows = np.array([[1.0], [1.0 + 1e-12]] * 10)
    with pytest.raises(FormatError, match="two categories are the same 32-bit float"):
        served(OneHotEncoder().fit(rows), rows)


def test_numbers_of_dtype_object_are_numbers() -> None:
    frame = FRAME[["country"]].assign(grade=pd.Series(FRAME["grade"].tolist(), dtype=object))
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model.fit(frame, TARGET)
    loaded = served(model, frame)
    assert [spec.datatype for spec in loaded.signature.inputs] == ["BYTES", "INT64"]
    expected = model.predict_proba(frame)
    np.testing.assert_allclose(loaded.predict(frame)["probabilities"], expected, atol=1e-5)
