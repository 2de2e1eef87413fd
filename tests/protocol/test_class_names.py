"""Outputs under the names of their classes: predictions, tensors and CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import orjson
import pytest

from shearling.errors import InvalidRequestError
from shearling.protocol.csv_rows import csv_of, parse_csv
from shearling.protocol.instances import parse_instances, predictions
from shearling.protocol.requests import parse_request, request_document
from shearling.protocol.responses import answer, read_answer
from shearling.tensors.spec import Classes, Signature, TensorSpec

X = TensorSpec(name="X", datatype="FP32", shape=(-1, 1))
PROBABILITIES = np.array([[0.49, 0.51], [0.9, 0.1]], np.float32)
ROWS = {"instances": [[1], [2]]}
OBJECTS = {"instances": [{"X": 1}, {"X": 2}]}
BY_CLASS = {"parameters": {"classes": True}}


def signature(classes: Classes | None, *shape: int, label: str = "INT64") -> Signature:
    return Signature(
        inputs=(X,),
        outputs=(
            TensorSpec(name="label", datatype=label, shape=(-1,)),
            TensorSpec(
                name="probabilities", datatype="FP32", shape=shape or (-1, 2), classes=classes
            ),
        ),
    )


def predicted(
    classes: Classes | None, label: Any, document: dict[str, Any], values: Any = PROBABILITIES
) -> list[Any]:
    """Return the predictions as a client reads them."""
    signature_ = signature(classes, *((-1, *values.shape[1:])))
    request = parse_instances(document, signature_)
    outputs = {"label": np.array(label), "probabilities": values}
    response = predictions("fraud", "1", request, outputs, signature_.classes)
    text = orjson.dumps(response.document, option=orjson.OPT_SERIALIZE_NUMPY)
    return list(json.loads(text)["predictions"])


@pytest.mark.parametrize("rows", [ROWS, OBJECTS])
def test_predictions_name_their_classes_on_request(rows: dict[str, Any]) -> None:
    labels = np.array(["stays", "leaves"], object)
    assert predicted(("leaves", "stays"), labels, rows | BY_CLASS) == [
        {"label": "stays", "probabilities": {"leaves": 0.49, "stays": 0.51}},
        {"label": "leaves", "probabilities": {"leaves": 0.9, "stays": 0.1}},
    ]


@pytest.mark.parametrize("document", [OBJECTS, OBJECTS | {"parameters": {"classes": False}}])
def test_predictions_are_as_before_unless_classes_are_requested(document: dict[str, Any]) -> None:
    assert predicted(("leaves", "stays"), [1, 0], document) == [
        {"label": 1, "probabilities": [0.49, 0.51]},
        {"label": 0, "probabilities": [0.9, 0.1]},
    ]


def test_a_bundle_without_classes_answers_as_before() -> None:
    assert predicted(None, [1, 0], OBJECTS | BY_CLASS) == predicted(None, [1, 0], OBJECTS)


def test_an_output_of_other_columns_than_its_classes_is_answered_as_before() -> None:
    found = predicted(("a", "b", "c"), [1, 0], OBJECTS | BY_CLASS)
    assert found[0]["probabilities"] == [0.49, 0.51]


@pytest.mark.parametrize(
    ("classes", "label", "names"),
    [
        ((False, True), True, ("false", "true")),
        ((0.5, 1.0), 1.0, ("0.5", "1.0")),
        ((0, 1), 1, ("0", "1")),
    ],
)
def test_labels_have_the_type_of_the_classes(
    classes: Classes, label: object, names: tuple[str, str]
) -> None:
    first = predicted(classes, [1, 1], ROWS | BY_CLASS)[0]
    assert first == {"label": label, "probabilities": {names[0]: 0.49, names[1]: 0.51}}
    assert type(first["label"]) is type(label)


def test_a_single_wanted_output_is_the_prediction_itself() -> None:
    document = ROWS | BY_CLASS | {"outputs": [{"name": "probabilities"}]}
    assert predicted(("no", "yes"), [1, 0], document)[0] == {"no": 0.49, "yes": 0.51}


def test_several_targets_are_a_list_of_objects() -> None:
    classes = (("low", "high"), (False, True))
    values = np.array([[[0.25, 0.75], [0.5, 0.5]], [[1, 0], [0, 1]]], np.float32)
    assert predicted(classes, [[0, 1], [1, 0]], ROWS | BY_CLASS, values) == [
        {
            "label": [0, True],
            "probabilities": [{"low": 0.25, "high": 0.75}, {"false": 0.5, "true": 0.5}],
        },
        {"label": [1, False], "probabilities": [{"low": 1, "high": 0}, {"false": 0, "true": 1}]},
    ]


def test_missing_values_are_null_by_class_too() -> None:
    values = np.array([[np.nan, 1]] * 2, np.float32)
    assert predicted(("a", "b"), [1, 0], ROWS | BY_CLASS, values)[0]["probabilities"] == {
        "a": None,
        "b": 1,
    }


def test_tensors_carry_their_classes_on_request() -> None:
    known = signature((False, True))
    document = request_document({"X": np.ones((2, 1), np.float32)})
    outputs = {"label": np.array([1, 0]), "probabilities": PROBABILITIES}
    before = answer("m", "1", parse_request(document, known), outputs, known.classes).document
    assert not any("parameters" in tensor for tensor in before["outputs"])
    request = parse_request(
        document | {"parameters": {"classes": True, "binary_data_output": True}}, known
    )
    response = answer("m", "1", request, outputs, known.classes)
    parameters = response.document["outputs"][1]["parameters"]
    assert parameters == {"classes": (False, True), "binary_data_size": 16}
    np.testing.assert_array_equal(
        read_answer(response.document, response.tail)["probabilities"], PROBABILITIES
    )


@pytest.mark.parametrize(
    ("classes", "shape", "names"),
    [
        (("leaves", "stays"), (2,), ["probabilities[leaves]", "probabilities[stays]"]),
        ((False, True), (2,), ["probabilities[false]", "probabilities[true]"]),
        (('a "b"', "c,d"), (2,), ['probabilities[a "b"]', "probabilities[c,d]"]),
        (None, (2,), ["probabilities[0]", "probabilities[1]"]),
        (("a", "b", "c"), (2,), ["probabilities[0]", "probabilities[1]"]),
        (
            (("a", "b"), (0, 1)),
            (2, 2),
            [f"probabilities[{name}]" for name in ("0][a", "0][b", "1][0", "1][1")],
        ),
    ],
)
def test_csv_columns_are_named_by_class(
    classes: Classes | None, shape: tuple[int, ...], names: list[str]
) -> None:
    known = signature(classes, -1, *shape)
    request = parse_csv("X\n1\n2\n", known)
    outputs = {"label": np.array([1, 0]), "probabilities": np.ones((2, *shape))}
    table = [*csv.reader(io.StringIO(csv_of(request, outputs, known.classes)))]
    assert table[0] == ["label", *names]
    assert {len(row) for row in table} == {1 + len(names)}


@pytest.mark.parametrize("value", [1, "true", None])
def test_the_parameter_is_true_or_false(value: object) -> None:
    with pytest.raises(InvalidRequestError, match=r"parameters.classes: .* is not true or false"):
        parse_instances(ROWS | {"parameters": {"classes": value}}, signature(None))
