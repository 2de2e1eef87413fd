"""The signature in a manifest: classes, known categories, and rows that depend on each other."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shearling.bundle.json_reader import Field
from shearling.bundle.manifest import ExampleFile, Manifest
from shearling.bundle.signatures import read_signature, signature_document
from shearling.errors import BundleError, UnsupportedSchemaError
from shearling.tensors.spec import Signature, TensorSpec
from tests.bundle.test_manifest import VALID, read
from tests.support.attack import attack

X = TensorSpec(name="X", datatype="FP32", shape=(-1, 2))
CITY = TensorSpec(name="city", datatype="BYTES", shape=(-1, 1), categories=(("Bern", "Oslo"),))
SCORES = TensorSpec(name="scores", datatype="FP32", shape=(-1, 2), classes=("leaves", "stays"))


def stored(signature: Signature) -> Signature:
    """Return a signature as a manifest's reader finds it."""
    document = json.loads(json.dumps(signature_document(signature)))
    return read_signature(Field(document, "signature"))


def with_spec(group: str, **fields: object) -> dict[str, Any]:
    """Return the valid manifest in schema 2, the first tensor of a group with other fields."""
    document = copy.deepcopy(VALID)
    del document["files"][1]["chunk_bytes"], document["files"][1]["chunks"]
    document["signature"][group][0] |= fields
    return document | {"schema": 2, "requires": ["categories"]}


def output(classes: object, *shape: int) -> dict[str, Any]:
    return with_spec("outputs", datatype="FP32", shape=list(shape), classes=classes)


def takes(datatype: str, categories: object, *shape: int) -> dict[str, Any]:
    return with_spec("inputs", datatype=datatype, shape=list(shape), categories=categories)


@pytest.mark.parametrize(
    "classes",
    [
        ("leaves", "stays"),
        (False, True),
        (0, 1),
        (0.5, 1.0),
        (-1, 2**60),
        (float("-inf"), float("inf")),
        ("0.5", "1"),
    ],
)
def test_classes_keep_the_originals_own_type(classes: tuple[Any, ...]) -> None:
    spec = TensorSpec(name="scores", datatype="FP32", shape=(-1, 2), classes=classes)
    (found,) = stored(Signature(inputs=(X,), outputs=(spec,))).outputs
    assert found == spec
    assert list(map(type, found.classes or ())) == list(map(type, classes))


def test_several_targets_have_classes_each() -> None:
    classes = (("low", "high"), (0, 1))
    spec = TensorSpec(name="scores", datatype="FP32", shape=(-1, 2, 2), classes=classes)
    assert stored(Signature(inputs=(X,), outputs=(spec,))).outputs == (spec,)


def test_categories_are_stored_as_the_tensor_has_them() -> None:
    spec = TensorSpec(
        name="X", datatype="FP32", shape=(-1, 3), categories=((0.1, 2.0), None, (math.nan, 1.0))
    )
    (found,) = stored(Signature(inputs=(spec,), outputs=(SCORES,))).inputs
    assert found == spec
    assert found.known[0] == frozenset([0.10000000149011612, 2.0])
    assert found.known[1] is None


def manifest_of(signature: Signature) -> Manifest:
    return Manifest(
        model="fraud",
        format="onnx",
        entry="model.onnx",
        files=read(with_spec("inputs")).files,
        signature=signature,
        example=ExampleFile(path="data/example", rtol=1e-3, atol=1e-6),
    )


def test_categories_need_a_reader_that_knows_them() -> None:
    manifest = manifest_of(Signature(inputs=(CITY,), outputs=(SCORES,)))
    assert (manifest.schema, manifest.requires) == (2, ("categories",))
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


def test_classes_and_dependent_rows_stay_in_schema_1() -> None:
    signature = Signature(inputs=(X,), outputs=(SCORES,), independent_rows=False)
    manifest = manifest_of(signature)
    assert (manifest.schema, manifest.requires) == (1, ())
    found = Manifest.from_bytes(manifest.to_bytes())
    assert found == manifest
    assert not found.signature.independent_rows


def test_a_signature_without_these_fields_keeps_its_bytes() -> None:
    document = copy.deepcopy(VALID)
    assert signature_document(read(document).signature) == document["signature"]


