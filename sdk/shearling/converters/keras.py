"""Convert Keras models on the backend PyTorch to ONNX."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters.torch import convert_call
from shearling.converters.torch_axes import axes_of
from shearling.converters.torch_checks import check_convertible
from shearling.converters.torch_example import input_array, named_example
from shearling.converters.torch_module import OUTPUT, Call
from shearling.errors import FormatError, InvalidRequestError
from shearling.tensors.inputs import check_rows, columns_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.converters.base import ConvertedModel
    from shearling.converters.onnx_files import Load
    from shearling.converters.torch_axes import Axes

#: The name of an input without one.
_INPUT = "input"

#: The name that Keras gives an input without one; its number depends on what was made before.
_UNNAMED = re.compile(r"keras_tensor(_\d+)?")


def is_keras(model: object) -> bool:
    """Return whether a model is Keras's, without importing Keras."""
    return any(kind.__module__.partition(".")[0] == "keras" for kind in type(model).__mro__)


def convert(
    model: Any,
    example: Any,
    directory: Path,
    load: Load | None = None,
    dynamic: Axes | None = None,
) -> ConvertedModel:
    """Export a model and write it to a directory. A model that is not built yet is built first.

    The inputs and outputs of a functional model have its names, where Keras did not make them up.
    Those of other models are named as by `shearling.converters.torch.convert`.

    Args:
        model: a Keras model or layer on the backend PyTorch.
        example: an array or DataFrame, a tuple or list with an array for each input, or a dict by
            input.
        directory: existing directory to write the files to.
        load: as for `shearling.converters.onnx.convert`.
        dynamic: as for `shearling.converters.torch.convert`.

    Raises:
        FormatError: the model cannot be converted; the message says what to do instead.
        InvalidRequestError: the example or `dynamic` does not fit the model.
    """
    import torch

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.no_grad():
        warnings.simplefilter("ignore")  # PyTorch warns about its own code
        call, arrays = _call_of(model, example)
        check_rows(arrays)
        check_convertible(model)
        arrays = {name: call.cast(array) for name, array in arrays.items()}
        converted = convert_call(call, arrays, axes_of(arrays, dynamic or {}), directory, load)
    columns = columns_of(example, converted.signature.inputs)
    named = {"columns": columns} if columns else {}
    return replace(converted, options={**converted.options, **named})


def _call_of(model: Any, example: Any) -> tuple[Call, dict[str, NDArray[Any]]]:
    """Return the call of a model that states its inputs, or has a `call` of its own."""
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if "Sequential" in kinds:
        if not model.built:
            array = input_array(_values_of(example, [_INPUT])[_INPUT], _INPUT)
            model(np.asarray(array, model.variable_dtype if array.dtype.kind == "f" else None))
        return _functional(model, example, model.inputs[0], model.outputs[0])
    if "Functional" in kinds:
        return _functional(model, example, model.input, model.output)
    return _own(model, example)


def _functional(
    model: Any, example: Any, stated: Any, answered: Any
) -> tuple[Call, dict[str, NDArray[Any]]]:
    """Return the call of a model that states its inputs and outputs, and the example for it.

    Args:
        model: the model.
        example: the example.
        stated: a tensor, a list or a dict of them: what the model takes.
        answered: the same for what it returns.

    Raises:
        FormatError: its inputs or outputs are nested.
        InvalidRequestError: the example does not fit the inputs.
    """
    title = type(model).__name__
    inputs = _by_name(stated, title)
    outputs = _output_names(model, answered)
    values = _values_of(example, list(inputs))
    arrays = {
        name: np.asarray(input_array(values[name], name), tensor.dtype)
        for name, tensor in inputs.items()
    }

    def run(tensors: dict[str, Any]) -> Any:
        by_kind: Any = tensors
        if not isinstance(stated, Mapping):
            by_kind = list(tensors.values())
            by_kind = by_kind if isinstance(stated, list | tuple) else by_kind[0]
        answer = model(by_kind, training=False)
        return dict(zip(outputs, answer, strict=True)) if outputs else answer

    return Call(title=title, module=model, run=run, float_type=None), arrays


def _values_of(example: Any, names: list[str]) -> dict[str, Any]:
    """Return the value of each input in an example.

    Raises:
        InvalidRequestError: it has other inputs.
    """
    if isinstance(example, Mapping):
        values = {str(name): value for name, value in example.items()}
    else:
        is_several = isinstance(example, tuple) or (isinstance(example, list) and len(names) > 1)
        several = list(example) if is_several else [example]
        if len(several) != len(names):
            raise InvalidRequestError(
                f"example has {len(several)} inputs, and the model takes {', '.join(names)}: pass "
                "a tuple with an array for each, or a dict by input"
            )
        values = dict(zip(names, several, strict=True))
    if set(values) != set(names):
        raise InvalidRequestError(
            f"example has the inputs {', '.join(values)}, and the model takes {', '.join(names)}"
        )
    return values


def _by_name(stated: Any, title: str) -> dict[str, Any]:
    """Return the inputs by key, or by their own names unless Keras made them up."""
    if isinstance(stated, Mapping):
        named = {str(key): value for key, value in stated.items()}
    elif isinstance(stated, list | tuple):
        names = [getattr(value, "name", "") for value in stated]
        named = {
            f"{_INPUT}_{place}" if _UNNAMED.fullmatch(name) else name: stated[place]
            for place, name in enumerate(names)
        }
    else:
        named = {_INPUT if _UNNAMED.fullmatch(stated.name) else stated.name: stated}
    if not all(hasattr(value, "dtype") for value in named.values()):
        raise FormatError(f"the inputs of {title} are nested: make a model of a flat list or dict")
    return named


def _output_names(model: Any, answered: Any) -> list[str]:
    """Return the names of a list of outputs: those of their layers, unless Keras made them up."""
    if not isinstance(answered, list | tuple):
        return []
    names = [str(name) for name in model.output_names]
    are_own = len(set(names)) == len(answered) and not any(
        _is_made_up(name, type(model.get_layer(name)).__name__) for name in names
    )
    return names if are_own else [f"{OUTPUT}_{place}" for place in range(len(answered))]


def _is_made_up(name: str, kind: str) -> bool:
    """Return whether Keras names a layer of a class so, such as `dense_1` of `Dense`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
    return re.fullmatch(rf"{words}(_\d+)?", name) is not None


def _own(model: Any, example: Any) -> tuple[Call, dict[str, NDArray[Any]]]:
    """Return the call of a model that has a `call` of its own, and the example for it."""
    title = type(model).__name__
    is_one = isinstance(example, Mapping) and not set(map(str, example)) & set(
        inspect.signature(model.call).parameters
    )
    arrays = (
        {str(name): input_array(value, str(name)) for name, value in example.items()}
        if is_one
        else named_example(model.call, f"{title}.call", example)
    )

    def run(tensors: dict[str, Any]) -> Any:
        if is_one:  # the first parameter takes the whole dict
            return model(tensors, training=False)
        if isinstance(example, Mapping):
            return model(**tensors, training=False)
        return model(*tensors.values(), training=False)

    dtype = str(model.variable_dtype)
    float_type = np.dtype("float32" if dtype == "bfloat16" else dtype)
    return Call(title=title, module=model, run=run, float_type=float_type), arrays
