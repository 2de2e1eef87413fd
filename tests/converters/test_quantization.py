"""Each recipe makes a graph smaller, and its answers stay close to the original's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import helper
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVR, LinearSVC

from shearling.converters.onnx_weights import quantised_blocks
from shearling.converters.quantization import RECIPES, Recipe, prepared, refusal
from tests.support.networks import digits, digits_network, embedding, perceptron, pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

CONVOLUTIONS, INT8, FP16 = RECIPES

IDS = np.random.default_rng(0).integers(0, 2000, (40, 5))


def answers(graph: onnx.ModelProto, rows: NDArray[Any]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (answer,) = session.run(None, {session.get_inputs()[0].name: rows})
    return np.asarray(answer)


def cooked(recipe: Recipe, graph: onnx.ModelProto, rows: NDArray[Any]) -> onnx.ModelProto:
    copy = prepared(graph)
    recipe.apply(copy, [{graph.graph.input[0].name: rows}])
    onnx.checker.check_model(copy)
    return copy


def operators(graph: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in graph.graph.node}


@given(
    matrix=arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 100)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_no_value_of_a_block_moves_by_more_than_half_a_step(matrix: NDArray[np.float32]) -> None:
    values, scales = quantised_blocks(matrix)
    restored = (values.astype(np.float64) - 128) * scales[..., None]
    padded = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % 32)))
    blocks = padded.reshape(len(matrix), -1, 32).astype(np.float64)
    largest = np.abs(blocks).max(axis=2, keepdims=True)
    assert (np.abs(restored - blocks) <= largest / 127 * 0.501 + 1e-30).all()


@pytest.mark.parametrize(
    ("recipe", "graph", "rows", "size", "distance"),
    [
        (CONVOLUTIONS, digits_network, pictures(digits()[2]), 0.4, 0.1),
        (INT8, lambda: perceptron(512), digits()[2], 0.3, 0.05),
        (INT8, embedding, IDS, 0.3, 0.02),
        (FP16, lambda: perceptron(512), digits()[2], 0.51, 1e-3),
        (FP16, digits_network, pictures(digits()[2]), 0.55, 1e-3),
        (FP16, embedding, IDS, 0.51, 1e-3),
    ],
)
def test_a_recipe_makes_a_graph_smaller_and_keeps_its_answers(
    recipe: Recipe,
    graph: Callable[[], onnx.ModelProto],
    rows: NDArray[Any],
    size: float,
    distance: float,
) -> None:
    original = graph()
    smaller = cooked(recipe, original, rows)
    assert smaller.ByteSize() < size * original.ByteSize()
    np.testing.assert_allclose(answers(smaller, rows), answers(original, rows), atol=distance)


def test_a_recipe_is_only_for_graphs_with_its_operators() -> None:
    assert [recipe.is_for(digits_network()) for recipe in RECIPES] == [True, True, True]
    assert [recipe.is_for(perceptron()) for recipe in RECIPES] == [False, True, True]
    assert [recipe.is_for(embedding()) for recipe in RECIPES] == [False, True, True]
    assert [recipe.is_for(perceptron(4, columns=8)) for recipe in RECIPES] == [False] * 3


def test_the_weights_of_a_gemm_become_blocks_whatever_its_attributes() -> None:
    rows = digits()[2]
    for attributes in ({}, {"alpha": 0.5}, {"beta": 2.0}, {"transB": 1}):
        graph = perceptron(128, classes=128)
        node = graph.graph.node[2]
        node.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
        smaller = cooked(INT8, graph, rows)
        assert "MatMulNBits" in operators(smaller)
        np.testing.assert_allclose(answers(smaller, rows), answers(graph, rows), atol=0.05)


def test_weights_that_are_inputs_too_are_quantised() -> None:
    graph = perceptron(512)
    graph.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.graph.initializer
    )
    for recipe in (INT8, FP16):
        smaller = cooked(recipe, graph, digits()[2])
        assert [value.name for value in smaller.graph.input] == ["X"]
        assert answers(smaller, digits()[2][:3]).shape == (3, 10)


def test_a_matrix_that_two_operators_share_is_stored_for_each_of_them() -> None:
    graph = embedding(96)
    graph.graph.node[2].input[1] = "table"
    smaller = cooked(INT8, graph, IDS % 96)
    assert {"MatMulNBits", "GatherBlockQuantized"} <= operators(smaller)
    expected = answers(graph, IDS % 96)
    np.testing.assert_allclose(answers(smaller, IDS % 96), expected, atol=0.2)


def test_values_beyond_the_range_of_16_bits_keep_32() -> None:
    graph = perceptron(512)
    graph.graph.initializer[0].raw_data = np.full((512, 64), 1e6, np.float32).tobytes()
    smaller = cooked(FP16, graph, digits()[2])
    assert answers(smaller, digits()[2][:2]).tolist() == answers(graph, digits()[2][:2]).tolist()


def test_a_graph_of_an_old_opset_gets_a_scale_for_each_channel() -> None:
    graph = digits_network()
    old = type(graph)()
    old.CopyFrom(graph)
    old.opset_import[0].version = 11
    rows = pictures(digits()[2])
    smaller = cooked(CONVOLUTIONS, old, rows)
    assert smaller.opset_import[0].version == 13
    np.testing.assert_allclose(answers(smaller, rows), answers(graph, rows), atol=0.1)


def test_the_quantizer_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cooked(CONVOLUTIONS, digits_network(), pictures(digits()[2]))
    assert not list(tmp_path.iterdir())


def test_the_quantizer_leaves_logging_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = (logging.root.level, list(logging.root.handlers))
    cooked(CONVOLUTIONS, digits_network(), pictures(digits()[2]))
    assert (logging.root.level, logging.root.handlers) == before
    assert "".join(capfd.readouterr()) == ""


def test_the_same_recipe_gives_the_same_bytes() -> None:
    for recipe in RECIPES:
        first, second = (
            cooked(recipe, digits_network(), pictures(digits()[2])).SerializeToString(
                deterministic=True
            )
            for _ in range(2)
        )
        assert first == second


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (RandomForestClassifier(5, random_state=0), "decision trees"),
        (LinearSVC(), "a linear model"),
        (SVR(), "support vector"),
    ],
)
def test_what_has_no_matrices_is_refused_with_a_sentence(model: Any, sentence: str) -> None:
    rows, labels, _, _ = digits()
    fitted = model.fit(rows, labels)
    assert sentence in refusal(to_onnx(fitted, rows[:2]))


def test_what_is_quantised_or_has_16_bits_is_refused() -> None:
    rows = pictures(digits()[2])
    assert "QuantizeLinear" in refusal(cooked(CONVOLUTIONS, digits_network(), rows))
    assert "MatMulNBits" in refusal(cooked(INT8, perceptron(), digits()[2]))
    assert "16 bits already" in refusal(cooked(FP16, perceptron(), digits()[2]))
    assert "nothing to gain" in refusal(perceptron(4, columns=8))
