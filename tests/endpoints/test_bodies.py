"""Bodies of requests and answers have the rows and the numbers of the tensors."""

from __future__ import annotations

import numpy as np
import pytest

from shearling.endpoints.bodies import AnswerError, read_response, write_request
from shearling.errors import InvalidRequestError
from shearling.tensors.spec import Signature, TensorSpec


def read_csv(text: str, datatype: str) -> list[float]:
    """Return the numbers of an answer, one for each line, in the type of the only output."""
    output = TensorSpec(name="y", datatype=datatype, shape=(-1,))
    signature = Signature(
        inputs=(TensorSpec(name="X", datatype="FP64", shape=(-1,)),), outputs=(output,)
    )
    answers = read_response(text.encode(), "text/csv", signature, ["y"], text.count("\n") + 1)
    numbers: list[float] = answers["y"].tolist()
    return numbers


def test_each_row_of_a_csv_request_is_a_line() -> None:
    assert write_request("csv", {"X": np.array([[1, 2], [3, 4]])}, ["y"])[0] == b"1,2\n3,4"
    assert write_request("csv", {"X": np.array([1.5, 2.5])}, ["y"])[0] == b"1.5\n2.5"


def test_infinite_values_are_sent_unless_the_body_is_json() -> None:
    inputs = {"X": np.array([np.inf, np.nan])}
    assert write_request("csv", inputs, ["y"])[0] == b"inf\nnan"
    assert write_request("binary", inputs, ["y"])[0].endswith(inputs["X"].tobytes())
    with pytest.raises(InvalidRequestError, match=r"input 'X': .* JSON, which cannot carry"):
        write_request("json", inputs, ["y"])


def test_integers_of_a_csv_answer_keep_all_digits_and_may_be_written_as_floats() -> None:
    assert read_csv(f"{2**60 + 1}\n5.0", "INT64") == [2**60 + 1, 5]


@pytest.mark.parametrize(
    ("cell", "datatype"),
    [("1.7", "INT64"), ("nan", "INT64"), ("inf", "INT64"), ("300", "INT8"), ("-1", "UINT8")],
)
def test_a_number_of_a_csv_answer_that_its_type_cannot_hold_is_an_error(
    cell: str, datatype: str
) -> None:
    with pytest.raises(AnswerError, match="cannot be read"):
        read_csv(f"1\n{cell}", datatype)