@pytest.mark.parametrize("requires", [None, []])
def test_categories_that_older_readers_were_not_warned_of_are_refused(requires: object) -> None:
    document = takes("BYTES", [["a", "b"]], -1, 1)
    document |= {"schema": 1} if requires is None else {"requires": requires}
    with pytest.raises(BundleError, match="needs 'categories' in it") as caught:
        read(document)
    assert caught.value.field == "requires"
    assert not isinstance(caught.value, UnsupportedSchemaError)


OUT, IN = "signature.outputs[0].classes", "signature.inputs[0].categories"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (output("ab", -1, 2), OUT),
        (output({}, -1, 2), OUT),
        (output([], -1, 2), OUT),
        (output(["a"], -1, 2), OUT),
        (output(["a", "b", "c"], -1, 2), OUT),
        (output(["a", "a"], -1, 2), OUT),
        (output(["a", 1], -1, 2), OUT),
        (output([0, False], -1, 2), OUT),
        (output(["a", None], -1, 2), f"{OUT}[1]"),
        (output(["a", []], -1, 2), f"{OUT}[1]"),
        (output([{"number": "1"}, {}], -1, 2), f"{OUT}[1].number"),
        (output([{"number": "1"}, {"number": 2}], -1, 2), f"{OUT}[1].number"),
        (output([{"number": "one"}, 2], -1, 2), f"{OUT}[0].number"),
        (output(["a", "b"], -1), OUT),
        (output([["a", "b"], ["a"]], -1, 2, 2), f"{OUT}[1]"),
        (output([["a", "b"]], -1, 2, 2), OUT),
        (output([["a", "b"], "ab"], -1, 2, 2), f"{OUT}[1]"),
        (output([["a", "b"]], -1, 2), f"{OUT}[0]"),
        (takes("BYTES", "ab", -1, 1), IN),
        (takes("BYTES", [], -1, 1), IN),
        (takes("BYTES", [None, None], -1, 1), IN),
        (takes("BYTES", [None, None], -1, -1), IN),
        (takes("BYTES", [[]], -1, 1), f"{IN}[0]"),
        (takes("BYTES", ["ab"], -1, 1), f"{IN}[0]"),
        (takes("BYTES", [["a", "a"]], -1, 1), f"{IN}[0]"),
        (takes("BYTES", [[1, 2]], -1, 1), f"{IN}[0][0]"),
        (takes("INT64", [["1"]], -1), f"{IN}[0][0]"),
        (takes("INT64", [[{"number": "0.5"}]], -1), f"{IN}[0][0]"),
        (takes("FP32", [[True]], -1), f"{IN}[0][0]"),
        (takes("BOOL", [[0, 1]], -1), f"{IN}[0][0]"),
        (with_spec("inputs") | {"signature": VALID["signature"] | {"independent_rows": 1}}, None),
    ],
)
def test_a_malformed_contract_is_named_by_its_path(
    document: dict[str, Any], field: str | None
) -> None:
    with pytest.raises(BundleError) as caught:
        read(document)
    assert caught.value.field == (field or "signature.independent_rows")


SCALARS = st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False)


@settings(max_examples=attack(100))
@given(
    st.one_of(
        *(
            st.lists(values, min_size=1, max_size=5, unique_by=repr)
            for values in (st.text(), st.booleans(), st.integers(), st.floats(allow_nan=False))
        )
    )
)
def test_any_classes_read_back(classes: list[Any]) -> None:
    spec = TensorSpec(name="s", datatype="FP32", shape=(-1, -1), classes=tuple(classes))
    (found,) = stored(Signature(inputs=(X,), outputs=(spec,))).outputs
    assert repr(found.classes) == repr(spec.classes)


HOSTILE = st.recursive(
    st.none() | SCALARS | st.just({"number": "nan"}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=attack(100))
@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_contract_raises_anything_but_a_bundle_error(
    classes: object, categories: object, independent: object
) -> None:
    document = takes("FP32", categories, -1, 2)
    document["signature"]["outputs"][0]["classes"] = classes
    document["signature"]["independent_rows"] = independent
    with contextlib.suppress(BundleError):
        Manifest.from_bytes(json.dumps(document).encode())
