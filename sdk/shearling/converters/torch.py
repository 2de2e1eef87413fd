"""Convert PyTorch modules and exported programs to ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters import onnx
from shearling.converters.base import observed_specs
from shearling.converters.original import Original
from shearling.converters.torch_axes import axes_of, axes_of_program, sizes_unlike
from shearling.converters.torch_checks import check_convertible, check_steady
from shearling.converters.torch_example import named_example
from shearling.converters.torch_export import export
from shearling.converters.torch_module import call_of, unwrapped
from shearling.errors import FormatError, InvalidRequestError
from shearling.tensors.dtypes import DTYPES
from shearling.tensors.inputs import check_rows, columns_of

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.converters.base import ConvertedModel
    from shearling.converters.onnx_files import Load
    from shearling.converters.torch_axes import Axes
    from shearling.converters.torch_module import Call
    from shearling.formats.base import Tensors

#: What networks of 16-bit floats differ by: they round each step, and ONNX Runtime does not.
_HALF = 1e-2


def is_torch(model: object) -> bool:
    """Return whether a model is an object or weights of PyTorch, without importing PyTorch."""
    kinds = [*type(model).__mro__]
    if isinstance(model, Mapping):  # weights without their module
        kinds += [type(value) for value in model.values()]
    return any(kind.__module__.partition(".")[0] == "torch" for kind in kinds)


def convert(
    model: Any,
    example: Any,
    directory: Path,
    load: Load | None = None,
    dynamic: Axes | None = None,
) -> ConvertedModel:
    """Export a module and write it to a directory.

    The inputs are named as the parameters of `forward`. The outputs are named by the keys of a
    dict, or by the fields of a named tuple or dataclass. A single tensor is `output`, and those of
    a tuple are `output_0`, `output_1` and so on.

    Args:
        model: a `torch.nn.Module`, also compiled, or a `torch.export.ExportedProgram`.
        example: an array or DataFrame for the first parameter of `forward`, a tuple for the first
            ones, or a dict for parameters by name. Floats are cast to the type of the weights.
        directory: existing directory to write the files to.
        load: as for `shearling.converters.onnx.convert`.
        dynamic: for each input, the axes whose size varies besides the number of rows, with a name
            for each size.

    Raises:
        FormatError: the module cannot be converted; the message says what to do instead.
        InvalidRequestError: the example or `dynamic` does not fit `forward`.
    """
    import torch

    model = unwrapped(model)
    is_program = isinstance(model, torch.export.ExportedProgram)
    if is_program and dynamic is not None:
        raise InvalidRequestError(
            "dynamic does not apply to an exported program: name the sizes that vary in "
            "torch.export.export(..., dynamic_shapes=...)"
        )
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # PyTorch warns about its own code
        module = model.module() if is_program else model
        check_convertible(module)
        arrays = named_example(module.forward, f"{type(module).__name__}.forward", example)
        check_rows(arrays)
        call = call_of(module, by_name=isinstance(example, Mapping))
        arrays = {name: call.cast(array) for name, array in arrays.items()}
        axes = axes_of_program(model, arrays) if is_program else axes_of(arrays, dynamic or {})
        converted = convert_call(call, arrays, axes, directory, load)
    columns = columns_of(example, converted.signature.inputs)
    named = {"columns": columns} if columns else {}
    return replace(converted, options={**converted.options, **named})


def convert_call(
    call: Call, arrays: Tensors, axes: Axes, directory: Path, load: Load | None
) -> ConvertedModel:
    """Export a module with the way to call it, and write it to a directory.

    Args:
        call: the module and how to call it.
        arrays: the example.
        axes: for each input, the axes whose size varies.
        directory: existing directory to write the files to.
        load: as for `shearling.converters.onnx.convert`.
    """
    expected = _answers_to_example(call, arrays)
    check_steady(call, arrays, expected)
    path = directory / "exported.onnx"
    limits = export(call, arrays, list(expected), axes, path)
    converted = onnx.convert(path, arrays, directory, load)
    types = {spec.name: DTYPES[spec.datatype] for spec in converted.signature.inputs}
    return replace(
        converted,
        expected=expected,
        original=Original(
            rows=converted.inputs,
            answer=lambda rows: call.answer(
                {name: np.asarray(array, types[name]) for name, array in rows.items()}
            ),
            other_sizes=sizes_unlike(converted.inputs, axes, limits),
        ),
        rounding=_HALF if _is_half(call, expected) else 0.0,
    )


def _answers_to_example(call: Call, arrays: Tensors) -> Tensors:
    try:
        return call.answer(arrays)
    except FormatError:
        raise
    except Exception as error:  # modules raise errors of any class
        inputs = ", ".join(map(str, observed_specs(arrays, ())))
        raise FormatError(
            f"the model fails on the example: {type(error).__name__}: {error!s:.300}. It was "
            f"called with {inputs}"
        ) from error


def _is_half(call: Call, answers: Tensors) -> bool:
    """Return whether a module computes in 16 bits."""
    types = [call.float_type, *(answer.dtype for answer in answers.values())]
    return any(dtype == np.float16 for dtype in types)
