"""The signature of a model: what each input accepts, and what each output means."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The datatypes of the Open Inference Protocol v2.
DATATYPES = frozenset(
    ["BOOL", "BYTES", "FP16", "FP32", "FP64"]
    + [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
)

#: A class or a category, in the original model's own type.
Scalar: TypeAlias = str | int | float | bool

#: The names of an output's columns; for a model of several targets, those of each target.
Classes: TypeAlias = tuple[Scalar, ...] | tuple[tuple[Scalar, ...], ...]

#: For each column of an input, the values that the model knows; None for any value.
Categories: TypeAlias = tuple[tuple[Scalar, ...] | None, ...]


#: What the elements of a BYTES input are if they are no texts.
Content: TypeAlias = Literal["image"]

#: Format characters of `struct` for the floats that are shorter than Python's.
_SHORT_FLOATS = {"FP16": "<e", "FP32": "<f"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Name, datatype and shape of one input or output.

    Attributes:
        name: name of the input or output.
        datatype: datatype of the Open Inference Protocol, as in `FP32`.
        shape: size of each dimension; -1 accepts any size.
        nullable: whether an input of floats accepts missing values: NaN, or null in JSON.
        finite: whether an input of floats refuses infinite values.
        classes: for an output of probabilities or scores, the class of each column of the last
            axis; None if the columns have no names.
        categories: for an input, the known values of each column of the last axis, where all others
            are refused; None if any value is accepted. An input of shape [-1] is one column.
        content: what the elements of a BYTES input are: "image" is the bytes of a JPEG, PNG or WebP
            file; None is a text.
        known: for each column, the categories as a tensor's elements, to look values up.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    nullable: bool = True
    finite: bool = False
    classes: Classes | None = None
    categories: Categories | None = None
    content: Content | None = None
    known: tuple[frozenset[Scalar] | None, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.categories:
            categories = tuple(
                values and tuple(map(_with_one_nan, values)) for values in self.categories
            )
            object.__setattr__(self, "categories", categories)
        known = (
            None
            if values is None
            else frozenset(_element(value, self.datatype) for value in values)
            for values in self.categories or ()
        )
        object.__setattr__(self, "known", tuple(known))

    def __str__(self) -> str:
        return f"{self.name} {self.datatype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The inputs and outputs of a model, in the model's order.

    Attributes:
        inputs: specs of the inputs.
        outputs: specs of the outputs.
        independent_rows: whether the answer to a row is the same in any batch. If not, a request
            must not be cut into several.
        by_name: input specs by name.
        output_names: names of the outputs.
        categorical: specs of the inputs that have known categories.
        classes: classes of the outputs whose columns have names, by output name.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    independent_rows: bool = True
    by_name: Mapping[str, TensorSpec] = field(init=False, repr=False, compare=False)
    output_names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    categorical: tuple[TensorSpec, ...] = field(init=False, repr=False, compare=False)
    classes: Mapping[str, Classes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed once here instead of for every request.
        object.__setattr__(self, "by_name", {spec.name: spec for spec in self.inputs})
        object.__setattr__(self, "output_names", tuple(spec.name for spec in self.outputs))
        categorical = tuple(spec for spec in self.inputs if any(spec.known))
        object.__setattr__(self, "categorical", categorical)
        classes = {spec.name: spec.classes for spec in self.outputs if spec.classes}
        object.__setattr__(self, "classes", classes)


def _with_one_nan(value: Scalar) -> Scalar:
    """Return the same NaN for every NaN, so that signatures with it are equal."""
    return math.nan if isinstance(value, float) and math.isnan(value) else value


def _element(value: Scalar, datatype: str) -> Scalar:
    """Return a value as an element of a tensor, rounded as the datatype rounds it."""
    code = _SHORT_FLOATS.get(datatype)
    if code is None:
        return value
    try:
        (element,) = struct.unpack(code, struct.pack(code, value))
    except (OverflowError, struct.error):
        return value  # no element of the datatype is so large
    return float(element)
