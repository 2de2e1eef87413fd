"""Export a PyTorch module to an ONNX file, and say in a sentence what cannot be exported."""

from __future__ import annotations

import io
import logging
import re
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters.onnx_files import EXTERNAL_BYTES
from shearling.converters.torch_axes import ROWS, placeholder_shapes
from shearling.converters.torch_module import one_attention
from shearling.converters.torch_translations import translations
from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.converters.torch_axes import Axes
    from shearling.converters.torch_module import Call
    from shearling.formats.base import Tensors

#: What PyTorch's errors say about code that branches on the values of tensors.
_BY_VALUE = ("data-dependent", "Data-dependent", "Dynamic control flow", "DataDependent")

#: A size that the code fixes: the input's place, the axis, and the size.
_FIXED = re.compile(
    r"\['tensors'\]\[(?P<place>\d+)\]\.size\(\)\[(?P<axis>\d+)\] as dynamic but your code "
    r"specialized it to be a constant \((?P<size>\d+)\)"
)

#: A size that varies, as PyTorch's errors name it.
_SYMBOL = re.compile(r"\bs\d+\b")

#: The place in the caller's code that an error of `torch.export` names, and the line there.
_PLACE = re.compile(
    r"The following call raised this error:\s+File \"(?P<file>[^\"]*)\", line (?P<line>\d+),"
    r"[^\n]*\n\s*(?P<code>[^\n]*)"
)

#: The operator that an error of `torch.onnx.export` names.
_OPERATOR = re.compile(r"OpOverload\(op='(?P<name>[^']+)'")


def export(
    call: Call, arrays: Tensors, outputs: Sequence[str], axes: Axes, path: Path
) -> dict[str, int]:
    """Export a module to an ONNX file, with inputs and outputs named as those of the call.

    Args:
        call: the module and how it is called.
        arrays: rows to trace the module with.
        outputs: names of the outputs.
        axes: the sizes that may vary.
        path: the file to write; large weights go into a file beside it.

    Returns:
        The largest size that the module's code admits, for each size that it limits.

    Raises:
        FormatError: PyTorch cannot export the module.
    """
    import torch

    rows = {name: _stretched(array, axes[name]) for name, array in arrays.items()}
    tensors = tuple(torch.tensor(call.cast(array)) for array in rows.values())
    varying = tuple(dict.fromkeys(own, torch.export.Dim.DYNAMIC) for own in axes.values())
    served = _served(call, list(arrays))
    with _quiet(), torch.no_grad(), one_attention(), _refusing(call, axes):
        program = _program(served, tensors, {"tensors": varying})
        exported: Any = torch.onnx.export(
            program, dynamo=True, verbose=False, custom_translation_table=translations()
        )
        _tidy(exported.model, list(arrays), outputs)
        size = sum(each.numel() * each.element_size() for each in served.state_dict().values())
        exported.save(path, external_data=size >= EXTERNAL_BYTES)
    return _limits(program, axes)


def _program(served: Any, tensors: Any, varying: Any) -> Any:
    """Return the exported program of a module.

    `strict` reads Python's code instead of running it, which fails for more modules; but there a
    size that `len(x)` returns varies, too.
    """
    import torch

    try:
        return torch.export.export(served, tensors, dynamic_shapes=varying, strict=False)
    except Exception as error:
        if not _FIXED.search(str(error)):
            raise
        try:
            return torch.export.export(served, tensors, dynamic_shapes=varying, strict=True)
        except Exception:  # noqa: BLE001 - exporters raise errors of any class
            raise error from None


