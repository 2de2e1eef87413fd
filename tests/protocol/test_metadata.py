"""What a signature says reaches the clients by the model's metadata."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shearling.errors import InferenceError
from shearling.protocol.metadata import read_columns, read_signature, signature_metadata
from shearling.tensors.spec import Signature, TensorSpec

CITY = TensorSpec(name="city", datatype="BYTES", shape=(-1, 1), categories=(("Bern", "Oslo"),))
SHARE = TensorSpec(
    name="share",
    datatype="FP32",
    shape=(-1, 2),
    nullable=False,
    finite=True,
    categories=(None, (0.5, math.nan)),
)
SCORES = TensorSpec(name="scores", datatype="FP32", shape=(-1, 2), classes=(False, True))
TARGETS = TensorSpec(
    name="targets", datatype="FP32", shape=(-1, 2, 2), classes=(("a", "b"), (0, 1))
)
SIGNATURE = Signature(inputs=(CITY, SHARE), outputs=(SCORES, TARGETS))


def over_the_wire(signature: Signature, **parameters: object) -> Signature:
    document = json.loads(orjson.dumps(signature_metadata(signature)))
    return read_signature(document | {"parameters": parameters})


def test_a_client_reads_the_signature_that_the_runtime_has() -> None:
    assert repr(over_the_wire(SIGNATURE)) == repr(SIGNATURE)


def test_a_client_reads_that_rows_depend_on_each_other() -> None:
    assert over_the_wire(SIGNATURE).independent_rows
    assert not over_the_wire(SIGNATURE, independent_rows=False).independent_rows


def test_tensors_have_only_the_protocols_fields_if_there_is_nothing_else_to_say() -> None:
    spec = TensorSpec(name="X", datatype="FP32", shape=(-1,))
    document = signature_metadata(Signature(inputs=(spec,), outputs=(spec,)))
    assert document["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1]}]


def test_very_many_categories_are_left_to_the_runtime() -> None:
    many = tuple(map(str, range(1001)))
    spec = TensorSpec(name="zip", datatype="BYTES", shape=(-1,), categories=(many,))
    (found,) = over_the_wire(Signature(inputs=(spec,), outputs=(SCORES,))).inputs
    assert found.categories == (None,)


TENSOR = {"name": "X", "datatype": "FP32", "shape": [-1, 2]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


@example(None, [["a", 1], []], [[{}], [[]]])
@given(JSON, JSON, JSON)
def test_other_servers_may_have_anything_in_their_parameters(
    parameters: Any, classes: Any, categories: Any
) -> None:
    for tensor_parameters in (parameters, {"classes": classes, "categories": categories}):
        tensor = TENSOR | {"parameters": tensor_parameters}
        document = {"inputs": [tensor], "outputs": [tensor], "parameters": parameters}
        assert read_signature(document).inputs[0].shape == (-1, 2)
        assert not read_columns(document)


@pytest.mark.parametrize(
    "inputs", [[1], "X", [{}], 7, [TENSOR | {"shape": None}], [TENSOR | {"shape": ["x"]}]]
)
def test_metadata_that_are_no_models_are_refused(inputs: object) -> None:
    with pytest.raises(InferenceError, match="the model's metadata have invalid inputs: "):
        read_signature({"inputs": inputs, "outputs": []})
