"""Run a graph as it was pushed: what its optimised form is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from shearling.converters.onnx_parts import nodes_of
from shearling.errors import FormatError
from shearling.formats.onnx import OnnxPredictor, open_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx
    import onnxruntime
    from numpy.typing import NDArray

    from shearling.formats.base import Tensors
    from shearling.formats.text import TextNormalization

#: The oldest opset that ONNX Runtime has all kernels for, and one that every version has.
_OLDEST, _COMMON = 7, 18

#: Parts of ONNX Runtime's messages about an opset that it has no kernels for.
_NO_KERNEL = ("Could not find an implementation", "opset versions")

#: Inputs of Dropout: the third says whether the graph is in training mode.
_TRAINING_INPUT = 2


class _Runs(Protocol):
    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A graph that runs without optimisations, so that an error of an optimisation is found too.

    Attributes:
        graph: path of the graph, of an opset that ONNX Runtime has kernels for.
        inputs: the graph's inputs.
        outputs: the graph's outputs.
    """

    graph: Path
    inputs: Sequence[onnxruntime.NodeArg]
    outputs: Sequence[onnxruntime.NodeArg]
    _model: _Runs

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs."""
        return self._model.predict(inputs, outputs)

    def refusal(self, error: Exception) -> str:
        """Return an empty reason: nothing is refused here."""
        del error
        return ""


def open_reference(
    source: Path, directory: Path, text: Mapping[str, TextNormalization] | None = None
) -> Reference:
    """Open a graph without optimisations.

    If it quantises, it is optimised as ONNX Runtime does by default: the fused operators round
    otherwise than the single ones, and every user of the graph gets their answers.

    A graph of an opset that ONNX Runtime has no kernels for is converted to another opset, and
    ONNX's reference implementation runs it as it was pushed.

    Args:
        source: path of the graph.
        directory: existing directory for a converted graph.
        text: for each input of texts, what happens to them before the graph reads them.

    Raises:
        FormatError: ONNX Runtime cannot load the graph, or a converted graph cannot be proven.
    """
    try:
        session = open_session(source, None, optimize=_is_quantised(source))
    except FormatError as error:
        if not any(words in str(error) for words in _NO_KERNEL):
            raise
        return _converted(source, directory, error)
    return Reference(
        graph=source,
        inputs=session.get_inputs(),
        outputs=session.get_outputs(),
        _model=OnnxPredictor(session, text),
    )


def _is_quantised(source: Path) -> bool:
    import onnx

    try:
        graph = onnx.load(str(source), load_external_data=False)
    except Exception:  # noqa: BLE001 - protobuf's errors differ; ONNX Runtime says what is wrong
        return False
    return any(node.op_type == "QuantizeLinear" for node in nodes_of(graph))


def check_repeatable(source: Path, optimised: onnx.ModelProto) -> None:
    """Refuse a graph that answers the same rows differently each time.

    Args:
        source: path of the graph, whose operators have the names that the user knows.
        optimised: the same graph without operators that change no answer.

    Raises:
        FormatError: an operator is random, or is in training mode.
    """
    import onnx

    reasons = _changes(optimised)
    if reasons:
        named = _changes(onnx.load(str(source), load_external_data=False)) or reasons
        raise FormatError(
            f"operator {named[0]}, so the model answers the same rows differently each time, and a "
            "function could not prove its answers. Nothing was published. Export the model for "
            "inference: in PyTorch, call model.eval() before torch.onnx.export"
        )


def _changes(graph: onnx.ModelProto) -> list[str]:
    """Return text about each operator whose answers change."""
    from onnx import numpy_helper

    flags = {
        tensor.name: bool(numpy_helper.to_array(tensor).any())
        for tensor in graph.graph.initializer
        if tensor.data_type == tensor.BOOL
    }
    nodes = [(node, _change(node, flags)) for node in nodes_of(graph)]
    return [
        f"{node.op_type} ({node.name or node.output[0]!r}) {reason}"
        for node, reason in nodes
        if reason
    ]


def _change(node: onnx.NodeProto, flags: dict[str, bool]) -> str:
    """Return why a node's answers change; empty if they do not."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    outputs = [name for name in node.output if name]
    if node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial"):
        return "is random"
    is_training = {
        "BatchNormalization": bool(attributes.get("training_mode")) or len(outputs) > 1,
        "Dropout": any(map(flags.get, node.input[_TRAINING_INPUT:])),
    }
    return "is in training mode" if is_training.get(node.op_type) else ""


class _OnnxReference:
    """ONNX's reference implementation of a graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx.reference import ReferenceEvaluator

        self._evaluator = ReferenceEvaluator(model)

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs."""
        answers = self._evaluator.run(list(outputs), dict(inputs))
        return {name: np.asarray(array) for name, array in zip(outputs, answers, strict=True)}


def _converted(source: Path, directory: Path, error: FormatError) -> Reference:
    """Convert a graph to an opset with kernels."""
    import onnx

    model = onnx.load(str(source))
    version = next((each.version for each in model.opset_import if not each.domain), 0)
    path = directory / "converted.onnx"
    try:
        onnx.save(with_opset(model, _OLDEST if version < _OLDEST else _COMMON), str(path))
        session = open_session(path, None, optimize=False)
        reference = _OnnxReference(model)
    except Exception as reason:  # the converter and the reference raise errors of any class
        raise FormatError(
            f"{error}. The graph has opset {version}, and converting it to another and proving the "
            f"result failed: {str(reason).strip(' .'):.200}. Export the model with an opset from "
            f"{_OLDEST} to {_COMMON}"
        ) from reason
    return Reference(
        graph=path,
        inputs=session.get_inputs(),
        outputs=session.get_outputs(),
        _model=reference,
    )


def with_opset(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Convert a graph to an opset, with fixed sizes meanwhile, which the converter demands."""
    import onnx
    from onnx import version_converter

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if not size.HasField("dim_value"):
                size.dim_value = 2
    converted: onnx.ModelProto = version_converter.convert_version(fixed, version)
    del converted.graph.value_info[:]
    varying = {value.name: value for value in (*model.graph.input, *model.graph.output)}
    for value in (*converted.graph.input, *converted.graph.output):
        value.CopyFrom(varying[value.name])
    return converted
