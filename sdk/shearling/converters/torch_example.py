"""An example of a PyTorch or Keras model, as arrays by the names of its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from inspect import Parameter
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.inputs import as_array, as_matrix, is_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

#: Parameters that stand for any number of arguments.
_ANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def named_example(function: Any, title: str, example: Any) -> dict[str, NDArray[Any]]:
    """Return an example's arrays by the names of the parameters that they are passed for.

    Args:
        function: a bound method, such as a module's `forward`.
        title: the method's name, for messages.
        example: an array or DataFrame for the first parameter, a tuple for the first ones, or a
            dict for parameters by name.

    Raises:
        InvalidRequestError: the example does not fit the parameters.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if isinstance(example, Mapping):
        arrays = {str(name): input_array(value, str(name)) for name, value in example.items()}
    else:
        values = example if isinstance(example, tuple) else (example,)
        names = _positional(parameters, len(values))
        if len(names) < len(values):
            raise InvalidRequestError(
                f"example has {len(values)} inputs, and {title} takes {', '.join(names)}: pass one "
                "array for each"
            )
        arrays = {name: input_array(value, name) for name, value in zip(names, values, strict=True)}
    _check_names(parameters, title, arrays)
    return arrays


def _positional(parameters: Iterable[Parameter], count: int) -> list[str]:
    """Return the names of the first parameters that are passed by position."""
    names: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{i}" for i in range(count - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    return names[:count]


def _check_names(parameters: Sequence[Parameter], title: str, arrays: Mapping[str, Any]) -> None:
    """Refuse an example without a required parameter, or with one that does not exist."""
    known = [each.name for each in parameters if each.kind not in _ANY]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    takes_more = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    unknown = [name for name in arrays if name not in known]
    if unknown and not takes_any and not takes_more:
        raise InvalidRequestError(
            f"example: {unknown[0]!r:.80} is not a parameter of {title}, which takes "
            f"{', '.join(known)}"
        )
    for each in parameters:
        if each.name in known and each.default is each.empty and each.name not in arrays:
            raise InvalidRequestError(
                f"example has no {each.name!r:.80}, which {title} needs: pass a tuple with an "
                "array for each parameter, or a dict by parameter"
            )


def input_array(value: Any, name: str) -> NDArray[Any]:
    """Return one input of an example as an array.

    Raises:
        InvalidRequestError: it is no array of numbers or booleans.
    """
    if hasattr(value, "detach"):  # a tensor, also of half a float's exponent, or of a graphics card
        value = value.detach().cpu()
        array: NDArray[Any] = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    else:
        array = as_matrix(value) if is_frame(value) else as_array(value, f"example {name!r}")
    if array.dtype.kind == "O":
        array = _typed(array)
    if array.dtype.kind not in "fiub" or not array.ndim:
        raise InvalidRequestError(
            f"example: input {name!r} is {value!r:.80}, and modules are called with arrays of "
            "numbers: write other arguments into the module, such as by a subclass with a `forward`"
        )
    return array


def _typed(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of Python's numbers, as DataFrames of several types make, with their type."""
    try:
        return np.array(array.tolist())
    except ValueError:
        return array
