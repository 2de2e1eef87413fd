"""Operators that are translated to ONNX otherwise than by PyTorch, so that they answer the same.

PyTorch's own translations round a quotient before they cut it, compute with integers as with floats
of 32 bits, overflow, and count negative places from the end. No example has to show that.
"""

# Without `from __future__ import annotations`, because the exporter reads these signatures.
from collections.abc import Callable
from typing import Any, Optional


def translations() -> dict[Any, Callable[..., Any]]:
    """Return the translations by operator."""
    import torch

    aten = torch.ops.aten
    return {
        aten.embedding.default: _embedding,
        aten.floor_divide.default: _floor_divide,
        aten.div.Tensor_mode: _divide,
        aten.div.Scalar_mode: _divide,
        aten.remainder.Tensor: _remainder,
        aten.remainder.Scalar: _remainder,
        aten.remainder.Scalar_Tensor: _remainder,
        aten.logaddexp.default: _log_add_exp,
    }


def _embedding(
    weight: Any,
    indices: Any,
    padding_idx: int = -1,  # noqa: ARG001
    scale_grad_by_freq: bool = False,  # noqa: ARG001, FBT001, FBT002
    sparse: bool = False,  # noqa: ARG001, FBT001, FBT002
) -> Any:
    """Refuse negative numbers, while ONNX's `Gather` counts them from the end."""
    from onnxscript import opset18 as op

    places = op.Cast(indices, to=7)
    beyond = op.Shape(weight, start=0, end=1)
    is_negative = op.Less(places, op.Constant(value_int=0))
    return op.Gather(weight, op.Where(is_negative, beyond, places))


def _divide(left: Any, right: Any, rounding_mode: Optional[str] = None) -> Any:  # noqa: UP045
    """Divide and, with a mode, drop what is behind the point."""
    from onnxscript import opset18 as op

    if rounding_mode == "floor":
        return _floor_divide(left, right)
    left, right, kind = _operands(left, right)
    quotient = op.Div(left, right)  # of integers, whole and towards 0
    if kind.is_integer():
        return quotient
    is_negative = op.Less(quotient, _number(0, kind))
    return op.Where(is_negative, op.Ceil(quotient), op.Floor(quotient))


def _floor_divide(left: Any, right: Any) -> Any:
    """Divide as Python does: 1.0 // 0.1 is 9, since the float 0.1 is a little more."""
    from onnxscript import opset18 as op

    left, right, kind = _operands(left, right)
    quotient = op.Div(left, right)
    rest = op.Mod(left, right, fmod=1)
    is_below = op.Cast(_differ_in_sign(rest, right, kind), to=kind)
    if kind.is_integer():
        return op.Sub(quotient, is_below)
    whole = op.Sub(op.Round(op.Div(op.Sub(left, rest), right)), is_below)
    return op.Where(op.Equal(right, _number(0, kind)), quotient, whole)


def _remainder(left: Any, right: Any) -> Any:
    """Return the remainder with the sign of the divisor."""
    from onnxscript import opset18 as op

    left, right, kind = _operands(left, right)
    rest = op.Mod(left, right, fmod=1)
    return op.Where(_differ_in_sign(rest, right, kind), op.Add(rest, right), rest)


def _differ_in_sign(rest: Any, divisor: Any, kind: Any) -> Any:
    """Return whether there is a rest, and it has not the sign of the divisor."""
    from onnxscript import opset18 as op

    zero = _number(0, kind)
    differ = op.Xor(op.Less(rest, zero), op.Less(divisor, zero))
    return op.And(differ, op.Not(op.Equal(rest, zero)))


def _log_add_exp(left: Any, right: Any) -> Any:
    """Take the larger number out of the sum, whose exponentials are infinite from 89 on."""
    from onnxscript import opset18 as op

    zero, one = _number(0, left.dtype), _number(1, left.dtype)
    # Infinite numbers that are equal have no difference.
    distance = op.Where(op.Equal(left, right), zero, op.Abs(op.Sub(left, right)))
    return op.Add(op.Max(left, right), op.Log(op.Add(one, op.Exp(op.Neg(distance)))))


def _operands(left: Any, right: Any) -> tuple[Any, Any, Any]:
    """Return both operands as tensors, and their type; one of them may be a number."""
    kind = right.dtype if isinstance(left, int | float) else left.dtype
    left, right = (
        _number(each, kind) if isinstance(each, int | float) else each for each in (left, right)
    )
    return left, right, kind


def _number(value: float, kind: Any) -> Any:
    """Return a number as a constant of a type."""
    import onnx_ir
    from onnxscript import opset18 as op

    return op.Constant(value=onnx_ir.tensor(value, dtype=kind))
