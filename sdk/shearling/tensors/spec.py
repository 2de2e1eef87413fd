"""The signature of a model: name, datatype and shape of each input and output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The datatypes of the Open Inference Protocol v2.
DATATYPES = frozenset(
    ["BOOL", "BYTES", "FP16", "FP32", "FP64"]
    + [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Name, datatype and shape of one input or output.

    Attributes:
        name: name of the input or output.
        datatype: datatype of the Open Inference Protocol, as in `FP32`.
        shape: size of each dimension; -1 accepts any size.
        nullable: whether an input of floats accepts missing values: NaN, or null in JSON.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    nullable: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.datatype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The inputs and outputs of a model, in the model's order.

    Attributes:
        inputs: specs of the inputs.
        outputs: specs of the outputs.
        by_name: input specs by name.
        output_names: names of the outputs.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    by_name: Mapping[str, TensorSpec] = field(init=False, repr=False, compare=False)
    output_names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once here instead of for every request.
        object.__setattr__(self, "by_name", {spec.name: spec for spec in self.inputs})
        object.__setattr__(self, "output_names", tuple(spec.name for spec in self.outputs))
