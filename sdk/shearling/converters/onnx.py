"""Write an optimised ONNX graph and, if its weights are large, a separate weights file."""

from __future__ import annotations

import math
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shearling.bundle.digests import describe
from shearling.converters.onnx_parts import nodes_of, tensors_of
from shearling.converters.onnx_reference import check_repeatable, open_reference
from shearling.errors import FormatError
from shearling.formats.onnx import open_session
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    import onnxruntime
    from numpy.typing import NDArray

    from shearling.converters.base import ConvertedModel
    from shearling.formats.text import TextNormalization


Load = Literal["latency", "throughput"]

_ENTRY = "model.onnx"
_WEIGHTS = "weights"

#: Smaller models stay in one file: fetching a second file costs more than it saves.
_EXTERNAL_BYTES = 1024 * 1024

#: From this size on, float weights are mapped into memory and used without packing for the
#: processor. Loading takes milliseconds instead of seconds, but large batches run slower.
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
    model: onnx.ModelProto | str | Path,
    example: object,
    directory: Path,
    load: Load | None = None,
    text: Mapping[str, TextNormalization] | None = None,
) -> ConvertedModel:
    """Optimise a graph at the hardware-independent level and write it to a directory.

    Args:
        model: a graph, or the path of an ONNX file, which may have external data. A graph above
            2 GB must be a path.
        example: rows as an array, a DataFrame, or a dict of arrays by input name.
        directory: existing directory to write the files to.
        load: "latency" maps the weights, "throughput" packs them for the processor, None decides by
            the size of the float weights.
        text: for each input of texts, what happens to them before the graph reads them.

    Raises:
        FormatError: ONNX Runtime cannot load or run the model.
        InvalidRequestError: the example does not fit the model's inputs.
    """
    import onnxruntime

    from shearling.converters.base import ConvertedModel
    from shearling.converters.original import Original
    from shearling.tensors.inputs import columns_of, to_tensors

    source = model if isinstance(model, str | Path) else _write(model, directory / "original.onnx")
    if not Path(source).is_file():
        raise FormatError(f"model: file {source} does not exist")
    reference = open_reference(Path(source), directory, text)
    inputs = _specs(reference.inputs, "input")
    outputs = _specs(reference.outputs, "output")
    columns = columns_of(example, inputs)
    tensors = to_tensors(example, inputs, columns)
    names = [spec.name for spec in outputs]
    try:
        expected = reference.predict(tensors, names)
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise FormatError(f"the model fails on the example: {error}") from error
    entry, files = _optimise(reference.graph, directory)
    check_repeatable(reference.graph, entry)
    return ConvertedModel(
        format="onnx",
        entry=_ENTRY,
        files=files,
        signature=Signature(
            inputs=inputs, outputs=tuple(_observed(spec, expected[spec.name]) for spec in outputs)
        ),
        inputs=tensors,
        expected=expected,
        original=Original(
            kind="graph",
            rows=tensors,
            answer=lambda rows: reference.predict(to_tensors(rows, inputs), names),
        ),
        options={
            "ir": entry.ir_version,
            "opset": _opsets(entry),
            "onnxruntime": onnxruntime.__version__,
            "prepack": _is_packing_better(entry) if load is None else load == "throughput",
        }
        | ({"columns": columns} if columns else {})
        | ({"text": {name: one.to_json() for name, one in text.items()}} if text else {}),
    )


def _optimise(source: Path, directory: Path) -> tuple[onnx.ModelProto, dict[str, Path]]:
    """Write the optimised graph, and large weights to a file named by its digest."""
    import onnx

    graph_path = directory / _ENTRY
    entries = {}
    if _bytes_of(source) >= _EXTERNAL_BYTES:
        entries = {
            "optimized_model_external_initializers_file_name": _WEIGHTS,
            "optimized_model_external_initializers_min_size_in_bytes": "1024",
        }
    session = open_session(source, None, entries, optimized=graph_path)
    graph = onnx.load(str(graph_path), load_external_data=False)
    _drop_unused_opsets(graph)
    _drop_shared_inputs(graph, {node.name for node in session.get_inputs()})
    files = {_ENTRY: graph_path}
    weights = directory / _WEIGHTS
    if weights.exists() and weights.stat().st_size:
        with weights.open("rb") as stream:
            name = describe(_WEIGHTS, stream).hex
        weights = weights.rename(directory / name)
        for tensor in tensors_of(graph):
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = name
        files[name] = weights
    _write(graph, graph_path)
    return graph, files


