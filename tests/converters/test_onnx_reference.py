"""A graph of an opset without kernels is converted and proven, or refused with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_static

from shearling.errors import FormatError
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.bundles import ROWS

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry


def old_graph(opset: int, operator: str, *names: str, **attributes: Any) -> onnx.ModelProto:
    """A graph of one operator, with weights that are inputs too, as old exporters wrote them."""
    weights = [numpy_helper.from_array(np.full(2, 2, np.float32), name) for name in names]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in names]
    graph = helper.make_graph(
        [helper.make_node(operator, ["X", *names], ["Y"], **attributes)],
        "old",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 2]), *inputs],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", 2])],
        weights,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3 if opset < 7 else 8
    )


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (old_graph(1, "Relu", consumed_inputs=[0]), ROWS),
        (old_graph(5, "Relu"), ROWS),
        (old_graph(6, "Add", "b", broadcast=1, axis=1), ROWS + 2),
        (
            old_graph(6, "BatchNormalization", "s", "b", "m", "v", is_test=1),
            (ROWS - 2) * 2 / np.sqrt(2) + 2,
        ),
    ],
    ids=["relu-1", "relu-5", "add-6", "batch-normalization-6"],
)
def test_a_graph_of_an_old_opset_answers_as_the_reference_does(
    registry: Registry, graph: onnx.ModelProto, expected: Any
) -> None:
    push_model(graph, "old", example=ROWS, registry=registry)
    loaded = load_model("old", registry=registry)
    for rows, wanted in ((ROWS, expected), (ROWS[:1], expected[:1])):
        np.testing.assert_allclose(loaded.predict(rows)["Y"], wanted, rtol=1e-4)


def test_an_unknown_domain_is_refused_without_advice_about_opsets(registry: Registry) -> None:
    graph = old_graph(17, "Relu")
    graph.graph.node[0].domain = "example.own"
    with pytest.raises(FormatError, match="No opset import for domain") as refusal:
        push_model(graph, "old", example=ROWS, registry=registry)
    assert "Export the model with an opset" not in str(refusal.value)


def test_an_opset_that_onnx_does_not_have_yet_is_refused_with_the_opsets_to_use(
    registry: Registry,
) -> None:
    with pytest.raises(FormatError, match=r"Opset 99 is under .* has opset 99, .* from 7 to 18"):
        push_model(old_graph(99, "Relu"), "old", example=ROWS, registry=registry)


def test_a_graph_that_cannot_be_proven_is_refused_with_the_opsets_to_use(
    registry: Registry,
) -> None:
    graph = old_graph(6, "Dropout", is_test=1)
    with pytest.raises(FormatError, match=r"opset 6, .*proving the result failed: .* from 7 to 18"):
        push_model(graph, "old", example=ROWS, registry=registry)


def test_a_graph_is_compared_with_its_unoptimised_form(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "shearling.formats.onnx.OnnxPredictor.predict",
        lambda self, inputs, outputs: {
            name: inputs["X"] * (1 if is_optimised(self) else 2) for name in outputs
        },
    )
    with pytest.raises(FormatError, match="optimisations change the answers"):
        push_model(old_graph(17, "Neg"), "odd", example=ROWS, registry=registry)


def test_a_graph_that_quantises_is_compared_with_what_its_users_get(
    registry: Registry, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(50, 32)).astype(np.float32)
    weights = [(random.normal(size=(32, 32)) / 6).astype(np.float32) for _ in range(2)]
    shape: list[str | int | None] = ["rows", 32]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["X", "w0"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "w1"], ["c"]),
            helper.make_node("Softmax", ["c"], ["Y"]),
        ],
        "layers",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "float.onnx")

    class Rows:
        left: ClassVar = [{"X": rows}]

        def get_next(self) -> dict[str, Any] | None:
            return self.left.pop() if self.left else None

    quantize_static(tmp_path / "float.onnx", tmp_path / "small.onnx", Rows())
    push_model(tmp_path / "small.onnx", "small", example=rows, registry=registry)


def is_optimised(predictor: Any) -> bool:
    level = predictor._session.get_session_options().graph_optimization_level
    return str(level) != "GraphOptimizationLevel.ORT_DISABLE_ALL"
