"""How the golden bundles beside this file were written: `python write.py chunked|whole DIRECTORY`.

Run it in an empty directory, by the version that the bundle shall be of; it is kept as a record.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

import shearling
from shearling.bundle import digests
from shearling.bundle.digests import Descriptor, describe
from shearling.bundle.example import Example
from shearling.bundle.manifest import ExampleFile, Manifest
from shearling.registry.registry import Registry
from shearling.tensors.spec import Signature, TensorSpec


def described(name: str, data: bytes) -> Descriptor:
    """Write a file here and describe it."""
    Path(name).write_bytes(data)
    with Path(name).open("rb") as stream:
        return describe(name, stream)


def write(root: Path, *, chunked: bool) -> None:
    """Write a registry of one bundle, and its pin."""
    if chunked:
        digests.CHUNK_BYTES = 4096
    columns = 100 if chunked else 4
    weights = (np.arange(25 * 100, dtype=np.float32) % 17 - 8).reshape(25, 100)[:, :columns]
    rows = np.arange(50, dtype=np.float32).reshape(2, 25) % 5
    tensor = helper.make_tensor("W", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)
    beside = []
    if chunked:
        name = described("weights", weights.tobytes()).hex
        beside = [described(name, weights.tobytes())]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": name, "offset": "0", "length": str(weights.nbytes)}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "W"], ["Y"])],
        "golden",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 25])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", columns])],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    example = Example({"X": rows}, {"Y": rows @ weights})
    files = [
        described("model.onnx", model.SerializeToString(deterministic=True)),
        *beside,
        described("example.tensors", example.to_bytes()),
    ]
    manifest = Manifest(
        model="golden",
        format="onnx",
        entry="model.onnx",
        files=tuple(files),
        signature=Signature(
            inputs=(TensorSpec(name="X", datatype="FP32", shape=(-1, 25)),),
            outputs=(TensorSpec(name="Y", datatype="FP32", shape=(-1, columns)),),
        ),
        example=ExampleFile(path="example.tensors", rtol=1e-3, atol=1e-4),
        options={
            "ir": 8,
            "opset": {"ai.onnx": 17},
            "onnxruntime": "1.23.0",
            "prepack": not chunked,
        },
        metadata={"auc": "0.5", "note": "grüße"},
    )
    registry = Registry(root / "registry")
    paths = {file.path: Path(file.path) for file in files}
    details = {"pushed_by": "golden", "shearling": shearling.__version__}
    pin = registry.publish(manifest, paths, details).version.pin
    registry.set_alias("golden", "prod", 1)
    (root / "pin.txt").write_text(f"{pin}\n")


if __name__ == "__main__":
    write(Path(sys.argv[2]).absolute(), chunked=sys.argv[1] == "chunked")
