"""A PyTorch module as a function answers: in evaluation mode on the CPU, arrays in, arrays out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        with torch.no_grad(), one_attention():
            return {name: value.numpy(force=True) for name, value in self.outputs(tensors).items()}

    def cast(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array with the type of the weights if it has floats."""
        is_float = array.dtype.kind == "f" and self.float_type is not None
        return np.ascontiguousarray(array, self.float_type if is_float else None)


@contextmanager
def one_attention() -> Iterator[None]:
    """Let attention compute as in training, which is what exporters read.

    Otherwise PyTorch's transformer layers answer padded places by 0 where no gradient is asked for.
    """
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


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
    if any(each.device.type != "cpu" for each in (*weights, *module.buffers())):
        copied = copied.cpu()
    return copied.eval()


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
