"""Write an optimised ONNX graph and, if its weights are large, a separate weights file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.converters.onnx_files import (
    ENTRY,
    EXTERNAL_BYTES,
    WEIGHTS,
    drop_unused_opsets,
    load_options,
    name_weights,
    write_graph,
)
from shearling.converters.onnx_parts import tensors_of
from shearling.converters.onnx_reference import check_repeatable, open_reference
from shearling.errors import FormatError
from shearling.formats.onnx import open_session
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    import onnxruntime
    from numpy.typing import NDArray

    from shearling.converters.base import ConvertedModel, Steps
    from shearling.converters.onnx_files import Load
    from shearling.formats.base import Predictor
    from shearling.formats.text import TextNormalization


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
    *,
    steps: Steps | None = None,
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
        steps: what happens to a request before the graph reads it; None if it reads the request.

    Raises:
        FormatError: ONNX Runtime cannot load or run the model.
        InvalidRequestError: the example does not fit the model's inputs.
    """
    from shearling.converters.base import ConvertedModel
    from shearling.converters.original import Original
    from shearling.tensors.inputs import columns_of, to_tensors

    source = (
        model if isinstance(model, str | Path) else write_graph(model, directory / "original.onnx")
    )
    if not Path(source).is_file():
        raise FormatError(f"model: file {source} does not exist")
    reference = open_reference(Path(source), directory, text)
    inputs = steps.inputs if steps else _specs(reference.inputs, "input")
    answering: Predictor = reference
    if steps:
        answering = steps.before(reference, [node.name for node in reference.inputs])
    outputs = _specs(reference.outputs, "output")
    columns = columns_of(example, inputs)
    tensors = to_tensors(example, inputs, columns)
    names = [spec.name for spec in outputs]
    try:
        expected = answering.predict(tensors, names)
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise FormatError(f"the model fails on the example: {error}") from error
    entry, files = _optimise(reference.graph, directory)
    check_repeatable(reference.graph, entry)
    return ConvertedModel(
        format="onnx",
        entry=ENTRY,
        files=files | (dict(steps.files) if steps else {}),
        signature=Signature(
            inputs=inputs, outputs=tuple(_observed(spec, expected[spec.name]) for spec in outputs)
        ),
        inputs=tensors,
        expected=expected,
        original=Original(
            kind="graph",
            rows=tensors,
            answer=lambda rows: answering.predict(to_tensors(rows, inputs), names),
        ),
        options=load_options(entry, load)
        | ({"columns": columns} if columns else {})
        | ({"text": {name: one.to_json() for name, one in text.items()}} if text else {})
        | (dict(steps.options) if steps else {}),
    )


def _optimise(source: Path, directory: Path) -> tuple[onnx.ModelProto, dict[str, Path]]:
    """Write the optimised graph, and large weights to a file named by its digest."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    entries = {}
    if _bytes_of(source) >= EXTERNAL_BYTES:
        entries = {
            "optimized_model_external_initializers_file_name": WEIGHTS,
            "optimized_model_external_initializers_min_size_in_bytes": "1024",
        }
    session = open_session(source, None, entries, optimized=directory / ENTRY)
    graph = onnx.load(str(directory / ENTRY), load_external_data=False)
    if not entries:
        # ONNX Runtime leaves weights that the source keeps in another file there.
        load_external_data_for_model(graph, str(source.parent))
        for tensor in tensors_of(graph):
            tensor.ClearField("data_location")  # now the default, as of a graph in one file
    drop_unused_opsets(graph)
    _drop_shared_inputs(graph, {node.name for node in session.get_inputs()})
    return graph, name_weights(graph, directory)


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
