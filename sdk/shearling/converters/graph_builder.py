"""Add nodes to the graph that skl2onnx makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: ONNX's number of the type of 32-bit floats.
_FLOAT = 1


Kind: TypeAlias = Literal["text", "float", "integer"]


class Column(NamedTuple):
    """A tensor of shape [rows, 1], and what its values are; booleans are integers."""

    name: str
    kind: Kind


class GraphBuilder:
    """Adds nodes for one estimator.

    Args:
        scope: skl2onnx's scope, which makes names.
        operator: skl2onnx's operator: the estimator with its inputs and outputs.
        container: skl2onnx's container of nodes.
    """

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.estimator: Any = operator.raw_operator
        self._scope = scope
        self._operator = operator
        self._container = container

    @property
    def inputs(self) -> list[str]:
        """Names of the estimator's inputs."""
        return [variable.full_name for variable in self._operator.inputs]

    @property
    def are_texts(self) -> bool:
        """Whether the estimator's inputs are strings."""
        return _kind_of(self._operator.inputs[0]) == "text"

    def matrix(self) -> str:
        """Return the inputs as one matrix.

        Raises:
            FormatError: they have different types.
        """
        if len({type(variable.type) for variable in self._operator.inputs}) > 1:
            raise FormatError(
                f"{type(self.estimator).__name__} cannot be converted to ONNX: the columns that it "
                "gets have different types, and it takes one matrix: cast them to one type, or "
                "select columns of one type for it in a ColumnTransformer"
            )
        return self.inputs[0] if len(self.inputs) == 1 else self.add("Concat", *self.inputs, axis=1)

    def floats(self) -> str:
        """Return the inputs as one matrix of floats."""
        inputs = [
            variable.full_name
            if _kind_of(variable) == "float"
            else self.add("Cast", variable.full_name, to=_FLOAT)
            for variable in self._operator.inputs
        ]
        return inputs[0] if len(inputs) == 1 else self.add("Concat", *inputs, axis=1)

    def columns(self, count: int) -> list[Column]:
        """Return each column of the inputs.

        Args:
            count: how many there are, for a single input of unknown width.
        """
        columns: list[Column] = []
        for variable in self._operator.inputs:
            name, kind, sizes = variable.full_name, _kind_of(variable), variable.type.shape
            width = (sizes[1] if len(sizes) > 1 else None) or count - len(columns)
            if width == 1:
                columns.append(Column(name, kind))
                continue
            names = (
                self.add("Gather", name, self.constant([place]), axis=1) for place in range(width)
            )
            columns += [Column(column, kind) for column in names]
        return columns

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        return self.add_several(kind, *inputs, count=1, domain=domain, **attributes)[0]

    def add_several(
        self, kind: str, *inputs: str, count: int, domain: str = "", **attributes: Any
    ) -> Sequence[str]:
        """Add a node with several outputs, and return their names."""
        outputs = [self._scope.get_unique_variable_name(kind.lower()) for _ in range(count)]
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(
            kind, list(inputs), outputs, op_domain=domain, name=name, **attributes
        )
        return outputs

    def constant(self, values: Any) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        array = np.asarray(values)
        array = array.astype(object) if array.dtype.kind == "U" else array
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.initializers.append(numpy_helper.from_array(array, name))
        return name

    def float_constant(self, values: Any) -> str:
        """Add a constant of 32-bit floats, and return its name."""
        return self.constant(np.asarray(values, np.float32))

    def set_output(self, value: str, place: int = 0) -> None:
        """Make a value an output of the estimator."""
        self._container.add_node(
            "Identity",
            value,
            self._operator.outputs[place].full_name,
            name=self._scope.get_unique_operator_name("Identity"),
        )


def _kind_of(variable: Any) -> Kind:
    name = type(variable.type).__name__
    kinds: dict[str, Kind] = {"StringTensorType": "text", "FloatTensorType": "float"}
    return kinds.get(name, "integer")


def set_float_output(operator: Any, width: int) -> None:
    """Declare that an operator returns a matrix of 32-bit floats."""
    from skl2onnx.common.data_types import FloatTensorType

    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = FloatTensorType([rows, width])


def set_classifier_outputs(operator: Any) -> None:
    """Declare that an operator returns labels, and a matrix with a score for each class."""
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    classes = operator.raw_operator.classes_
    labels = StringTensorType if np.asarray(classes).dtype.kind in "OU" else Int64TensorType
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = labels([rows])
    operator.outputs[1].type = FloatTensorType([rows, len(classes)])