def _served(call: Call, inputs: Sequence[str]) -> Any:
    """Return a module with tensors by place as arguments and answers."""
    import torch

    class Served(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.module = call.module

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            # Copies, so that a module that changes its inputs in place has no further outputs.
            copies = [tensor.clone() for tensor in tensors]
            return tuple(call.outputs(dict(zip(inputs, copies, strict=True))).values())

    return Served()


def _limits(program: Any, axes: Axes) -> dict[str, int]:
    limits = {}
    for own, shape in zip(axes.values(), placeholder_shapes(program), strict=True):
        for axis, size in own.items():
            symbol = getattr(shape[axis], "node", None)
            values = program.range_constraints.get(symbol and symbol.expr)
            if values is not None and values.upper.is_Integer:
                limits[size] = int(values.upper)
    return limits


def _stretched(array: NDArray[Any], axes: Mapping[int, str]) -> NDArray[Any]:
    """Return the first two rows where their number varies, and two places of a varying size 1.

    PyTorch takes a size of 1 as fixed.
    """
    if 0 in axes:
        array = array[:2]
    for axis in axes:
        if array.shape[axis] == 1:
            array = np.repeat(array, 2, axis)
    return array


def _tidy(graph_model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Name a graph's inputs and outputs, and drop what the exporter notes about the source code.

    The notes have paths of the caller's machine.
    """
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    ClearMetadataAndDocStringPass()(graph_model)
    graph = graph_model.graph
    named = dict(zip([*graph.inputs, *graph.outputs], [*inputs, *outputs], strict=True))
    values = [*graph.initializers.values()]
    values += [value for node in graph.all_nodes() for value in node.outputs]
    for value in values:
        if value not in named and value.name in named.values():
            value.name = f"{value.name} inside"
    for place, value in enumerate(named):
        value.name = f"boundary {place}"  # for the case that two swap their names
    for value, name in named.items():
        value.name = name


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what exporters print, log and warn of, which are pages, from the caller."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    pages = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(pages), redirect_stderr(pages):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _refusing(call: Call, axes: Axes) -> Iterator[None]:
    """Raise an error of the exporters as one sentence; they chain it to pages of others."""
    try:
        yield
    except FormatError:
        raise
    except Exception as error:  # noqa: BLE001 - exporters raise errors of any class
        raise _refusal(call, error, axes) from None


def _refusal(call: Call, error: Exception, axes: Axes) -> FormatError:
    """Return the error that says what cannot be exported, and what to do."""
    if isinstance(error, ImportError) and error.name in ("onnxscript", "onnx_ir"):
        return FormatError(
            f"converting PyTorch modules needs {error.name}: pip install 'shearling[torch]'"
        )
    text = "\n".join(f"{type(each).__name__}: {each}" for each in _chain(error))
    place = _PLACE.search(text)
    where = f" ({place['file']}, line {place['line']}: {place['code']})" if place else ""
    if any(words in text for words in _BY_VALUE):
        return FormatError(
            f"{call.title} decides by the values of a tensor{where}, and an ONNX graph has no "
            "branches of Python: compute both sides and choose with torch.where, or use torch.cond"
        )
    if fixed := _FIXED.search(text):
        name = list(axes)[int(fixed["place"])]
        size = axes[name][int(fixed["axis"])]
        return FormatError(
            f"{call.title} works for one number of {size} of input {name!r:.80} only{where}, as "
            f"PyTorch exports it: {_remedy(size)}"
        )
    operator = _OPERATOR.search(text)
    if operator:
        return FormatError(
            f"{call.title} uses the operator {operator['name']}, which PyTorch cannot translate to "
            "ONNX: write that step with operators of PyTorch itself"
        )
    cause = [*_chain(error)][-1]
    line = next(iter(str(cause).strip().splitlines()), "").rstrip(".")
    hint = "Use operations of PyTorch only, and no others, in forward"
    if _SYMBOL.search(line):
        hint = f"The sizes named s and a number vary: {_remedy(ROWS)}"
    return FormatError(
        f"PyTorch cannot export {call.title}{where}: {type(cause).__name__}: {line:.300}. {hint}"
    )


def _remedy(size: str) -> str:
    if size == ROWS:
        return (
            "take the number of rows from the input, as in x.reshape(x.shape[0], -1), and give "
            "recurrent layers batch_first=True"
        )
    return "leave the axis out of dynamic, and pad what callers send to that size"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__
