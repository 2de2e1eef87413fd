"""Which changes of a contract break callers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.bundle.contract import Contract
from shearling.bundle.contract_changes import contract_changes
from shearling.protocol.binary import request_body
from shearling.protocol.constants import split
from shearling.protocol.requests import parse_request
from shearling.tensors.dtypes import DTYPES
from shearling.tensors.spec import Signature, TensorSpec

AGE = TensorSpec(name="age", datatype="FP32", shape=(-1, 1))
CITY = TensorSpec(name="city", datatype="BYTES", shape=(-1, 1))
LABEL = TensorSpec(name="label", datatype="INT64", shape=(-1,))
SCORES = TensorSpec(name="scores", datatype="FP32", shape=(-1, 2), classes=("no", "yes"))


def contract(*inputs: TensorSpec, outputs: Any = (LABEL, SCORES), **more: Any) -> Contract:
    is_complete, columns = more.pop("is_complete", True), more.pop("columns", ())
    signature = Signature(inputs=inputs or (AGE, CITY), outputs=outputs, **more)
    return Contract(signature=signature, columns=columns, is_complete=is_complete)


def effects(before: Contract, after: Contract) -> list[str]:
    return [change.effect for change in contract_changes(before, after)]


def told(before: Contract, after: Contract) -> str:
    return "\n".join(map(str, contract_changes(before, after)))


def test_equal_contracts_do_not_differ() -> None:
    assert contract_changes(contract(), contract()) == ()


def cities(*values: str | float | None) -> TensorSpec:
    return replace(CITY, categories=(values,))  # type: ignore[arg-type]


TWO, NAMED = replace(AGE, shape=(-1, 2)), {"columns": ("a", "b")}


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (
            contract(AGE),
            contract(replace(AGE, datatype="INT64")),
            "input 'age': FP32 -> INT64 (refuses values that INT64 does not have, such as 0.5)",
        ),
        (
            contract(replace(AGE, datatype="INT64")),
            contract(AGE),
            "input 'age': INT64 -> FP32 (refuses values that FP32 does not have, such as 16777217)",
        ),
        (contract(AGE), contract(), "input: 'city' BYTES[-1, 1] added"),
        (contract(), contract(AGE), "BYTES[-1, 1] removed (requests with it are refused)"),
        (contract(AGE), contract(replace(AGE, name="years")), "input: 'age' -> 'years' (renamed)"),
        (contract(), contract(CITY, AGE), "inputs: 'age', 'city' -> 'city', 'age'"),
        (contract(AGE), contract(replace(AGE, nullable=False)), "missing values refused"),
        (contract(AGE), contract(replace(AGE, finite=True)), "infinite values refused"),
        (contract(AGE), contract(TWO), "input 'age': [-1, 1] -> [-1, 2] (refuses arrays of other"),
        (contract(AGE), contract(replace(AGE, shape=(1, 1))), "[-1, 1] -> [1, 1]"),
        (contract(AGE), contract(replace(AGE, shape=(-1,))), "[-1, 1] -> [-1]"),
        (
            contract(cities("Rome", "Paris")),
            contract(cities("Paris", "Oslo")),
            "categories of input 'city': 'Rome', 'Paris' -> 'Paris', 'Oslo' (refuses 'Rome')",
        ),
        (contract(cities(math.nan)), contract(cities("x")), "refuses nan"),
        (contract(CITY), contract(cities("Rome")), "any value -> 'Rome' (refuses other values)"),
        (
            contract(replace(TWO, categories=((1.0,), None))),
            contract(replace(TWO, categories=((1.0,), (2.0,))), columns=("a", "b")),
            "categories of column 'b': any value -> 2.0",
        ),
        (
            contract(TWO, **NAMED),
            contract(TWO, columns=("b", "a")),
            "columns: 'a', 'b' -> 'b', 'a' (values that are sent without names",
        ),
        (contract(TWO, **NAMED), contract(TWO, columns=("a", "c")), "columns: 'b' -> 'c'"),
        (contract(TWO, **NAMED), contract(TWO), "columns: 'a', 'b' -> no names"),
        (contract(), contract(outputs=(LABEL,)), "'scores' FP32[-1, 2] removed (answers lack it)"),
        (contract(outputs=(LABEL,)), contract(), "added (predictions become objects"),
        (
            contract(),
            contract(outputs=(LABEL, replace(SCORES, name="odds"))),
            "output: 'scores' -> 'odds' (renamed)",
        ),
        (
            contract(),
            contract(outputs=(replace(LABEL, datatype="INT32"), SCORES)),
            "output 'label': INT64 -> INT32",
        ),
        (
            contract(),
            contract(outputs=(LABEL, replace(SCORES, classes=("yes", "no")))),
            "classes of output 'scores': 'no', 'yes' -> 'yes', 'no'",
        ),
        (
            contract(outputs=(replace(SCORES, classes=(0, 1)),)),
            contract(outputs=(replace(SCORES, classes=(False, True)),)),
            "0, 1 -> False, True",
        ),
        (
            contract(),
            contract(outputs=(LABEL, replace(SCORES, classes=None))),
            "'no', 'yes' removed",
        ),
        (
            contract(),
            contract(outputs=(LABEL, replace(SCORES, shape=(-1, 3), classes=None))),
            "output 'scores': [-1, 2] -> [-1, 3]",
        ),
        (contract(), contract(independent_rows=False), "`infer_many` cannot split rows"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_accepts_less_or_answers_otherwise_breaks_callers(
    before: Contract, after: Contract, text: str
) -> None:
    assert text in told(before, after)
    assert "breaking" in effects(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (contract(replace(AGE, datatype="INT32")), contract(replace(AGE, datatype="FP64"))),
        (contract(replace(AGE, nullable=False)), contract(AGE)),
        (contract(replace(AGE, finite=True)), contract(AGE)),
        (contract(replace(AGE, shape=(5, 1))), contract(AGE)),
        (contract(cities("Rome")), contract(cities("Rome", "Oslo"))),
        (contract(cities("Rome")), contract(CITY)),
        (contract(TWO), contract(TWO, **NAMED)),
        (contract(), contract(outputs=(LABEL, SCORES, replace(LABEL, name="more")))),
        (
            contract(outputs=(LABEL, replace(SCORES, classes=None))),
            contract(),
        ),
        (
            contract(outputs=(replace(LABEL, shape=(-1, -1)),)),
            contract(outputs=(replace(LABEL, shape=(-1, 2)),)),
        ),
        (contract(independent_rows=False), contract()),
    ],
)
def test_what_accepts_more_or_says_more_does_not_break_callers(
    before: Contract, after: Contract
) -> None:
    assert set(effects(before, after)) <= {"compatible"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (contract(CITY, is_complete=False), contract(cities("Rome"))),
        (contract(is_complete=False), contract(independent_rows=False)),
        (contract(), contract(outputs=(LABEL, replace(SCORES, classes=None)), is_complete=False)),
    ],
)
def test_what_an_older_bundle_does_not_record_is_unknown(before: Contract, after: Contract) -> None:
    assert effects(before, after) == ["unknown"]


NUMBERS = sorted(set(DTYPES) - {"BYTES"})


@given(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), st.data())
def test_a_client_typed_by_the_former_datatype_is_answered_if_the_change_is_compatible(
    former: str, latter: str, data: st.DataObject
) -> None:
    after = contract(replace(AGE, datatype=latter))
    if "breaking" in effects(contract(replace(AGE, datatype=former)), after):
        return
    array = np.array([[data.draw(values_of(DTYPES[former]))]], DTYPES[former])
    body, length = request_body({"age": array})
    document, tail = split(body, str(len(body) if length is None else length))
    answered = parse_request(json.loads(document), after.signature, tail).inputs["age"]
    # As Python's numbers, since two integers of 64 bits may be equal as floats.
    assert repr(type(array.item())(answered.item())) == repr(array.item())


def values_of(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
    match dtype.kind:
        case "f":
            return st.floats(width=8 * dtype.itemsize)  # type: ignore[arg-type]
        case "b":
            return st.booleans()
    limits = np.iinfo(dtype)
    return st.integers(int(limits.min), int(limits.max))


def test_a_long_list_of_categories_is_cut() -> None:
    text = told(contract(cities(*map(str, range(100)))), contract(cities("x" * 1000)))
    assert "and 94 more" in text
    assert len(text) < 400


def test_a_version_of_an_older_push_did_not_promise_to_answer_infinite_values() -> None:
    older = replace(contract(AGE), is_complete=False)
    assert effects(older, contract(replace(AGE, finite=True))) == ["unknown"]
