"""An ONNX graph gives the same bundle in memory, as one file and with external data."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from shearling.converters import onnx_files
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph
from tests.support.datasets import FRAME, X, blob_graph, classifier, mixed_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shearling.registry.registry import Registry


def layers(count: int = 2, width: int = 512) -> onnx.ModelProto:
    """A graph of matrices of 1 MiB each, which become external data."""
    random = np.random.default_rng(1)
    names = ["X", *(f"h{i}" for i in range(count - 1)), "Y"]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", [before, f"w{i}"], [after])
            for i, (before, after) in enumerate(itertools.pairwise(names))
        ],
        "layers",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", width])],
        [
            numpy_helper.from_array(
                (random.normal(size=(width, width)) / width).astype(np.float32), f"w{i}"
            )
            for i in range(count)
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_graph_and_its_file_are_the_same_bundle(registry: Registry, tmp_path: Path) -> None:
    onnx.save(scaling_graph(), tmp_path / "model.onnx")
    pins = {
        push_model(model, "fraud", example=ROWS, registry=registry).pin
        for model in (scaling_graph(), tmp_path / "model.onnx", str(tmp_path / "model.onnx"))
    }
    assert len(pins) == 1
    answers = load_model("fraud", registry=registry).predict(ROWS)
    np.testing.assert_array_equal(answers["Y"], 2 * ROWS)


def test_large_weights_become_external_data_named_by_their_digest(
    registry: Registry, cache: Path
) -> None:
    example = np.ones((2, 512), np.float32)
    push_model(layers(), "large", example=example, registry=registry)
    loaded = load_model("large", registry=registry)
    entry, weights, _ = loaded.manifest.files
    assert weights.path == weights.hex
    assert weights.size > 100 * entry.size
    graph = onnx.load(
        str(cache / "shearling" / "blobs" / "sha256" / entry.hex), load_external_data=False
    )
    locations = {
        item.value
        for tensor in graph.graph.initializer
        for item in tensor.external_data
        if item.key == "location"
    }
    assert locations == {weights.hex}
    expected = example
    for tensor in layers().graph.initializer:
        expected = expected @ numpy_helper.to_array(tensor)
    np.testing.assert_allclose(loaded.predict(example)["Y"], expected, rtol=1e-4, atol=1e-6)


def test_external_data_beside_a_file_is_the_same_bundle_as_one_file(
    registry: Registry, tmp_path: Path
) -> None:
    example = np.ones((2, 512), np.float32)
    whole = push_model(layers(), "large", example=example, registry=registry)
    onnx.save(layers(), tmp_path / "m.onnx", save_as_external_data=True, location="somewhere.data")
    beside = push_model(tmp_path / "m.onnx", "large", example=example, registry=registry)
    assert beside.pin == whole.pin
    assert beside.uploaded_bytes == 0


@pytest.mark.parametrize("width", [4, 64])
def test_small_weights_in_another_file_are_the_same_bundle_as_one_file(
    registry: Registry, tmp_path: Path, width: int
) -> None:
    example = np.ones((2, width), np.float32)
    whole = push_model(layers(width=width), "small", example=example, registry=registry)
    onnx.save(
        layers(width=width),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="m.onnx.data",
        size_threshold=0,
    )
    assert (tmp_path / "m.onnx.data").stat().st_size == 2 * 4 * width**2
    beside = push_model(tmp_path / "m.onnx", "small", example=example, registry=registry)
    assert beside.pin == whole.pin


def test_small_weights_beside_large_ones_in_another_file_are_the_same_bundle(
    registry: Registry, tmp_path: Path
) -> None:
    model = layers()
    model.graph.initializer.append(numpy_helper.from_array(np.full(1, 2, np.float32), "two"))
    model.graph.node[-1].output[0] = "product"
    model.graph.node.append(helper.make_node("Mul", ["product", "two"], ["Y"]))
    example = np.ones((2, 512), np.float32)
    whole = push_model(model, "large", example=example, registry=registry)
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert push_model(path, "large", example=example, registry=registry).pin == whole.pin


def branches(width: int = 512) -> onnx.ModelProto:
    """A graph whose weights are all in its two branches, 1 MiB each."""
    random = np.random.default_rng(2)

    def branch(kind: str) -> onnx.GraphProto:
        weights = (random.normal(size=(width, width)) / width).astype(np.float32)
        output = helper.make_tensor_value_info(kind, TensorProto.FLOAT, ["rows", width])
        held = numpy_helper.from_array(weights, f"{kind}_weights")
        product = helper.make_node("MatMul", ["X", held.name], [kind])
        if kind == "no":
            return helper.make_graph([product], kind, [], [output], [held])
        constant = helper.make_node("Constant", [], [held.name], value=held)
        return helper.make_graph([constant, product], kind, [], [output])

    choice = helper.make_node(
        "If", ["is_yes"], ["Y"], then_branch=branch("yes"), else_branch=branch("no")
    )
    graph = helper.make_graph(
        [choice],
        "branches",
        [
            helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", width]),
            helper.make_tensor_value_info("is_yes", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", width])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_weights_inside_of_branches_are_external_data_too(registry: Registry) -> None:
    rows = np.random.default_rng(3).normal(size=(2, 512)).astype(np.float32)
    for answer in (True, False):
        push_model(
            branches(), "choice", example={"X": rows, "is_yes": np.array(answer)}, registry=registry
        )
    loaded = load_model("choice", registry=registry)
    entry, weights, _ = loaded.manifest.files
    assert weights.size == 2 * 512 * 512 * 4
    assert entry.size < 10_000
    assert loaded.manifest.options["opset"] == {"ai.onnx": 17}
    yes = loaded.predict({"X": rows, "is_yes": np.array(True)})["Y"]
    no = loaded.predict({"X": rows, "is_yes": np.array(False)})["Y"]
    assert not np.allclose(yes, no)


def test_external_data_of_branches_beside_a_file_is_the_same_bundle_as_one_file(
    registry: Registry, tmp_path: Path
) -> None:
    example = {"X": np.ones((2, 512), np.float32), "is_yes": np.array(True)}
    whole = push_model(branches(), "choice", example=example, registry=registry)
    onnx.save(
        branches(),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="somewhere.data",
        convert_attribute=True,
    )
    assert (tmp_path / "m.onnx").stat().st_size < 10_000
    beside = push_model(tmp_path / "m.onnx", "choice", example=example, registry=registry)
    assert beside.pin == whole.pin


def test_weights_in_branches_count_for_the_packing_decision(
    monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.setattr(onnx_files, "MAPPED_BYTES", 1_500_000)
    example = {"X": np.ones((2, 512), np.float32), "is_yes": np.array(True)}
    version = push_model(branches(), "choice", example=example, registry=registry)
    assert registry.manifest(version.pin).options["prepack"] is False


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (scaling_graph, ROWS),
        (layers, np.ones((1, 512), np.float32)),
        (lambda: classifier(LogisticRegression()), X),
        (lambda: classifier(KNeighborsClassifier()), X),
        (lambda: classifier(HistGradientBoostingClassifier(max_iter=3, random_state=0)), X),
        (mixed_pipeline, FRAME),
    ],
    ids=["graph", "external", "logistic", "neighbours", "boosting", "pipeline"],
)
def test_a_second_push_of_the_same_model_uploads_nothing(
    registry: Registry, model: Callable[[], Any], example: Any
) -> None:
    first = push_model(model(), "fraud", example=example, registry=registry)
    before = sorted(registry.store.keys(""))
    again = push_model(model(), "fraud", example=example, registry=registry)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.uploaded_bytes == 0
    assert again.pin == first.pin
    assert sorted(registry.store.keys("")) == before


def test_a_graph_imports_only_the_opsets_that_it_uses(registry: Registry, cache: Path) -> None:
    push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    manifest = load_model("fraud", registry=registry).manifest
    graph = blob_graph(manifest, cache)
    assert [(each.domain, each.version) for each in graph.opset_import] == [("", 17)]
    assert manifest.options["opset"] == {"ai.onnx": 17}


def test_weights_of_16_bits_count_for_the_packing_decision(
    monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    graph = layers()
    for tensor in graph.graph.initializer:
        half = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    monkeypatch.setattr(onnx_files, "MAPPED_BYTES", 2_000_000)  # they become 2 MiB of floats
    example = np.ones((2, 512), np.float16)
    version = push_model(graph, "half", example=example, registry=registry)
    assert registry.manifest(version.pin).options["prepack"] is False
