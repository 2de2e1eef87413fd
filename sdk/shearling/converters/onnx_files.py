"""Write a graph as the files of a bundle, and decide how a function loads its weights."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from shearling.bundle.digests import describe
from shearling.converters.onnx_parts import nodes_of, tensors_of
from shearling.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    import onnx


Load = Literal["latency", "throughput"]

#: Path of the graph in a bundle.
ENTRY = "model.onnx"

#: Name of the weights file until its digest is known.
WEIGHTS = "weights"

#: Smaller models stay in one file: fetching a second file costs more than it saves.
EXTERNAL_BYTES = 1024 * 1024

#: From this size on, float weights are mapped into memory and used without packing for the
#: processor. Loading takes milliseconds instead of seconds, but large batches run slower.
MAPPED_BYTES = 100_000_000

#: Operators on quantised weights are several times slower without packing.
_QUANTISED = ("Quant", "QLinear", "Integer", "NBits")

#: The least size of a tensor that goes to the weights file.
_LEAST_BYTES = 1024


def write_files(graph: onnx.ModelProto, directory: Path) -> dict[str, Path]:
    """Write a graph and, if it is large, its weights to a file named by its digest.

    Args:
        graph: a graph with all its weights in memory, which the files replace.
        directory: existing directory for the files.
    """
    import onnx

    if sum(len(tensor.raw_data) for tensor in tensors_of(graph)) < EXTERNAL_BYTES:
        return {ENTRY: write_graph(graph, directory / ENTRY)}
    onnx.save_model(
        graph,
        str(directory / ENTRY),
        save_as_external_data=True,
        location=WEIGHTS,
        size_threshold=_LEAST_BYTES,
    )
    return name_weights(graph, directory)


def name_weights(graph: onnx.ModelProto, directory: Path) -> dict[str, Path]:
    """Rename the file `weights` to its digest, and write the graph that reads it.

    Args:
        graph: the graph, whose external tensors get the new location. It is edited in place.
        directory: directory with the weights file, if the graph has one.

    Returns:
        The local file for each path in the bundle.
    """
    files = {ENTRY: directory / ENTRY}
    weights = directory / WEIGHTS
    if weights.exists() and weights.stat().st_size:
        with weights.open("rb") as stream:
            name = describe(WEIGHTS, stream).hex
        files[name] = weights.rename(directory / name)
        for tensor in tensors_of(graph):
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = name
    write_graph(graph, files[ENTRY])
    return files


def write_graph(graph: onnx.ModelProto, path: Path) -> Path:
    """Write a graph to one file.

    Raises:
        FormatError: it is larger than 2 GB.
    """
    try:
        # Deterministic, so that the same model always gives the same bundle.
        path.write_bytes(graph.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf's errors differ between its implementations
        raise FormatError(
            f"the graph cannot be serialized ({error}): if it is larger than 2 GB, save it with "
            "onnx.save(..., save_as_external_data=True) and push the path"
        ) from error
    return path


def load_options(graph: onnx.ModelProto, load: Load | None = None) -> dict[str, Any]:
    """Return what a manifest records for loading a graph.

    Args:
        graph: the graph.
        load: "latency" maps the weights, "throughput" packs them for the processor, None decides by
            the size of the float weights.
    """
    import onnxruntime

    return {
        "ir": graph.ir_version,
        "opset": {opset.domain or "ai.onnx": opset.version for opset in graph.opset_import},
        "onnxruntime": onnxruntime.__version__,
        "prepack": _is_packing_better(graph) if load is None else load == "throughput",
    }


def _is_packing_better(graph: onnx.ModelProto) -> bool:
    """Return whether packing weights pays: for small float weights or quantised operators."""
    if float_bytes(graph) < MAPPED_BYTES:
        return True
    return any(word in node.op_type for node in nodes_of(graph) for word in _QUANTISED)


def float_bytes(graph: onnx.ModelProto) -> int:
    """Return the bytes of a graph's weights of 16, 32 or 64 bits as the 32-bit floats they become.

    ONNX Runtime computes in 32 bits what has 16 in the file.
    """
    import onnx

    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    return sum(
        4 * math.prod(tensor.dims) for tensor in tensors_of(graph) if tensor.data_type in kinds
    )


def drop_unused_opsets(graph: onnx.ModelProto) -> None:
    """Drop opset imports that no node uses.

    ONNX Runtime imports every opset that it knows, and an older version may not know them all.
    """
    used = {node.domain for node in nodes_of(graph)}
    # Sorted, so that the same model gives the same bundle in every process.
    opsets = sorted(
        (opset for opset in graph.opset_import if opset.domain in used), key=attrgetter("domain")
    )
    if opsets:  # a graph without nodes still needs one import
        del graph.opset_import[:]
        graph.opset_import.extend(opsets)