def _is_packing_better(graph: onnx.ModelProto) -> bool:
    """Return whether packing weights pays: for small float weights or quantised operators."""
    import onnx

    float_bytes = sum(
        4 * math.prod(tensor.dims)
        for tensor in tensors_of(graph)
        if tensor.data_type == onnx.TensorProto.FLOAT
    )
    if float_bytes < MAPPED_BYTES:
        return True
    return any(word in node.op_type for node in nodes_of(graph) for word in _QUANTISED)


def _bytes_of(source: Path) -> int:
    """Return the total size of a graph file and its external data files."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo

    graph = onnx.load(str(source), load_external_data=False)
    external_files = {
        ExternalDataInfo(tensor).location
        for tensor in tensors_of(graph)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    }
    sizes = ((source.parent / name).stat().st_size for name in external_files)
    return source.stat().st_size + sum(sizes)


def _write(graph: onnx.ModelProto, path: Path) -> Path:
    try:
        # Deterministic, so that the same model always gives the same bundle.
        path.write_bytes(graph.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf's errors differ between its implementations
        raise FormatError(
            f"the graph cannot be serialized ({error}): if it is larger than 2 GB, save it with "
            "onnx.save(..., save_as_external_data=True) and push the path"
        ) from error
    return path


def _specs(nodes: Sequence[onnxruntime.NodeArg], kind: str) -> tuple[TensorSpec, ...]:
    return tuple(_spec(node, kind) for node in nodes)


def _spec(node: onnxruntime.NodeArg, kind: str) -> TensorSpec:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise FormatError(
            f"{kind} {node.name!r} has type {node.type}, which is not a supported tensor: "
            f"{_tensor_remedy(node.type)}"
        )
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)
    return TensorSpec(name=node.name, datatype=datatype, shape=shape)


def _observed(spec: TensorSpec, answer: NDArray[Any]) -> TensorSpec:
    """Return an output's spec with every size that differs from the answer's set to -1.

    Some graphs declare wrong output sizes, and ONNX Runtime only warns about them.
    """
    if len(spec.shape) != answer.ndim:
        return replace(spec, shape=(-1,) * answer.ndim)
    sizes = zip(spec.shape, answer.shape, strict=True)
    return replace(spec, shape=tuple(size if size == actual else -1 for size, actual in sizes))


def _tensor_remedy(kind: str) -> str:
    if "map(" in kind:  # ZipMap, which skl2onnx adds to a classifier's probabilities by default
        return "convert the model without ZipMap (options={'zipmap': False})"
    if kind.startswith("seq("):  # for example MultiOutputClassifier: one tensor for each target
        return (
            "it holds several tensors. Convert the model so that each tensor is a separate output, "
            "or push the original with format='cloudpickle'"
        )
    return "convert the model so that its inputs and outputs are plain tensors"


def _opsets(graph: onnx.ModelProto) -> dict[str, int]:
    return {opset.domain or "ai.onnx": opset.version for opset in graph.opset_import}


def _drop_shared_inputs(graph: onnx.ModelProto, names: set[str]) -> None:
    """Drop inputs that stood for weights which ONNX Runtime replaced by equal ones.

    In old graphs all weights are inputs too, with the weight as the default.

    Args:
        graph: the optimised graph, edited in place.
        names: names of the inputs that are no weights.
    """
    names = names | {tensor.name for tensor in graph.graph.initializer}
    kept = [value for value in graph.graph.input if value.name in names]
    if len(kept) < len(graph.graph.input):
        del graph.graph.input[:]
        graph.graph.input.extend(kept)


def _drop_unused_opsets(graph: onnx.ModelProto) -> None:
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
