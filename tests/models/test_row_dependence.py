"""A push finds models whose rows depend on each other, and models that change their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

from shearling.errors import FormatError
from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from shearling.registry.registry import Registry

RANDOM = np.random.default_rng(3)


def graph_of(nodes: list[onnx.NodeProto], **weights: NDArray[Any]) -> onnx.ModelProto:
    """A graph from `X` to `Y`, each of rows and two columns."""
    shape: list[str | int | None] = ["rows", 2]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def is_independent(registry: Registry, version: Any) -> bool:
    return registry.manifest(version.pin).signature.independent_rows


def test_a_softmax_over_the_rows_is_published_with_a_warning(registry: Registry) -> None:
    graph = graph_of([helper.make_node("Softmax", ["X"], ["Y"], axis=0)])
    with pytest.warns(UserWarning, match="answer depends on the other rows of its request"):
        version = push_model(graph, "fraud", example=ROWS, registry=registry)
    assert not is_independent(registry, version)


@pytest.mark.parametrize("rows", [1, 20])
def test_a_dynamically_quantised_graph_is_published_with_a_warning(
    registry: Registry, tmp_path: Path, rows: int
) -> None:
    weights = RANDOM.normal(size=(2, 2)).astype(np.float32)
    graph = graph_of([helper.make_node("MatMul", ["X", "W"], ["Y"])], W=weights)
    (tmp_path / "float.onnx").write_bytes(graph.SerializeToString())
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "small.onnx")
    example = RANDOM.normal(size=(rows, 2)).astype(np.float32)
    with pytest.warns(UserWarning, match="answer depends on the other rows of its request"):
        version = push_model(tmp_path / "small.onnx", "fraud", example=example, registry=registry)
    assert not is_independent(registry, version)


def test_rows_of_an_ordinary_graph_are_independent(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    assert is_independent(registry, version)


def test_a_pickle_that_answers_no_single_row_is_published_with_a_warning(
    registry: Registry,
) -> None:
    def ranks(rows: NDArray[Any]) -> NDArray[Any]:
        if len(rows) == 1:
            raise ValueError("a single row has no rank")
        return rows[:, 0].argsort().argsort()

    with pytest.warns(UserWarning, match="asked alone instead of in a batch, a row fails with"):
        version = push_model(ranks, "rank", example=ROWS, format="cloudpickle", registry=registry)
    assert not is_independent(registry, version)


CHANGING: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "RandomNormalLike": ([helper.make_node("RandomNormalLike", ["X"], ["r"])], {}),
    "RandomUniformLike": ([helper.make_node("RandomUniformLike", ["X"], ["r"], seed=1.0)], {}),
    "Bernoulli": (
        [helper.make_node("Sigmoid", ["X"], ["p"]), helper.make_node("Bernoulli", ["p"], ["r"])],
        {},
    ),
    "Dropout": (
        [helper.make_node("Dropout", ["X", "ratio", "mode"], ["r"])],
        {"ratio": np.float32(0.5), "mode": np.array(True)},
    ),
    "BatchNormalization": (
        [
            helper.make_node(
                "BatchNormalization",
                ["X", "scale", "bias", "mean", "var"],
                ["r", "new_mean", "new_var"],
                training_mode=1,
            )
        ],
        {name: np.ones(2, np.float32) for name in ("scale", "bias", "mean", "var")},
    ),
}


@pytest.mark.parametrize("operator", CHANGING)
def test_a_graph_that_changes_its_answers_is_refused_with_the_operator(
    registry: Registry, operator: str
) -> None:
    nodes, weights = CHANGING[operator]
    graph = graph_of(
        [*nodes, helper.make_node("Add", ["X", "r"], ["Y"])],
        **{name: np.asarray(array) for name, array in weights.items()},
    )
    with pytest.raises(FormatError, match=f"operator {operator} .*differently each time"):
        push_model(graph, "fraud", example=ROWS, registry=registry)
    assert registry.models() == []


class Counter:
    """A model that returns how often it was asked."""

    calls = 0

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        self.calls += 1
        return np.full(len(rows), self.calls)


def test_a_pickle_that_changes_its_answers_is_refused(registry: Registry) -> None:
    with pytest.raises(FormatError, match="differently when it is asked again: output output"):
        push_model(Counter(), "count", example=ROWS, format="cloudpickle", registry=registry)
    assert registry.models() == []
