"""Small bundles of real ONNX graphs, created without a converter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from shearling.bundle.digests import Descriptor, describe
from shearling.bundle.example import Example
from shearling.bundle.manifest import ExampleFile, Manifest
from shearling.bundle.measurement import Latency, Measurement
from shearling.registry.registry import Registry
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.records import Version

MIB = 2**20

ROWS = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


#: What a push might measure of a bundle.
MEASURED = Measurement(
    import_ms=120.5,
    load_ms=24.0,
    first_ms=0.8,
    imports_mb=58.0,
    start_mb=90.0,
    peak_mb=120.0,
    model_mb=21.9,
    latencies=(
        Latency(rows=1, threads=1, p50_ms=1.0, p95_ms=1.5),
        Latency(rows=64, threads=1, p50_ms=32.0, p95_ms=40.0),
        Latency(rows=1, threads=2, p50_ms=0.75, p95_ms=1.0),
    ),
    processor="a processor",
    flags=("avx2",),
    system="Linux x86_64",
)


def scaling_graph(factor: float = 2.0, dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A graph with one input `X` of two columns and one output `Y = factor * X`."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["X", "factor"], ["Y"])],
        "scaling",
        [helper.make_tensor_value_info("X", dtype, ["rows", 2])],
        [helper.make_tensor_value_info("Y", dtype, ["rows", 2])],
        [helper.make_tensor("factor", dtype, [1], [factor])],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tests"
    )


def weights_graph(megabytes: int) -> onnx.ModelProto:
    """A graph that multiplies rows of 256 columns by a matrix of a known size."""
    columns = megabytes * MIB // 4 // 256
    weights = np.random.default_rng(0).random((256, columns), np.float32)
    nodes = [
        helper.make_node("MatMul", ["X", "W"], ["wide"]),
        helper.make_node("ReduceMean", ["wide"], ["Y"], axes=[1]),
    ]
    graph = helper.make_graph(
        nodes,
        "weights",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 256])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(weights, "W")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A manifest, and the paths of its files."""

    manifest: Manifest
    files: dict[str, Path]

    def publish(self, registry: Registry | str) -> Version:
        """Publish the bundle, and return its version."""
        details = {"pushed_by": "test"}
        return Registry.at(registry).publish(self.manifest, self.files, details).version


def scaling_bundle(
    directory: Path, *, model: str = "fraud", factor: float = 2.0, promised: float | None = None
) -> Bundle:
    """A bundle of `scaling_graph`, written to a directory.

    Args:
        directory: directory to write its files to.
        model: name of the model.
        factor: factor of the graph.
        promised: factor of the answers in the example, if it is another one.
    """
    answers = ROWS * np.float32(factor if promised is None else promised)
    content = {
        "model.onnx": scaling_graph(factor).SerializeToString(deterministic=True),
        "example.tensors": Example({"X": ROWS}, {"Y": answers}).to_bytes(),
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
