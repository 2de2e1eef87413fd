"""The contract of a model that a SageMaker endpoint serves already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from shearling.bundle.example import EXAMPLE_FILE
from shearling.errors import FormatError, InvalidRequestError
from shearling.formats.base import REMOTE
from shearling.formats.cloudpickle import ARRAY_INPUT, as_tensor
from shearling.tensors.conversion import shown
from shearling.tensors.encoding import has_infinity
from shearling.tensors.inputs import as_array, as_matrix, columns_of, is_frame, named_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shearling.converters.base import ConvertedModel
    from shearling.formats.base import Tensors

_Body = Literal["json", "binary", "csv"]

#: Name of the output if the answers have none.
_OUTPUT = "output"

_MATRIX = 2


@dataclass(frozen=True, slots=True)
class Remote:
    """A model that a SageMaker endpoint serves, given to `push_model` in place of a model.

    Only its contract is pushed: the signature, the example and the answers to it. A function with
    `endpoint_name` in Terraform forwards requests to the endpoint. Before each release it sends
    the example, and the alias moves only if the endpoint gives these answers.

    Attributes:
        answers: the endpoint's answers to all rows of the example: an array, a DataFrame, or a dict
            of arrays by output name.
        body: form of the endpoint's requests and responses. "json" and "binary" are the Open
            Inference Protocol's, and "csv" is lines of numbers without a header, as SageMaker's own
            algorithms take and return them.
    """

    answers: Any
    body: _Body = "json"


def convert(model: Remote, example: Any) -> ConvertedModel:
    """Return the contract of an endpoint's model.

    Args:
        model: the endpoint's answers, and the form of its bodies.
        example: rows that the endpoint answered.

    Raises:
        FormatError: the form is none of the three, or cannot carry the tensors.
        InvalidRequestError: the example has no inputs, or the answers are not one for each of its
            rows.
    """
    from shearling.converters.base import ConvertedModel, observed_specs
    from shearling.converters.original import Original
    from shearling.tensors.spec import Signature

    if model.body not in get_args(_Body):
        expected = ", ".join(map(repr, get_args(_Body)))
        raise FormatError(f"body {shown(model.body)}: expected one of {expected}")
    inputs = _inputs(example)
    answers = named_arrays(model.answers)
    if answers is None:
        answers = {_OUTPUT: as_array(model.answers, "answers")}
    outputs = {name: as_tensor(array, f"answers {name!r}") for name, array in answers.items()}
    rows = next(iter(inputs.values())).shape[:1]
    _check_rows(outputs, rows)
    _check_body(model.body, inputs, outputs)
    specs = observed_specs(inputs, rows)
    columns = columns_of(example, specs)
    return ConvertedModel(
        format=REMOTE,
        entry=EXAMPLE_FILE,
        files={},
        signature=Signature(inputs=specs, outputs=observed_specs(outputs, rows)),
        inputs=inputs,
        expected=outputs,
        original=Original(kind="object", rows=inputs, answer=lambda _: outputs),
        options={"body": model.body} | ({"columns": columns} if columns else {}),
    )


class RecordedAnswers:
    """A predictor that returns the answers that were pushed, for the first rows of the example."""

    def __init__(self, answers: Tensors) -> None:
        self._answers = answers

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for the first rows of the example."""
        rows = len(next(iter(inputs.values())))
        return {name: self._answers[name][:rows] for name in outputs}

    def refusal(self, error: Exception) -> str:
        """Return an empty reason: nothing is refused here."""
        del error
        return ""


def _inputs(example: Any) -> dict[str, NDArray[Any]]:
    """Return a DataFrame of numbers as one input, and any other as an input for each column."""
    arrays = named_arrays(example)
    if is_frame(example) and as_matrix(example).dtype.kind != "O":
        arrays = {ARRAY_INPUT: as_matrix(example)}
    if arrays is None:
        arrays = {ARRAY_INPUT: as_array(example, "example")}
    if not arrays:
        raise InvalidRequestError("example has no inputs: pass an array for each input")
    return {name: as_tensor(array, f"example {name!r}") for name, array in arrays.items()}


def _check_rows(outputs: dict[str, NDArray[Any]], rows: tuple[int, ...]) -> None:
    if not outputs:
        raise InvalidRequestError("answers: there are none: pass an array for each output")
    for name, array in outputs.items():
        if array.shape[:1] != rows:
            raise InvalidRequestError(
                f"answers: output {name!r:.80} has shape {list(array.shape)}, but the example has "
                f"{rows[0]} rows: pass the endpoint's answer to each row"
            )


def _check_body(
    body: _Body, inputs: dict[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]
) -> None:
    arrays = [*inputs.values(), *outputs.values()]
    if body == "json" and any(array.dtype == np.float16 for array in arrays):
        raise FormatError("body 'json' cannot carry 16-bit floats: use 'binary'")
    if body == "json" and any(map(has_infinity, arrays)):
        raise FormatError("body 'json' cannot carry infinite values: use 'binary'")
    are_numbers = all(np.issubdtype(array.dtype, np.number) for array in arrays)
    are_tables = len(inputs) == len(outputs) == 1 and all(a.ndim <= _MATRIX for a in arrays)
    if body == "csv" and not (are_numbers and are_tables):
        raise FormatError(
            "body 'csv' carries one input and one output of numbers, in rows and columns: use "
            "'json', or pass one array each"
        )
