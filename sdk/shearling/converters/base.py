"""The result of a conversion: the model's files and the original model's answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from shearling.tensors.dtypes import datatype_of
from shearling.tensors.spec import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.bundle.manifest import Environment
    from shearling.converters.original import Original
    from shearling.formats.base import Predictor
    from shearling.tensors.spec import Signature

    Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedModel:
    """A model converted to files, with the original model's answers to the example.

    Attributes:
        format: name of the format that loads the files: "onnx" or "cloudpickle".
        entry: path inside the bundle of the file that the format opens.
        files: local file for each path inside the bundle.
        signature: names, datatypes and shapes of inputs and outputs.
        inputs: the example, as an array for each input name.
        expected: the original model's answers to the very example, by output name.
        original: the original model, to be asked about other rows.
        options: settings that the format needs to load the files.
        environment: the Python version and packages that a pickle needs; None for ONNX.
        rounding: relative and absolute difference of answers that the original's own datatypes
            explain, where that is more than the default tolerance.
    """

    format: str
    entry: str
    files: Mapping[str, Path]
    signature: Signature
    inputs: Tensors
    expected: Tensors
    original: Original
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Environment | None = None
    rounding: float = 0.0


class Steps(Protocol):
    """What a function does with a request before the graph reads it, as for texts."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What callers send."""
        ...

    @property
    def files(self) -> Mapping[str, Path]:
        """Local file for each path inside the bundle that the steps need."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What the bundle records of the steps."""
        ...

    def before(self, graph: Predictor, names: Sequence[str]) -> Predictor:
        """Return a model for requests, made of one for the graph's inputs of these names."""
        ...


def observed_specs(tensors: Tensors, rows: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    """Return the specs of tensors; a first dimension of as many rows as the example varies."""
    return tuple(
        TensorSpec(
            name=name,
            datatype=str(datatype_of(array)),
            shape=((-1, *array.shape[1:]) if array.shape[:1] == rows else array.shape),
        )
        for name, array in tensors.items()
    )
