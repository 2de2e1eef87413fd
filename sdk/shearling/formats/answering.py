"""Answer inputs with a loaded model: whatever it raises becomes an error for the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.errors import InferenceError, InvalidRequestError, PredictionError
from shearling.tensors.conversion import differing_row_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.bundle.example import Example
    from shearling.formats.base import Predictor
    from shearling.tensors.spec import Signature

    Tensors = Mapping[str, NDArray[Any]]


def model_answer(
    predictor: Predictor,
    inputs: Tensors,
    outputs: Sequence[str],
    *,
    signature: Signature,
    example: Example,
    predict: Callable[[Tensors, Sequence[str]], Tensors] | None = None,
) -> Tensors:
    """Return the outputs for inputs that match the signature, by name.

    Args:
        predictor: the model.
        inputs: the inputs.
        outputs: names of the outputs.
        signature: signature of the model.
        example: example of the model, which tells the outputs for inputs without rows.
        predict: asks the model; by default `predictor.predict`.

    Raises:
        InvalidRequestError: the inputs have values that the model cannot process.
        PredictionError: the model failed.
    """
    try:
        return (predict or predictor.predict)(inputs, outputs)
    except Exception as error:
        # Some models fail on a request without rows.
        empty = example.without_rows(inputs, signature, outputs)
        if empty is None:
            if isinstance(error, InferenceError):
                raise
            raise _failure(predictor, inputs, signature, error) from error
        return empty


def _failure(
    predictor: Predictor, inputs: Tensors, signature: Signature, error: Exception
) -> InferenceError:
    """Return the error for the caller whose inputs the model failed on."""
    specs = (spec for spec in signature.inputs if spec.shape[:1] == (-1,))
    if counts := differing_row_counts({spec.name: inputs[spec.name] for spec in specs}):
        return InvalidRequestError(
            f"inputs: the model failed, and the numbers of rows differ: {counts}"
        )
    if reason := predictor.refusal(error):
        return InvalidRequestError(f"inputs: the model cannot process the values: {reason:.300}")
    return PredictionError(f"the model failed with {type(error).__name__}")
