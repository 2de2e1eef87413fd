"""Refuse PyTorch modules that have no weights, are quantised, or answer differently each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.errors import FormatError
from shearling.tensors.comparison import ATOL, RTOL, compare

if TYPE_CHECKING:
    from shearling.converters.torch_module import Call
    from shearling.formats.base import Tensors

#: Packages of modules that compute with quantised weights, or prepare that.
_QUANTISED = ("torch.ao.", "torch.quantization.", "torchao.")

#: Types of weights of which processors have no operators in ONNX Runtime.
_NARROW = ("torch.bfloat16", "torch.float8")


def check_convertible(module: Any) -> None:
    """Refuse a module with a part or a weight that no graph can have.

    Raises:
        FormatError: it has one; the message names it, and says what to push.
    """
    import torch

    title = type(module).__name__
    for name, part in module.named_modules():
        where = f"layer {name!r} of {title}" if name else title
        kind = type(part)
        if isinstance(part, torch.jit.ScriptModule):
            raise FormatError(
                f"{where} is TorchScript, which PyTorch cannot export any more: use the module "
                "that it was made from"
            )
        if kind.__module__.startswith(_QUANTISED):
            raise FormatError(
                f"{where} ({kind.__name__}) is quantised by PyTorch, or prepared for it, which "
                "does not convert: push the float module, and make its version "
                "smaller with `sdk.quantize`"
            )
        if getattr(part, "track_running_stats", True) is False and "BatchNorm" in kind.__name__:
            raise FormatError(
                f"{where} ({kind.__name__} with track_running_stats=False) normalises with the "
                "rows of the request, so a row's answer would depend on the others: train with "
                "track_running_stats=True, or use LayerNorm or GroupNorm"
            )
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        _check_weight(f"weight {name!r} of {title}", tensor)


def _check_weight(where: str, tensor: Any) -> None:
    import torch

    kind = str(tensor.dtype)
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        raise FormatError(
            f"{where} has no shape yet, because a lazy layer gets it at the first call: call the "
            "module on a few rows, train it, and push it then"
        )
    if tensor.device.type == "meta":
        raise FormatError(
            f"{where} has no values, because it is on the device 'meta': load the weights, such as "
            "by load_state_dict(..., assign=True)"
        )
    if tensor.is_quantized or type(tensor).__module__.startswith(_QUANTISED):
        raise FormatError(
            f"{where} is quantised by PyTorch, which does not convert: push the float module, "
            "and make its version smaller with `sdk.quantize`"
        )
    if kind.startswith(_NARROW) or tensor.layout is not torch.strided:
        found = kind.removeprefix("torch.") if kind.startswith(_NARROW) else str(tensor.layout)
        raise FormatError(
            f"{where} is {found}, for which ONNX Runtime has no operators on processors: push "
            "module.float() with dense weights"
        )


def check_steady(call: Call, arrays: Tensors, answers: Tensors) -> None:
    """Refuse a module that answers the same rows differently each time in evaluation mode.

    Args:
        call: the module.
        arrays: rows.
        answers: what it answered to them before.

    Raises:
        FormatError: it answers otherwise now.
    """
    problem = compare(answers, call.answer(arrays), rtol=RTOL, atol=ATOL).problem
    if problem:
        raise FormatError(
            f"{call.title} answers the same rows differently when it is asked again, also in "
            f"evaluation mode: {problem}. Nothing was published. Let it use random numbers in "
            "training only, as in torch.nn.functional.dropout(x, training=self.training), and keep "
            "no state between calls"
        )
