"""What a model takes and gives: the name, datatype and shape of each tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


#: Datatypes of the Open Inference Protocol v2 that a tensor may have.
DATATYPES = frozenset(
    ["BOOL", "BYTES", "FP16", "FP32", "FP64"]
    + [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: of the tensor.
        datatype: of the protocol.
        shape: with -1 for any size.
        nullable: whether values of an input of floats may be missing: NaN, in JSON null.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    nullable: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.datatype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The tensors that a model takes and gives, in the model's order.

    Attributes:
        by_name: the inputs by name.
        output_names: the outputs' names.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    by_name: Mapping[str, TensorSpec] = field(init=False, repr=False, compare=False)
    output_names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once, and not for every request.
        object.__setattr__(self, "by_name", {spec.name: spec for spec in self.inputs})
        object.__setattr__(self, "output_names", tuple(spec.name for spec in self.outputs))
