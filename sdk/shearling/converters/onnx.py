"""Write an ONNX graph as a bundle keeps it: optimised once, its large weights beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shearling.bundle.digests import describe
from shearling.errors import FormatError
from shearling.formats.onnx import OnnxPredictor, open_session
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx
    import onnxruntime
    from numpy.typing import NDArray

    from shearling.converters.base import ConvertedModel


Load = Literal["latency", "throughput"]

_ENTRY = "model.onnx"
_WEIGHTS = "weights"

#: Below this a model is one file: a second one would cost more than it saves.
_EXTERNAL_BYTES = 1024 * 1024

#: Above this, float weights are mapped and used where they lie rather than packed for the
#: processor: a load of milliseconds instead of seconds, for large batches half as fast again.
MAPPED_BYTES = 100_000_000

#: Operators on quantised weights are several times slower without packing.
_QUANTISED = ("Quant", "QLinear", "Integer", "NBits")

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
} | {
    f"tensor({sign}int{n})": f"{sign}int{n}".upper() for sign in ("", "u") for n in (8, 16, 32, 64)
}


def convert(
    model: onnx.ModelProto | str | Path, example: object, directory: Path, load: Load | None = None
) -> ConvertedModel:
    """Optimise a graph at the hardware-independent level and write it to a directory.

    Args:
        model: a graph, or the path of one, which may have external data; above 2 GB only a path.
        example: what `shearling.inputs.to_tensors` takes.
        directory: where the files go.
        load: "latency" maps the weights, "throughput" packs them for the processor; None decides.

    Raises:
        FormatError: it is not a model that ONNX Runtime runs.
        InvalidRequestError: the example does not fit the model's inputs.
    """
    import onnxruntime

    from shearling.converters.base import ConvertedModel
    from shearling.tensors.inputs import columns_of, to_tensors

    source = model if isinstance(model, str | Path) else _write(model, directory / "original.onnx")
    if not Path(source).is_file():
        raise FormatError(f"there is no file {source}")
    original = open_session(Path(source), None)
    inputs = _specs(original.get_inputs(), "input")
    outputs = _specs(original.get_outputs(), "output")
    columns = columns_of(example, inputs)
    tensors = to_tensors(example, inputs, columns)
    names = [spec.name for spec in outputs]
    try:
        expected = OnnxPredictor(original).predict(tensors, names)
    except Exception as error:  # ONNX Runtime's errors share no class of their own
        raise FormatError(f"the model fails on the example: {error}") from error
    entry, files = _optimise(Path(source), directory)
    return ConvertedModel(
        format="onnx",
        entry=_ENTRY,
        files=files,
        signature=Signature(
            inputs=inputs, outputs=tuple(_observed(spec, expected[spec.name]) for spec in outputs)
        ),
        inputs=tensors,
        expected=expected,
        options={
            "ir": entry.ir_version,
            "opset": _opsets(entry),
            "onnxruntime": onnxruntime.__version__,
            "prepack": _is_packing_better(entry) if load is None else load == "throughput",
        }
        | ({"columns": columns} if columns else {}),
    )


def _optimise(source: Path, directory: Path) -> tuple[onnx.ModelProto, dict[str, Path]]:
    """Write the optimised graph, and its large weights under their own digest."""
    import onnx

    graph_path = directory / _ENTRY
    entries = {}
    if _bytes_of(source) >= _EXTERNAL_BYTES:
        entries = {
            "optimized_model_external_initializers_file_name": _WEIGHTS,
            "optimized_model_external_initializers_min_size_in_bytes": "1024",
        }
    open_session(source, None, optimized=str(graph_path), **entries)
    graph = onnx.load(str(graph_path), load_external_data=False)
    _drop_unused_opsets(graph)
    files = {_ENTRY: graph_path}
    weights = directory / _WEIGHTS
    if weights.exists() and weights.stat().st_size:
        with weights.open("rb") as stream:
            name = describe(_WEIGHTS, stream).hex
        weights = weights.rename(directory / name)
        for tensor in _tensors(graph):
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = name
        files[name] = weights
    _write(graph, graph_path)
    return graph, files


def _is_packing_better(graph: onnx.ModelProto) -> bool:
    """Decide by the measured rule: not for large float weights, unless operators are quantised."""
    import onnx

    float_bytes = sum(
        4 * math.prod(tensor.dims)
        for tensor in _tensors(graph)
        if tensor.data_type == onnx.TensorProto.FLOAT
    )
    if float_bytes < MAPPED_BYTES:
        return True
    return any(word in node.op_type for node in _nodes(graph) for word in _QUANTISED)


def _bytes_of(source: Path) -> int:
    """Return the size of a graph and of the files beside it that it names."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo

    graph = onnx.load(str(source), load_external_data=False)
    beside = {
        ExternalDataInfo(tensor).location
        for tensor in _tensors(graph)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    }
    return source.stat().st_size + sum((source.parent / name).stat().st_size for name in beside)


