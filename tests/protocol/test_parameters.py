"""Parameters that would change the data or the answer are never ignored."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from shearling.errors import InvalidRequestError
from shearling.protocol.instances import parse_instances
from shearling.protocol.requests import parse_request
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from shearling.protocol.requests import InferRequest

SIGNATURE = Signature(
    inputs=(
        TensorSpec(name="X", datatype="FP32", shape=(-1, 1)),
        TensorSpec(name="text", datatype="BYTES", shape=(-1, 1)),
    ),
    outputs=(
        TensorSpec(name="label", datatype="INT64", shape=(-1,)),
        TensorSpec(name="score", datatype="FP32", shape=(-1,)),
    ),
)
TEXT_ONLY = Signature(inputs=SIGNATURE.inputs[1:], outputs=SIGNATURE.outputs)
X = {"name": "X", "datatype": "FP32", "shape": [1, 1], "data": [1.5]}
TEXT = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["grüße"]}


def asked(
    *,
    number: Any = None,
    text: Any = None,
    request: Any = None,
    output: Any = None,
    data: str = "grüße",
) -> InferRequest:
    """Parse a request with parameters of its number, its text, itself and its output."""
    document = {
        "inputs": [X | {"parameters": number}, TEXT | {"parameters": text, "data": [data]}],
        "parameters": request,
        "outputs": [{"name": "score", "parameters": output}],
    }
    return parse_request(document, SIGNATURE)


@pytest.mark.parametrize(
    "parameters",
    [
        {"text": {"content_type": "str"}},
        {"text": {"content_type": "np"}},
        {"number": {"content_type": "np"}},
        {"number": {"content_type": "pd"}, "request": {"content_type": "pd"}},
        {"request": {"content_type": "np"}, "output": {"content_type": "np"}},
        {"number": {"content_type": None}, "request": {"content_type": None}},
        {"request": {"priority": 1, "timeout": 500, "headers": {"a": "b"}, "of my own": [1]}},
        {"request": {"sequence_id": 0, "sequence_start": False}, "output": {"classification": 0}},
    ],
)
def test_parameters_that_change_nothing_are_accepted(parameters: dict[str, Any]) -> None:
    assert asked(**parameters).inputs["text"].tolist() == [["grüße"]]


def test_base64_is_decoded() -> None:
    data = base64.b64encode("grüße".encode()).decode()
    request = asked(text={"content_type": "base64"}, data=data)
    assert request.inputs["text"].tolist() == [["grüße"]]


def test_base64_in_binary_data_is_decoded() -> None:
    data = base64.b64encode(b"cat")
    place = {"content_type": "base64", "binary_data_size": len(data) + 4}
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "parameters": place}
    tail = len(data).to_bytes(4, "little") + data
    request = parse_request({"inputs": [tensor]}, TEXT_ONLY, tail)
    assert request.inputs["text"].tolist() == [["cat"]]


@pytest.mark.parametrize("data", ["cat!", "Y2F", "/w==", "ü"])
def test_what_is_not_text_in_base64_is_refused(data: str) -> None:
    with pytest.raises(InvalidRequestError, match=rf"inputs\[1\].data: '{data}' is not UTF-8 in"):
        asked(text={"content_type": "base64"}, data=data)


SHARED = {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": 8}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"text": {"content_type": "datetime"}}, "inputs[1].parameters.content_type: 'datetime'"),
        ({"text": {"content_type": ["np"]}}, "inputs[1].parameters.content_type: ['np'] is not"),
        ({"number": {"content_type": "base64"}}, "inputs[0].parameters.content_type: 'base64' is"),
        ({"number": {"content_type": "str"}}, "inputs[0].parameters.content_type: 'str' is for"),
        ({"request": {"content_type": "hf"}}, "parameters.content_type: 'hf' is not supported"),
        ({"request": {"content_type": "base64"}}, "parameters.content_type: 'base64' is not"),
        ({"request": {"content_type": "str"}}, "parameters.content_type: 'str' is for BYTES, but"),
        ({"output": {"content_type": "base64"}}, "outputs[0].parameters.content_type: 'base64'"),
        ({"output": {"classification": 3}}, "outputs[0].parameters.classification: not supported"),
        ({"output": {"class_count": 3}}, "outputs[0].parameters.class_count: not supported"),
        (
            {"request": {"sequence_id": "a"}},
            "parameters.sequence_id: not supported: leave it out, since",
        ),
        ({"request": {"sequence_end": True}}, "parameters.sequence_end: not supported"),
        *(
            ({place: {name: value}}, f".parameters.{name}: not supported: leave it out, and send")
            for name, value in SHARED.items()
            for place in ("number", "output")
        ),
        ({"request": {"binary_data": True}}, "parameters.binary_data: a parameter of an output"),
        ({"output": {"binary_data_output": True}}, "parameters.binary_data_output: a parameter of"),
        ({"output": {"binary_data_size": 3}}, "outputs[0].parameters.binary_data_size: a paramete"),
        ({"number": {"binary_data": True}}, "inputs[0].parameters.binary_data: a parameter of an"),
        ({"request": {"binary_data_size": 3}}, "parameters.binary_data_size: a parameter of an in"),
        (
            {"output": {"classes": True}},
            "outputs[0].parameters.classes: a parameter of the request",
        ),
        ({"number": {"classes": True}}, "inputs[0].parameters.classes: a parameter of the request"),
        ({"number": 3}, "inputs[0].parameters: 3 is not an object"),
    ],
)
def test_a_parameter_that_would_change_the_meaning_is_refused_by_name(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        asked(**parameters)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"request": {"class": True}}, "parameters: unknown key 'class'; did you mean 'classes'?"),
        ({"request": {"binary_data_outputs": True}}, "did you mean 'binary_data_output'?"),
        (
            {"number": {"contenttype": "np"}},
            "inputs[0].parameters: unknown key 'contenttype'; did you mean 'content_type'?",
        ),
        ({"output": {"binary_dat": True}}, "outputs[0].parameters: unknown key 'binary_dat'"),
    ],
)
def test_a_misspelt_parameter_is_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        asked(**parameters)
    assert message in str(caught.value)


def test_rows_have_the_parameters_of_a_request_too() -> None:
    rows = {"instances": [[1, "a"]]}
    with pytest.raises(InvalidRequestError, match="content_type: 'hf' is not supported"):
        parse_instances(rows | {"parameters": {"content_type": "hf"}}, SIGNATURE)
    with pytest.raises(InvalidRequestError, match=r"parameters.classification: not supported"):
        parse_instances(
            rows | {"outputs": [{"name": "score", "parameters": {"classification": 1}}]}, SIGNATURE
        )


def test_an_empty_list_of_outputs_means_all_of_them() -> None:
    document = {"inputs": [X, TEXT], "outputs": [], "parameters": {"binary_data_output": True}}
    request = parse_request(document, SIGNATURE)
    assert request.outputs == ("label", "score")
    assert request.binary == {"label", "score"}
    assert parse_instances({"instances": [[1, "a"]], "outputs": []}, SIGNATURE).outputs == (
        "label",
        "score",
    )
