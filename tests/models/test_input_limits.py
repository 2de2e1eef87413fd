"""A bundle refuses categories and text that it would answer otherwise than the original."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from shearling.converters import onnx as onnx_converter
from shearling.errors import FormatError, InvalidRequestError
from shearling.models.load import load_model
from shearling.models.push import push_model
from shearling.models.verification import verify
from tests.support.bundles import ROWS, scaling_graph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx

    from shearling.bundle.manifest import Manifest
    from shearling.formats.base import Tensors
    from shearling.registry.registry import Registry


@pytest.mark.parametrize(
    ("known", "other"), [(["red", "green", "blue"], "violet"), ([1, 2, 3], 7)], ids=["text", "int"]
)
def test_a_category_that_the_original_refuses_is_refused_by_the_contract(
    registry: Registry, known: list[Any], other: Any
) -> None:
    frame = pd.DataFrame({"colour": known * 10})
    model = make_pipeline(OrdinalEncoder(), LogisticRegression()).fit(frame, [0, 1, 1] * 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of categories that only the example tells
        push_model(model, "fraud", example=frame[:6], registry=registry)
    loaded = load_model("fraud", registry=registry)
    assert set((loaded.signature.inputs[0].categories or [[]])[0] or ()) == set(known)
    assert loaded.predict(frame)["label"].tolist() == model.predict(frame).tolist()
    with pytest.raises(InvalidRequestError, match="is not a category that the model knows"):
        loaded.predict(pd.DataFrame({"colour": [other]}))


def test_numbers_outside_of_the_example_are_no_unknown_categories(tmp_path: Path) -> None:
    converted = onnx_converter.convert(scaling_graph(), ROWS, tmp_path)

    def answer(rows: Tensors) -> Tensors:
        if (rows["X"] > ROWS.max()).any():
            raise ValueError("out of the range that the model was fitted on")
        return converted.original.answer(rows)

    original = replace(converted.original, kind="estimator", answer=answer)
    pushed = replace(converted, original=original)
    with pytest.warns(UserWarning, match="have large numbers: the original raises ValueError: out"):
        manifest = verify(pushed, "fraud", tmp_path, rtol=0, atol=0, metadata={}).manifest
    assert manifest.signature.inputs[0].categories is None


def test_a_category_that_both_models_refuse_needs_no_limit(registry: Registry) -> None:
    frame = pd.DataFrame({"colour": ["red", "", "blue"] * 10})
    fill = SimpleImputer(missing_values="", strategy="constant", fill_value="none")
    model = make_pipeline(fill, OneHotEncoder(), LogisticRegression()).fit(frame, [0, 1, 1] * 10)
    push_model(model, "fraud", example=frame[:3], registry=registry)


def lower_case_graph() -> onnx.ModelProto:
    """A graph that returns its only input in lower case."""
    attributes = {"case_change_action": "LOWER", "locale": "C.UTF-8"}
    graph = helper.make_graph(
        [helper.make_node("StringNormalizer", ["X"], ["Y"], **attributes)],
        "lower case",
        [helper.make_tensor_value_info("X", TensorProto.STRING, ["rows"])],
        [helper.make_tensor_value_info("Y", TensorProto.STRING, ["rows"])],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def verified(answer: Callable[[str], str], example: list[str], directory: Path) -> Manifest:
    """Verify `lower_case_graph` as the conversion of an estimator that answers each text."""
    texts = np.array(example, object)
    converted = onnx_converter.convert(lower_case_graph(), texts, directory)

    def answers(rows: Tensors) -> Tensors:
        return {"Y": np.array([answer(text) for text in rows["X"]], object)}

    original = replace(converted.original, kind="estimator", answer=answers)
    pushed = replace(converted, original=original, expected=answers({"X": texts}))
    return verify(pushed, "fraud", directory, rtol=0, atol=0, metadata={}).manifest


def test_strings_in_outputs_are_compared_as_strings(registry: Registry) -> None:
    texts = np.array(["Ab", "C"], object)
    push_model(lower_case_graph(), "lower", example=texts, registry=registry)
    loaded = load_model("lower", registry=registry)
    assert loaded.predict(np.array(["DÉ"], object))["Y"].tolist() == ["dé"]


def test_a_different_string_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"output Y\[1\] is 'c', expected 'C' \(1 of 2 values"):
        verified(lambda text: text if text == "C" else text.lower(), ["Ab", "C"], tmp_path)


@pytest.mark.parametrize("part", ["é", "²", "日本", "й", "'", "_", "\u0301"])
def test_text_that_the_converted_model_reads_otherwise_refuses_the_push(
    tmp_path: Path, part: str
) -> None:
    def answer(text: str) -> str:
        return "odd" if part in text else text.lower()

    with pytest.raises(FormatError, match="reads text otherwise than the original: for the row"):
        verified(answer, ["good film", "bad film"], tmp_path)


def test_text_of_which_no_other_value_is_answered_alike_is_limited_to_known_values(
    tmp_path: Path,
) -> None:
    known = ["blue", "red"]
    with pytest.warns(UserWarning, match="accepts only the example's: 'blue', 'red'"):
        manifest = verified(lambda text: text if text in known else "?", known, tmp_path)
    assert manifest.signature.inputs[0].categories == (("blue", "red"),)


def test_a_known_category_that_is_answered_otherwise_refuses_the_push(tmp_path: Path) -> None:
    texts = np.array(["red", "blue"], object)
    converted = onnx_converter.convert(lower_case_graph(), texts, tmp_path)
    (spec,) = converted.signature.inputs
    knowing = replace(spec, categories=(("red", "blue", "GREEN"),))
    pushed = replace(
        converted,
        signature=replace(converted.signature, inputs=(knowing,)),
        original=replace(converted.original, answer=lambda rows: {"Y": rows["X"]}),
    )
    with pytest.raises(FormatError, match=r"known category of input 'X': output Y.* 'GREEN'"):
        verify(pushed, "fraud", tmp_path, rtol=0, atol=0, metadata={})