def _write(graph: onnx.ModelProto, path: Path) -> Path:
    try:
        # Deterministic, so that the same model is the same bundle.
        path.write_bytes(graph.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf's errors differ between its implementations
        raise FormatError(
            f"the graph cannot be written as one message ({error}): above 2 GB, save it with "
            "onnx.convert(..., save_as_external_data=True) and push the path"
        ) from error
    return path


def _specs(nodes: Sequence[onnxruntime.NodeArg], kind: str) -> tuple[TensorSpec, ...]:
    return tuple(_spec(node, kind) for node in nodes)


def _spec(node: onnxruntime.NodeArg, kind: str) -> TensorSpec:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise FormatError(
            f"{kind} {node.name!r} is a {node.type}, not a tensor of the protocol: "
            f"{_way_to_tensors(node.type)}"
        )
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)
    return TensorSpec(name=node.name, datatype=datatype, shape=shape)


def _observed(spec: TensorSpec, answer: NDArray[Any]) -> TensorSpec:
    """Return an output's spec without the sizes that an answer disproves: some graphs declare such.

    ONNX Runtime only warns of them.
    """
    if len(spec.shape) != answer.ndim:
        return replace(spec, shape=(-1,) * answer.ndim)
    sizes = zip(spec.shape, answer.shape, strict=True)
    return replace(spec, shape=tuple(size if size == seen else -1 for size, seen in sizes))


def _way_to_tensors(kind: str) -> str:
    if "map(" in kind:  # what converters make of a classifier's probabilities
        return "convert the model with plain tensors, without ZipMap (`zipmap`: False)"
    if kind.startswith("seq("):  # as of MultiOutputClassifier: one for each target
        return (
            "it is several in one: convert the model so that each tensor is an output of its own, "
            "or push the original with format='cloudpickle'"
        )
    return "convert the model so that it has plain tensors"


def _opsets(graph: onnx.ModelProto) -> dict[str, int]:
    return {each.domain or "ai.onnx": each.version for each in graph.opset_import}


def _drop_unused_opsets(graph: onnx.ModelProto) -> None:
    """Import only what is used: ONNX Runtime names all that it knows, which an older may not."""
    used = {node.domain for node in _nodes(graph)}
    # In an order that does not depend on the process: the same model is the same bundle.
    kept = sorted(
        (each for each in graph.opset_import if each.domain in used), key=attrgetter("domain")
    )
    if kept:  # a graph without nodes has to import something
        del graph.opset_import[:]
        graph.opset_import.extend(kept)


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph, of its functions, and of the graphs inside (If, Loop, Scan)."""
    bodies: list[onnx.GraphProto | onnx.FunctionProto] = [*_graphs(model), *model.functions]
    for body in bodies:
        yield from body.node


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors that a model holds: initializers and attributes, wherever they are."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _graphs(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    """Return a model's graph, and those inside of its nodes and of its functions' nodes."""
    found = [model.graph]
    todo: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while todo:
        inner = [
            each
            for node in todo.pop().node
            for attribute in node.attribute
            for each in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
        ]
        found += inner
        todo += inner
    return found
