"""Requests of the Open Inference Protocol v2, and the fields that errors name."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from shearling.errors import InvalidRequestError
from shearling.protocol.requests import parse_request, request_document, tensor_document
from shearling.protocol.responses import answer, read_answer
from shearling.tensors.conversion import check_array, convert, packed
from shearling.tensors.dtypes import DTYPES, datatype_of
from shearling.tensors.encoding import from_bytes, to_bytes
from shearling.tensors.json_values import array_of_values
from shearling.tensors.spec import DATATYPES, Signature, TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


def spec(name: str, datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=shape)


SIGNATURE = Signature(
    inputs=(spec("X", "FP32", -1, 2), spec("id", "INT64", -1), spec("country", "BYTES", -1, 1)),
    outputs=(spec("label", "INT64", -1), spec("score", "FP32", -1)),
)
X = {"name": "X", "datatype": "FP32", "shape": [2, 2], "data": [1, 2.5, 3, None]}
ID = {"name": "id", "datatype": "INT64", "shape": [2], "data": [7, 8]}
COUNTRY = {"name": "country", "datatype": "BYTES", "shape": [2, 1], "data": [["de"], ["fr"]]}
REQUEST = {"id": "r-1", "inputs": [ID, X, COUNTRY]}


def one(datatype: str, data: object, *shape: int, wanted: tuple[int, ...] = ()) -> NDArray[Any]:
    """Parse a request of one tensor."""
    signature = Signature(
        inputs=(spec("X", datatype, *(wanted or [-1] * len(shape))),), outputs=SIGNATURE.outputs
    )
    tensor = {"name": "X", "datatype": datatype, "shape": list(shape), "data": data}
    return parse_request({"inputs": [tensor]}, signature).inputs["X"]


# Requests


def test_a_request_that_fits_gives_an_array_for_every_input() -> None:
    request = parse_request(REQUEST, SIGNATURE)
    assert request.id == "r-1"
    assert request.outputs == ("label", "score")
    np.testing.assert_array_equal(
        request.inputs["X"], np.array([[1, 2.5], [3, np.nan]], np.float32)
    )
    assert request.inputs["X"].dtype == np.float32
    assert request.inputs["id"].tolist() == [7, 8]
    assert request.inputs["country"].tolist() == [["de"], ["fr"]]


def test_nested_and_flat_data_are_the_same() -> None:
    flat = one("FP32", [1, 2, 3, 4], 2, 2)
    np.testing.assert_array_equal(flat, one("FP32", [[1, 2], [3, 4]], 2, 2))


def test_only_the_wanted_outputs_are_answered_and_in_the_wanted_order() -> None:
    request = parse_request({**REQUEST, "outputs": [{"name": "score"}]}, SIGNATURE)
    assert request.outputs == ("score",)
    both = parse_request({**REQUEST, "outputs": [{"name": "score"}, {"name": "label"}]}, SIGNATURE)
    assert both.outputs == ("score", "label")


def test_a_request_may_have_no_rows() -> None:
    assert one("FP32", [], 0, 2).shape == (0, 2)
    assert one("BYTES", [], 0, 1).shape == (0, 1)


def test_parameters_and_other_fields_are_ignored() -> None:
    document = {**REQUEST, "parameters": {"a": 1}, "more": 2}
    assert parse_request(document, SIGNATURE).id == "r-1"


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("UINT64", [0, 2**64 - 1]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("INT8", [-128, 127]),
        ("UINT8", [0, 255]),
        ("BOOL", [True, False, True]),
        ("FP64", [1e308, 5e-324, 2**80]),
        ("BYTES", ["", "ü", "a\0b"]),
    ],
)
def test_the_extremes_of_a_datatype_arrive_exactly(datatype: str, data: list[Any]) -> None:
    array = one(datatype, data, len(data))
    assert array.dtype == DTYPES[datatype]
    assert array.tolist() == data


def test_zeros_and_ones_are_booleans() -> None:
    assert one("BOOL", [0, 1], 2).tolist() == [False, True]


def without(key: str, tensor: dict[str, Any] = X) -> dict[str, Any]:
    return {name: value for name, value in tensor.items() if name != key}


@pytest.mark.parametrize(
    ("document", "field", "expectation"),
    [
        (None, "the request is not an object but null", '{"instances": [{"X": ..., "id": ...'),
        ([X], "the request is not an object but a list", '{"instances": [{"X": ..., "id": ...'),
        ({}, "the request has no `instances` or `inputs`", '{"instances": [{"X": ..., "id": ...'),
        ({"id": 1, "X": [1, 2]}, "id: 1", "not a string"),
        ({"X": [1, 2]}, "the request is a row", 'send rows as {"instances": [{"X": ...'),
        ({"input": [X]}, "request: unknown key 'input'", "did you mean 'inputs'?"),
        ({"instance": [[1]]}, "request: unknown key 'instance'", "did you mean 'instances'?"),
        ({**REQUEST, "parmeters": {}}, "request: unknown key 'parmeters'", "'parameters'?"),
        (
            {"inputs": [{**X, "paramters": {}}]},
            "inputs[0]: unknown key 'paramters'",
            "'parameters'",
        ),
        ({"inputs": X}, "inputs: ", "expected a list"),
        ({"id": 7, "inputs": []}, "id: 7", "not a string"),
        ({"inputs": []}, "inputs: missing", "X FP32[-1, 2], id INT64[-1]"),
        ({"inputs": [X, COUNTRY]}, "inputs: missing", "id INT64[-1]"),
        ({"inputs": [ID, 3]}, "inputs[1]", "not an object"),
        ({"inputs": [ID, without("name")]}, "inputs[1].name: null", "it takes X FP32[-1, 2]"),
        ({"inputs": [{**X, "name": "x"}]}, "inputs[0].name: 'x'", "it takes X FP32[-1, 2]"),
        ({"inputs": [{**X, "name": []}]}, "inputs[0].name: []", "not an input"),
        ({"inputs": [X, X]}, "inputs[1].name: 'X'", "twice"),
        ({"inputs": [without("datatype")]}, "inputs[0].datatype: null", "'X' is FP32"),
        ({"inputs": [{**X, "datatype": "BYTES"}]}, "inputs[0].datatype: 'BYTES'", "'X' is FP32"),
        ({"inputs": [{**ID, "datatype": "text"}]}, "inputs[0].datatype: 'text'", "'id' is INT64"),
        (
            {"inputs": [{**COUNTRY, "datatype": "FP32"}]},
            "inputs[0].datatype: 'FP32'",
            "'country' is BYTES",
        ),
        ({"inputs": [without("shape")]}, "inputs[0].shape: null", "list of sizes"),
        ({"inputs": [{**X, "shape": [2, "2"]}]}, "inputs[0].shape: [2, '2']", "list of sizes"),
        ({"inputs": [{**X, "shape": [-1, 2]}]}, "inputs[0].shape: [-1, 2]", "list of sizes"),
        ({"inputs": [{**X, "shape": [True, 2]}]}, "inputs[0].shape", "list of sizes"),
        ({"inputs": [{**X, "shape": [2, 3]}]}, "inputs[0].shape: [2, 3]", "fit [-1, 2] of input"),
        ({"inputs": [{**X, "shape": [4]}]}, "inputs[0].shape: [4]", "fit [-1, 2] of input 'X'"),
        ({"inputs": [{**X, "shape": [2]}]}, "inputs[0].shape: [2]", "single row has shape [1, 2]"),
        ({"inputs": [without("data")]}, "inputs[0].data", "expected a list of FP32"),
        ({"inputs": [{**X, "data": 1.5}]}, "inputs[0].data", "expected a list of FP32"),
        ({"inputs": [{**X, "data": [1, 2]}]}, "inputs[0].data: shape [2]", "shape is [2, 2]"),
        ({"inputs": [{**X, "data": [[1, 2, 3, 4]]}]}, "inputs[0].data: shape [1, 4]", "[2, 2]"),
        ({"inputs": [{**X, "data": [[1, 2], [3]]}]}, "inputs[0].data", "different lengths"),
        (
            {"inputs": [{**X, "data": [1, 2, 3, "4"]}]},
            "inputs[0].data: '4' at [3]",
            "is not a number",
        ),
        (
            {"inputs": [{**X, "data": [1, 2, 3, {}]}]},
            "inputs[0].data: {} at [3]",
            "is not a number",
        ),
        ({"inputs": [{**X, "data": [1, 2, 3, 1e300]}]}, "inputs[0].data: 1e+300", "out of range"),
        ({"inputs": [{**X, "data": [1, 2, 3, 10**400]}]}, "inputs[0].data", "too large"),
        ({"inputs": [{**ID, "data": [1, 2.5]}]}, "inputs[0].data: 2.5 at [1]", "is not INT64"),
        (
            {"inputs": [{**ID, "data": [1, 2**63]}]},
            "inputs[0].data: 9223372036854775808 at [1]",
            "is not INT64",
        ),
        (
            {"inputs": [{**ID, "data": [1, None]}]},
            "inputs[0].data: null at [1] is not INT64",
            "only inputs of floats accept missing values",
        ),
        ({"inputs": [{**COUNTRY, "data": ["de", 1]}]}, "inputs[0].data: 1 at [1]", "not BYTES"),
        ({"inputs": [{**COUNTRY, "data": [["de"], 1]}]}, "inputs[0].data", "not BYTES"),
        (
            {"inputs": [{**COUNTRY, "data": ["de", None]}]},
            "inputs[0].data: null at [1] is not a string",
            "fill the value first, with a string that the model knows",
        ),
        ({**REQUEST, "outputs": {"name": "label"}}, "outputs: ", "expected a list of objects"),
        (
            {**REQUEST, "outputs": ["label"]},
            "outputs[0]: 'label' is not an object",
            '{"name": ...}',
        ),
        ({**REQUEST, "outputs": [{"name": "Y"}]}, "outputs[0].name: 'Y'", "gives label, score"),
        ({**REQUEST, "outputs": [{"nam": "label"}]}, "outputs[0]: unknown key 'nam'", "'name'?"),
        (
            {**REQUEST, "outputs": [{"name": "label", "paramters": {"binary_data": True}}]},
            "outputs[0]: unknown key 'paramters'",
            "'parameters'?",
        ),
    ],
)
def test_an_error_names_the_field_and_what_is_expected(
    document: object, field: str, expectation: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(document, SIGNATURE)
    assert caught.value.status == 400
    assert str(caught.value).startswith(field)
    assert expectation in str(caught.value)
    assert "np." not in str(caught.value)


def test_an_unknown_key_that_resembles_none_is_ignored() -> None:
    # Clients of other servers send keys of their own.
    document = {**REQUEST, "model_name": "fraud", "x-trace": {"a": 1}}
    assert parse_request(document, SIGNATURE).inputs.keys() == {"X", "id", "country"}


def test_a_misspelt_key_is_looked_for_in_bounded_time() -> None:
    document = {"k" * 100_000 + str(i): 1 for i in range(1_000)}
    with pytest.raises(InvalidRequestError, match="no `instances` or `inputs`"):
        parse_request(document, SIGNATURE)


@pytest.mark.parametrize("shape", [[2**62, 0, 2**62], [0, 10**30]])
def test_a_shape_above_numpys_limit_is_a_400(shape: list[int]) -> None:
    with pytest.raises(InvalidRequestError, match=r"^inputs\[0\]\.shape: "):
        one("FP32", [], *shape)


def test_half_floats_are_refused_in_json_by_name() -> None:
    with pytest.raises(InvalidRequestError, match=r"inputs\[0\]\.data: JSON cannot carry FP16"):
        one("FP16", [1.0], 1)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**64, 10**400, -(2**63) - 1])
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["X", "id", "FP32", "INT64", "BYTES"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "inputs", "outputs", "name", "shape", "datatype", "data"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["X", "id", "country"]) | JSON,
        "datatype": st.sampled_from(["FP32", "INT64", "BYTES"]) | JSON,
        "shape": st.sampled_from([[1, 2], [2], [0], [1, 1], [0, 2]]) | JSON,
        "data": JSON,
    },
)


@given(JSON | st.fixed_dictionaries({"inputs": st.lists(TENSORS, max_size=4)}))
@example({"inputs": [{**X, "data": [10**400, 1, 2, 3]}]})
@example({"inputs": [{**X, "shape": [2**62, 2], "data": []}]})
def test_no_document_raises_anything_but_an_invalid_request(document: object) -> None:
    with contextlib.suppress(InvalidRequestError):
        parse_request(document, SIGNATURE)


@given(data=JSON, datatype=st.sampled_from(sorted(DATATYPES)), rank=st.integers(0, 2))
def test_no_data_raises_anything_but_an_invalid_request(
    data: object, datatype: str, rank: int
) -> None:
    shape = (_shape(data) if rank and isinstance(data, list) else None) or (1,) * rank
    with contextlib.suppress(InvalidRequestError):
        array = one(datatype, data, *shape)
        assert array.dtype == DTYPES[datatype]
        assert array.shape == shape


def _shape(data: list[Any]) -> tuple[int, ...] | None:
    try:
        return np.shape(data)
    except (ValueError, OverflowError):
        return None


# Tensors as JSON and as bytes


@st.composite
def tensors(draw: st.DrawFn) -> NDArray[Any]:
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    if datatype != "BYTES":
        return draw(arrays.arrays(DTYPES[datatype], shape))
    array = np.empty(shape, object)
    for place in np.ndindex(*shape):
        array[place] = draw(st.text(max_size=4))
    return array


@given(tensors())
def test_a_tensor_reads_back_from_its_bytes(tensor: NDArray[Any]) -> None:
    datatype = datatype_of(tensor)
    assert datatype is not None
    read = from_bytes(to_bytes(tensor), datatype, list(tensor.shape))
    assert read.dtype == tensor.dtype
    assert read.shape == tensor.shape
    np.testing.assert_array_equal(read, tensor)


@given(tensors().filter(lambda tensor: tensor.dtype != np.float16))
def test_a_tensor_reads_back_from_json_with_nan_for_nan_and_infinities(
    tensor: NDArray[Any],
) -> None:
    document = {"outputs": [orjson.loads(orjson.dumps(tensor_document("X", tensor)))]}
    read = read_answer(document)["X"]
    if tensor.dtype.kind == "f":
        tensor = np.where(np.isfinite(tensor), tensor, np.nan).astype(tensor.dtype)
    assert read.dtype == tensor.dtype
    assert read.shape == tensor.shape
    np.testing.assert_array_equal(read, tensor)


@given(tensors().filter(lambda tensor: tensor.dtype != np.float16 and tensor.ndim > 0))
def test_a_server_reads_what_a_client_writes(tensor: NDArray[Any]) -> None:
    datatype = datatype_of(tensor)
    assert datatype is not None
    signature = Signature(inputs=(spec("X", datatype, *tensor.shape),), outputs=SIGNATURE.outputs)
    document = json.loads(json.dumps(request_document({"X": tensor})))
    read = parse_request(document, signature).inputs["X"]
    if tensor.dtype.kind == "f":
        tensor = np.where(np.isfinite(tensor), tensor, np.nan).astype(tensor.dtype)
    assert read.dtype == tensor.dtype
    np.testing.assert_array_equal(read, tensor)


def test_strings_have_a_little_endian_length_of_four_bytes() -> None:
    array = np.array(["ü", ""], object)
    assert to_bytes(array) == b"\x02\0\0\0\xc3\xbc\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "datatype", "shape"),
    [
        (b"\0" * 7, "FP32", [2]),
        (b"\0" * 9, "FP32", [2]),
        (b"", "FP32", []),
        (b"\x01\0\0\0", "BYTES", [1]),
        (b"\x01\0\0", "BYTES", [1]),
        (b"\0\0\0\0", "BYTES", [2]),
        (b"\0\0\0\0\0\0\0\0", "BYTES", [1]),
        (b"\x01\0\0\0\xff", "BYTES", [1]),
    ],
)
def test_bytes_that_are_not_the_tensor_are_refused(
    data: bytes, datatype: str, shape: list[int]
) -> None:
    with pytest.raises(InvalidRequestError):
        from_bytes(data, datatype, shape)


_NUMBERS = st.one_of(
    st.integers(-(2**53), 2**53),
    st.integers(-(2**65), 2**65).filter(lambda n: abs(n) > 2**62),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=2),
)


@given(data=st.lists(_NUMBERS, min_size=1, max_size=3), datatype=st.sampled_from(sorted(DTYPES)))
def test_packed_agrees_with_the_full_conversion(data: list[Any], datatype: str) -> None:
    quick = packed(data, datatype, [len(data)])
    if quick is None:
        return
    spec = TensorSpec(name="X", datatype=datatype, shape=(-1,))
    careful = convert(array_of_values(data, [len(data)], spec, "data"), spec, "data")
    assert quick.dtype == careful.dtype
    # An integer beyond 2^53 may be rounded twice.
    tolerance = np.finfo(quick.dtype).eps if quick.dtype.kind == "f" else 0
    np.testing.assert_allclose(quick, careful, rtol=tolerance)


def test_an_array_of_a_type_that_the_protocol_does_not_have_has_no_datatype() -> None:
    assert datatype_of(np.array([1j])) is None
    assert datatype_of(np.array(["2026-01-01"], "datetime64[D]")) is None
    assert datatype_of(np.array([b"raw"])) is None


# Answers


def test_an_answer_names_model_version_and_request_and_has_flat_data() -> None:
    request = parse_request({**REQUEST, "outputs": [{"name": "score"}]}, SIGNATURE)
    outputs = {"label": np.array([1]), "score": np.array([[0.5, np.nan]], np.float32)}
    document = answer("fraud", "7", request, outputs).document
    written = orjson.loads(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
    assert written == {
        "model_name": "fraud",
        "model_version": "7",
        "id": "r-1",
        "outputs": [{"name": "score", "datatype": "FP32", "shape": [1, 2], "data": [0.5, None]}],
    }


def test_an_answer_has_no_id_where_the_request_has_none() -> None:
    request = parse_request({"inputs": REQUEST["inputs"]}, SIGNATURE)
    outputs = {"label": np.array([1]), "score": np.array([0.5])}
    assert "id" not in answer("fraud", "7", request, outputs).document


# Arrays of Python callers


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([1.5]), "FP32"),
        (np.array([3], np.int8), "INT64"),
        (np.array([3], np.int64), "FP32"),
        (np.array([1, 0]), "BOOL"),
        (np.array([True, False], object), "BOOL"),
        (np.array([3.0, -2.0]), "INT64"),
        (np.array([3.0], np.float16), "UINT8"),
        (np.array([3.0, 2], object), "INT8"),
    ],
)
def test_an_array_is_converted_where_nothing_but_precision_is_lost(
    array: NDArray[Any], datatype: str
) -> None:
    found = check_array(array, spec("X", datatype, -1), "input 'X'")
    assert found.dtype == DTYPES[datatype]
    assert found.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array([1.5]), "INT64"),
        (np.array([np.nan]), "INT64"),
        (np.array([np.inf]), "INT64"),
        (np.array([2.0**53]), "INT64"),  # as 2^53 + 1 is read beside another float
        (np.array([2.5], object), "INT64"),
        (np.array([300]), "UINT8"),
        (np.array([300.0]), "UINT8"),
        (np.array([2]), "BOOL"),
        (np.array(["1"], object), "FP32"),
        (np.array([1]), "BYTES"),
        (np.array([1e300]), "FP32"),
    ],
)
def test_an_array_that_would_lose_more_is_refused(array: NDArray[Any], datatype: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^input 'X': "):
        check_array(array, spec("X", datatype, -1), "input 'X'")
