"""Small bundles of real ONNX graphs, created without a converter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from shearling.bundle.digests import Descriptor, describe
from shearling.bundle.example import Example
from shearling.bundle.manifest import ExampleFile, Manifest
from shearling.registry.registry import Registry
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.records import Version

ROWS = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def scaling_graph(factor: float = 2.0) -> onnx.ModelProto:
    """A graph with one input `X` of two columns and one output `Y = factor * X`."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["X", "factor"], ["Y"])],
        "scaling",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tests"
    )


@dataclass(frozen=True, slots=True)
class Bundle:
    """A manifest, and the paths of its files."""

    manifest: Manifest
    files: dict[str, Path]

    def publish(self, registry: Registry | str) -> Version:
        """Publish the bundle, and return its version."""
        details = {"pushed_by": "test"}
        return Registry.at(registry).publish(self.manifest, self.files, details).version


def scaling_bundle(directory: Path, *, model: str = "fraud", factor: float = 2.0) -> Bundle:
    """A bundle of `scaling_graph`, written to a directory."""
    content = {
        "model.onnx": scaling_graph(factor).SerializeToString(deterministic=True),
        "example.tensors": Example({"X": ROWS}, {"Y": ROWS * np.float32(factor)}).to_bytes(),
    }
    files = {}
    described: list[Descriptor] = []
    for name, data in content.items():
        files[name] = directory / f"{model}-{factor}-{name}"
        files[name].write_bytes(data)
        with files[name].open("rb") as stream:
            described.append(describe(name, stream))
    manifest = Manifest(
        model=model,
        format="onnx",
        entry="model.onnx",
        files=tuple(described),
        signature=Signature(
            inputs=(TensorSpec(name="X", datatype="FP32", shape=(-1, 2)),),
            outputs=(TensorSpec(name="Y", datatype="FP32", shape=(-1, 2)),),
        ),
        example=ExampleFile(path="example.tensors", rtol=1e-3, atol=1e-4),
        options={"ir": 8, "opset": {"ai.onnx": 17}, "onnxruntime": "1.23.0"},
    )
    return Bundle(manifest, files)
