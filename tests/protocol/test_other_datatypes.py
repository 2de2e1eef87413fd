"""A client typed by an older version of the model goes on, as long as no value changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shearling.errors import InvalidRequestError
from shearling.protocol.requests import parse_request
from shearling.tensors.dtypes import DTYPES, datatype_of
from shearling.tensors.encoding import to_bytes
from shearling.tensors.exact import converted_exactly
from shearling.tensors.spec import Signature, TensorSpec
from tests.support.attack import attack

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABEL = TensorSpec(name="label", datatype="INT64", shape=(-1,))


def signature(datatype: str, **fields: Any) -> Signature:
    spec = TensorSpec(name="X", datatype=datatype, shape=(-1,), **fields)
    return Signature(inputs=(spec,), outputs=(LABEL,))


def sent(datatype: str, data: list[Any], wanted: Signature) -> NDArray[Any]:
    tensor = {"name": "X", "datatype": datatype, "shape": [len(data)], "data": data}
    return parse_request({"inputs": [tensor]}, wanted).inputs["X"]


@pytest.mark.parametrize(
    ("datatype", "data", "wanted"),
    [
        ("FP32", [2.0, -3.0], "INT64"),
        ("FP64", [2.0, 3], "INT8"),
        ("INT64", [2, 16_777_216], "FP32"),
        ("INT64", [2**53], "FP64"),
        ("INT32", [5], "INT64"),
        ("INT64", [200], "UINT8"),
        ("FP64", [0.5, None], "FP32"),
        ("FP32", [0.5, None], "FP64"),
        ("FP32", [0.5], "FP16"),
        ("BOOL", [True, False], "INT64"),
        ("BOOL", [True], "FP32"),
        ("INT64", [1, 0], "BOOL"),
        ("FP32", [1.0, 0.0], "BOOL"),
        ("FP32", [], "INT64"),
    ],
)
def test_values_that_fit_exactly_are_accepted(datatype: str, data: list[Any], wanted: str) -> None:
    array = sent(datatype, data, signature(wanted))
    assert array.dtype == DTYPES[wanted]
    expected = [np.nan if value is None else value for value in data]
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("datatype", "data", "wanted", "message"),
    [
        ("FP32", [2.0, 2.5], "INT64", r"2.5 at \[1\] is not INT64"),
        ("FP32", [None], "INT64", "nan is not INT64; only inputs of floats accept missing"),
        ("INT64", [16_777_217], "FP32", "16777217 would change, because input 'X' is FP32: send"),
        ("INT64", [2**53 + 1], "FP64", "9007199254740993 would change"),
        ("INT64", [2**63 - 1], "FP64", "9223372036854775807 would change"),
        ("UINT64", [2**64 - 1], "FP32", "18446744073709551615 would change"),
        ("FP64", [0.5, 0.1], "FP32", r"0.1 at \[1\] would change"),
        ("FP64", [1e300], "FP32", "out of range"),
        ("INT64", [300], "UINT8", "300 is not UINT8"),
        ("INT64", [2], "BOOL", "2 is not BOOL"),
        ("FP64", [1.0, 0.5], "BOOL", r"0.5 at \[1\] is not BOOL"),
        ("FP64", [1.0, None], "BOOL", r"nan at \[1\] is not BOOL"),
        ("INT64", [2.5], "FP32", "2.5 is not INT64"),
        ("FP16", [1], "FP32", "JSON cannot carry FP16"),
    ],
)
def test_a_value_that_would_change_is_refused_by_name(
    datatype: str, data: list[Any], wanted: str, message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=rf"^inputs\[0\].data: .*{message}"):
        sent(datatype, data, signature(wanted))


def test_the_contract_of_the_input_still_holds() -> None:
    with pytest.raises(InvalidRequestError, match="the model accepts no missing values"):
        sent("FP64", [0.5, None], signature("FP32", nullable=False))
    known = signature("INT64", categories=((1, 2),))
    assert sent("FP32", [2.0], known).tolist() == [2]
    with pytest.raises(InvalidRequestError, match="row 0, column 'X': 3 is not a category"):
        sent("FP32", [3.0], known)


def test_binary_data_may_have_the_other_datatype_too() -> None:
    data = to_bytes(np.array([1.5, 2.0]))
    tensor = {
        "name": "X",
        "datatype": "FP64",
        "shape": [2],
        "parameters": {"binary_data_size": len(data)},
    }
    array = parse_request({"inputs": [tensor]}, signature("FP32"), data).inputs["X"]
    assert array.dtype == np.float32
    assert array.tolist() == [1.5, 2.0]


NUMBERS = sorted(DTYPES.keys() - {"BYTES"})


@settings(max_examples=attack(300))
@given(data=st.data(), before=st.sampled_from(NUMBERS), after=st.sampled_from(NUMBERS))
def test_a_number_is_never_changed(data: st.DataObject, before: str, after: str) -> None:
    array = data.draw(arrays.arrays(DTYPES[before], 3))
    spec = TensorSpec(name="X", datatype=after, shape=(-1,))
    try:
        found = converted_exactly(array, spec, "X")
    except InvalidRequestError:
        return
    assert datatype_of(found) == after
    for old, new in zip(array.tolist(), found.tolist(), strict=True):
        assert old == new or (old != old and new != new)  # noqa: PLR0124 - NaN stays NaN
