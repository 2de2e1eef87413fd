"""What a push writes, and that pushing the same model again returns the same version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_graph
from tests.support.datasets import X, classifier, echo_graph

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry


def test_a_model_that_was_retrained_is_a_new_version(registry: Registry) -> None:
    push_model(scaling_graph(2.0), "fraud", example=ROWS, registry=registry)
    other = push_model(scaling_graph(3.0), "fraud", example=ROWS, registry=registry)
    assert (other.version, other.is_new) == (2, True)


def test_the_first_rows_are_published_and_all_rows_verify_the_conversion(
    registry: Registry, cache: Path
) -> None:
    from shearling.bundle.example import Example

    push_model(classifier(LogisticRegression()), "fraud", example=X, registry=registry)
    manifest = load_model("fraud", registry=registry).manifest
    blob = cache / "shearling" / "blobs" / "sha256" / manifest.file(manifest.example.path).hex
    example = Example.from_bytes(blob.read_bytes())
    np.testing.assert_array_equal(example.inputs["X"], X[:8])
    assert example.outputs["label"].shape == (8,)


def test_metadata_belongs_to_the_model_and_measurements_to_the_push(registry: Registry) -> None:
    version = push_model(
        scaling_graph(), "fraud", example=ROWS, metadata={"auc": 0.5}, registry=registry
    )
    assert registry.manifest(version.pin).metadata == {"auc": "0.5"}
    details = registry.version(version.pin).details
    assert details["size_bytes"] == version.size_bytes
    assert details["pushed_by"]
    assert details["load_ms"] >= 0
    assert details["metrics"] == {"auc": 0.5}


def test_numbers_stay_numbers_in_the_version_record(registry: Registry) -> None:
    metadata = {
        "auc": np.float32(0.25),
        "rows": np.int64(7),
        "cv": {"mean": 0.5, "folds": [0.25, 0.75], "note": "five"},
        "loss": float("nan"),
        "ids": 2**60,
        "final": True,
        "owner": "risk",
        "weights": np.ones(3),
    }
    version = push_model(
        scaling_graph(), "fraud", example=ROWS, metadata=metadata, registry=registry
    )
    record = registry.version(version.pin)
    assert record.details["metrics"] == {"auc": 0.25, "rows": 7, "cv": {"mean": 0.5}}
    assert registry.manifest(version.pin).metadata["auc"] == "0.25"


def test_very_many_metrics_do_not_make_the_record_unreadable(registry: Registry) -> None:
    metadata = {f"{'metric' * 20} {i}": i / 7 for i in range(1_000)}
    version = push_model(
        scaling_graph(), "fraud", example=ROWS, metadata=metadata, registry=registry
    )
    assert 50 < len(registry.version(version.pin).details["metrics"]) < 200
    assert len(registry.manifest(version.pin).metadata) == 1_000


def test_a_scalar_answer_stays_a_scalar(registry: Registry) -> None:
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["X"], ["total"], keepdims=0)],
        "total",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows"])],
        [helper.make_tensor_value_info("total", TensorProto.FLOAT, [])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    push_model(model, "total", example=np.ones(3, np.float32), registry=registry)
    answer = load_model("total", registry=registry).predict(np.ones(5, np.float32))
    assert answer["total"] == 5.0


def test_fewer_rows_are_published_if_rows_are_large(registry: Registry) -> None:
    images = np.ones((8, 300_000), np.float32)
    push_model(echo_graph("rows", 300_000), "images", example=images, registry=registry)
    manifest = registry.manifest(registry.resolve("images"))
    size = manifest.file(manifest.example.path).size
    assert size == pytest.approx(2 * images[:1].nbytes, rel=0.01)  # the row and its answer


def test_a_push_with_an_alias_sets_it_once(registry: Registry) -> None:
    first = push_model(scaling_graph(), "fraud", example=ROWS, alias="prod", registry=registry)
    assert first.alias == "prod"
    push_model(scaling_graph(), "fraud", example=ROWS, alias="prod", registry=registry)
    push_model(scaling_graph(3.0), "fraud", example=ROWS, alias="prod", registry=registry)
    assert [entry.version for entry in registry.history("fraud", "prod")] == [1, 2]
