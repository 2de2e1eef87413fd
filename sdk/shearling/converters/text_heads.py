"""Add the end of a text model to the graph of its encoder: pooling, normalisation, classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling.converters.onnx_graph import name_tensors
from shearling.errors import FormatError
from shearling.formats.tokenizer import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

#: What becomes of a classifier's logits.
Scores = Literal["softmax", "sigmoid", "none"]

#: Names of the outputs.
EMBEDDING, LABEL, PROBABILITIES, SCORES, SCORE = (
    "embedding",
    "label",
    "probabilities",
    "scores",
    "score",
)

#: The least divisors: of a mean, and of a vector that gets length 1.
_NO_TOKEN, _NO_LENGTH = 1e-9, 1e-12

#: The first opset in which an operator takes its axes as an input.
_AXES_ARE_INPUT = {"ReduceSum": 13, "ReduceL2": 18, "ReduceMax": 18, "Unsqueeze": 13}

#: Activations of a dense layer by the end of PyTorch's name, and their operator.
_ACTIVATIONS = {"Identity": "", "Tanh": "Tanh", "ReLU": "Relu", "Sigmoid": "Sigmoid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """A dense layer after the pooling.

    Attributes:
        weight: matrix of shape [outputs, inputs].
        bias: vector; None without one.
        activation: name of PyTorch's activation, as in `torch.nn.modules.activation.Tanh`.
    """

    weight: NDArray[Any]
    bias: NDArray[Any] | None
    activation: str


def labels_of(config: Mapping[str, Any]) -> list[str]:
    """Return the classes of a model of transformers, in the order of its logits."""
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return [str(name) for _, name in sorted((int(key), name) for key, name in names.items())]


def scores_of(problem: str | None, classes: int) -> Scores:
    """Return what a pipeline of transformers makes of logits.

    Args:
        problem: the type of the problem, as the model's configuration says; None if it does not.
        classes: how many classes there are.
    """
    if problem == "regression":
        return "none"
    return "sigmoid" if problem == "multi_label_classification" or classes == 1 else "softmax"


def end_classifier(end: GraphEnd, labels: Sequence[str], scores: Scores) -> None:
    """End a graph of logits as a pipeline of transformers does.

    One class is a number for each text; of several, exactly one applies unless they are independent
    of each other.
    """
    if len(labels) == 1:
        end.end_as_number(scores)
    else:
        end.end_as_classes(labels, scores, has_label=scores != "sigmoid")


def classifier_answers(
    columns: NDArray[Any], labels: Sequence[str], scores: Scores
) -> dict[str, NDArray[Any]]:
    """Return what such a graph answers, of the scores of a pipeline."""
    if len(labels) == 1:
        return {SCORE: columns[:, 0]}
    answers = {SCORES if scores == "none" else PROBABILITIES: columns}
    if scores != "sigmoid":
        answers = {LABEL: np.array(labels, object)[columns.argmax(axis=1)], **answers}
    return answers


class GraphEnd:
    """Adds nodes after a graph's output, of which the last become its outputs.

    Args:
        model: the graph, edited in place; large weights may be in another file.
        output: name of the output that the nodes begin with.
    """

    def __init__(self, model: onnx.ModelProto, output: str) -> None:
        # Its own names of inner tensors may be those of the new outputs.
        name_tensors(model, [value.name for value in model.graph.input])
        self._model = model
        self._opset = next(each.version for each in model.opset_import if not each.domain)
        self._value = output
        self._count = 0

    def pool(self, modes: Sequence[str]) -> None:
        """Make one vector of the tokens' vectors; several modes are put side by side.

        Raises:
            FormatError: a mode is unknown.
        """
        from onnx import TensorProto

        mask = self._add("Cast", MASK, to=TensorProto.FLOAT)
        vectors = [self._pooled(mode, self._value, mask) for mode in modes]
        self._value = vectors[0] if len(vectors) == 1 else self._add("Concat", *vectors, axis=1)

    def dense(self, layer: Dense) -> None:
        """Add a dense layer.

        Raises:
            FormatError: its activation is unknown.
        """
        kind = layer.activation.rpartition(".")[2]
        if kind not in _ACTIVATIONS:
            raise FormatError(
                f"the activation {layer.activation:.80} of a dense layer is not one of "
                f"{', '.join(_ACTIVATIONS)}: load the folder with SentenceTransformer, and push "
                "that"
            )
        matrix = np.ascontiguousarray(layer.weight.T, np.float32)
        self._value = self._add("MatMul", self._value, self._constant(matrix))
        if layer.bias is not None:
            bias = self._constant(layer.bias.astype(np.float32))
            self._value = self._add("Add", self._value, bias)
        if _ACTIVATIONS[kind]:
            self._value = self._add(_ACTIVATIONS[kind], self._value)

    def normalise(self) -> None:
        """Give each vector length 1."""
        length = self._reduced("ReduceL2", self._value, keepdims=1)
        least = self._constant(np.float32(_NO_LENGTH))
        self._value = self._add("Div", self._value, self._add("Max", length, least))

    def first_columns(self, count: int) -> None:
        """Keep the first columns of each vector."""
        bounds = (self._constant(np.array([place], np.int64)) for place in (0, count, 1))
        self._value = self._add("Slice", self._value, *bounds)

    def end_as_embedding(self) -> None:
        """Make the vectors the graph's only output."""
        self._set_outputs({EMBEDDING: self._value})

    def end_as_classes(self, labels: Sequence[str], scores: Scores, *, has_label: bool) -> None:
        """Make scores of a classifier's logits, and the label of the best one.

        Args:
            labels: the class of each column.
            scores: what becomes of the logits.
            has_label: whether exactly one class applies.
        """
        value = self._value
        if scores == "softmax":
            value = self._add("Softmax", value, axis=1)
        elif scores == "sigmoid":
            value = self._add("Sigmoid", value)
        outputs = {}
        if has_label:
            best = self._add("ArgMax", value, axis=1, keepdims=0)
            outputs[LABEL] = self._add("Gather", self._constant(np.array(labels, object)), best)
        outputs[SCORES if scores == "none" else PROBABILITIES] = value
        self._set_outputs(outputs)

    def end_as_number(self, scores: Scores) -> None:
        """Make the only logit the graph's output: a number for each row."""
        value = self._add("Reshape", self._value, self._constant(np.array([-1], np.int64)))
        self._set_outputs({SCORE: self._add("Sigmoid", value) if scores == "sigmoid" else value})

    def _pooled(self, mode: str, tokens: str, mask: str) -> str:
        if mode == "cls":
            return self._add("Gather", tokens, self._constant(np.int64(0)), axis=1)
        if mode == "max":
            counts = self._add("Greater", self._expanded(mask, 2), self._constant(np.float32(0)))
            lowest = self._constant(np.float32("-inf"))
            counted = self._add("Where", counts, tokens, lowest)
            return self._reduced("ReduceMax", counted, keepdims=0)
        total = self._reduced("ReduceSum", mask, keepdims=1)
        places = self._add("CumSum", mask, self._constant(np.int64(1)))
        least = self._constant(np.float32(_NO_TOKEN))
        match mode:
            case "mean":
                return self._divided(self._weighted(mask, tokens), self._add("Max", total, least))
            case "mean_sqrt_len_tokens":
                root = self._add("Sqrt", self._add("Max", total, least))
                return self._divided(self._weighted(mask, tokens), root)
            case "weightedmean":
                weights = self._add("Mul", mask, places)
                divisor = self._reduced("ReduceSum", weights, keepdims=1)
                divisor = self._add("Max", divisor, least)
                return self._divided(self._weighted(weights, tokens), divisor)
            case "lasttoken":
                is_last = self._add("Equal", places, total)
                last = self._add("Mul", self._add("Cast", is_last, to=1), mask)
                return self._weighted(last, tokens)
        raise FormatError(
            f"the pooling {mode!r:.80} is unknown: load the folder with SentenceTransformer, and "
            "push that"
        )

    def _weighted(self, weights: str, tokens: str) -> str:
        """Return the weighted sum of the tokens' vectors."""
        product = self._add("MatMul", self._expanded(weights, 1), tokens)
        return self._add("Reshape", product, self._constant(np.array([0, -1], np.int64)))

    def _divided(self, vectors: str, divisor: str) -> str:
        return self._add("Div", vectors, divisor)

    def _expanded(self, value: str, axis: int) -> str:
        return self._with_axes("Unsqueeze", value, axis)

    def _reduced(self, kind: str, value: str, *, keepdims: int) -> str:
        return self._with_axes(kind, value, 1, keepdims=keepdims)

    def _with_axes(self, kind: str, value: str, axis: int, **attributes: Any) -> str:
        if self._opset >= _AXES_ARE_INPUT[kind]:
            axes = self._constant(np.array([axis], np.int64))
            return self._add(kind, value, axes, **attributes)
        return self._add(kind, value, axes=[axis], **attributes)

    def _set_outputs(self, outputs: dict[str, str]) -> None:
        """Make values the only outputs of the graph, under these names."""
        from onnx import TensorProto, helper

        graph = self._model.graph
        del graph.output[:]
        for name, value in outputs.items():
            graph.node.append(helper.make_node("Identity", [value], [name], f"{name} output"))
            kind = TensorProto.STRING if name == LABEL else TensorProto.FLOAT
            graph.output.append(helper.make_tensor_value_info(name, kind, None))

    def _constant(self, value: Any) -> str:
        from onnx import numpy_helper

        name = self._new_name("constant")
        self._model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = self._new_name(kind)
        self._model.graph.node.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def _new_name(self, kind: str) -> str:
        self._count += 1
        return f"end {self._count} {kind}"
