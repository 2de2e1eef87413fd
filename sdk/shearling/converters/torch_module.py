"""A PyTorch module as a function answers: in evaluation mode on the CPU, arrays in, arrays out."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError, InvalidRequestError
from shearling.tensors.dtypes import DTYPES
from shearling.tensors.inputs import as_array, as_matrix, is_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from shearling.formats.base import Tensors

#: The output of a module that returns one tensor.
OUTPUT = "output"

#: Types of outputs that a request can carry.
_SERVED = frozenset(np.dtype(dtype).name for name, dtype in DTYPES.items() if name != "BYTES")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A module that is called with arrays by name.

    Attributes:
        title: name of the module's class, for messages.
        module: the module, which has the weights.
        run: calls the module; gets tensors by the names of its inputs, and returns what it returns.
        float_type: type of the module's weights, to which arrays of floats are cast; None without.
    """

    title: str
    module: Any
    run: Callable[[dict[str, Any]], Any]
    float_type: np.dtype[Any] | None

    def outputs(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Return the tensors that the module returns, by name.

        Raises:
            FormatError: it returns something that is not tensors by name.
        """
        named = _named(self.run(tensors))
        found = {
            f"{name}_{OUTPUT}" if name in tensors else name: value
            for name, value in named.items()
            if value is not None
        }
        if not found:
            raise FormatError(f"{self.title} returns no tensor: return at least one")
        for name, value in found.items():
            _check_output(self.title, name, value)
        return found

    def answer(self, arrays: Tensors) -> dict[str, NDArray[Any]]:
        """Return the module's answers to arrays by the names of its inputs."""
        import torch

        # Copies, because the module may change its inputs in place.
        tensors = {name: torch.tensor(self.cast(array)) for name, array in arrays.items()}
        with torch.no_grad():
            return {name: value.numpy(force=True) for name, value in self.outputs(tensors).items()}

    def cast(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array with the type of the weights if it has floats."""
        is_float = array.dtype.kind == "f" and self.float_type is not None
        return np.ascontiguousarray(array, self.float_type if is_float else None)


def unwrapped(model: Any) -> Any:
    """Return the module inside the wrappers of `torch.compile` and of training on several devices.

    Raises:
        FormatError: it is neither a module nor an exported program; the message says what to push.
    """
    import torch

    if isinstance(model, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        raise FormatError(
            f"{type(model).__name__} is TorchScript, which PyTorch cannot export any more: push "
            "the module that it was made from"
        )
    wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    if isinstance(model, wrappers):
        return unwrapped(model.module)
    if hasattr(model, "_orig_mod"):  # torch.compile's wrapper
        return unwrapped(model._orig_mod)  # noqa: SLF001 - the wrapper has no public way
    if isinstance(model, torch.export.ExportedProgram | torch.nn.Module):
        return model
    raise FormatError(
        f"{type(model).__name__} is not a torch.nn.Module: push the module, with its weights loaded"
    )


def named_example(module: Any, example: Any) -> dict[str, NDArray[Any]]:
    """Return an example's arrays by the names of the parameters of a module's `forward`.

    Args:
        module: a module.
        example: an array or DataFrame for the first parameter, a tuple for the first ones, or a
            dict for parameters by name.

    Raises:
        InvalidRequestError: the example does not fit the parameters.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    if isinstance(example, Mapping):
        arrays = {str(name): _array(value, str(name)) for name, value in example.items()}
    else:
        values = example if isinstance(example, tuple) else (example,)
        names = _positional(parameters, len(values))
        if len(names) < len(values):
            raise InvalidRequestError(
                f"example has {len(values)} inputs, and {type(module).__name__}.forward takes "
                f"{', '.join(names)}: pass one array for each"
            )
        arrays = {name: _array(value, name) for name, value in zip(names, values, strict=True)}
    _check_names(module, arrays)
    return arrays


def call_of(module: Any, *, by_name: bool) -> Call:
    """Return a call of a module in evaluation mode, which leaves the caller's module as it is.

    Args:
        module: a module.
        by_name: whether inputs are passed by name, and not by place.

    Raises:
        FormatError: the module cannot be copied.
    """
    served = evaluation_copy(module)

    def run(tensors: dict[str, Any]) -> Any:
        return served(**tensors) if by_name else served(*tensors.values())

    return Call(title=type(module).__name__, module=served, run=run, float_type=float_type(served))


def float_type(module: Any) -> np.dtype[Any] | None:
    """Return the type of a module's weights as numpy's; None if it has no weights of floats."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return np.dtype(str(tensor.dtype).removeprefix("torch."))
    return None


def evaluation_copy(module: Any) -> Any:
    """Return a copy of a module in evaluation mode on the CPU, with the same weights in memory.

    Buffers are copied, because `forward` may change them.
    """
    weights = list(module.parameters())
    memo = {id(weight): weight for weight in weights if weight.device.type == "cpu"}
    for part in module.modules():
        for value in vars(part).values():
            if getattr(value, "grad_fn", None) is not None:  # which cannot be copied otherwise
                memo[id(value)] = value.detach()
    try:
        copied = copy.deepcopy(module, memo)
    except Exception as error:  # noqa: BLE001 - attributes raise errors of any class
        raise FormatError(
            f"{type(module).__name__} cannot be copied, and the push evaluates a copy, to leave "
            f"the module as it is: {_first_line(error)}. Remove that attribute from the module"
        ) from None
    if len(memo) < len(weights) or any(each.device.type != "cpu" for each in module.buffers()):
        copied = copied.cpu()
    return copied.eval()


def _positional(parameters: Any, count: int) -> list[str]:
    """Return the names of the first parameters that are passed by position."""
    names: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{i}" for i in range(count - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    return names[:count]


def _check_names(module: Any, arrays: Mapping[str, Any]) -> None:
    """Refuse an example without a required parameter, or with one that `forward` does not have."""
    parameters = inspect.signature(module.forward).parameters.values()
    forward = f"{type(module).__name__}.forward"
    known = [each.name for each in parameters if each.kind not in (2, 4)]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    takes_more = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    unknown = [name for name in arrays if name not in known]
    if unknown and not takes_any and not takes_more:
        raise InvalidRequestError(
            f"example: {unknown[0]!r:.80} is not a parameter of {forward}, which takes "
            f"{', '.join(known)}"
        )
    for each in parameters:
        if each.name in known and each.default is each.empty and each.name not in arrays:
            raise InvalidRequestError(
                f"example has no {each.name!r:.80}, which {forward} needs: pass a tuple with an "
                "array for each parameter, or a dict by parameter"
            )


def _array(value: Any, name: str) -> NDArray[Any]:
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


def _named(answer: Any) -> dict[str, Any]:
    """Return what a module returned by name: keys, fields, or places."""
    if isinstance(answer, Mapping):
        return {str(name): value for name, value in answer.items()}
    if is_dataclass(answer):
        return {field.name: getattr(answer, field.name) for field in fields(answer)}
    if hasattr(answer, "_fields"):
        return dict(zip(answer._fields, answer, strict=True))
    if isinstance(answer, tuple | list) and len(answer) != 1:
        return {f"{OUTPUT}_{place}": value for place, value in enumerate(answer)}
    return {OUTPUT: answer[0] if isinstance(answer, tuple | list) else answer}


def _check_output(title: str, name: str, value: Any) -> None:
    import torch

    if not isinstance(value, torch.Tensor):
        raise FormatError(
            f"output {name!r:.80} of {title} is a {type(value).__name__}, and a model's outputs "
            "are tensors: push a module that returns a tensor, or a flat tuple or dict of them"
        )
    kind = str(value.dtype).removeprefix("torch.")
    if value.layout is not torch.strided or kind not in _SERVED:
        layout = "" if value.layout is torch.strided else f" ({value.layout})"
        raise FormatError(
            f"output {name!r:.80} of {title} has the type {kind}{layout}, which answers cannot "
            "carry: return it as .float(), or leave it out"
        )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), ''):.200}"
