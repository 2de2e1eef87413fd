"""What a converter returns: a model written to files, and the original's answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.bundle.example import Example
    from shearling.bundle.manifest import Environment
    from shearling.tensors.spec import Signature

    Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedModel:
    """A model written to files, and what the original gives for the example.

    Attributes:
        entry: path of the file that the format opens.
        files: where each path of the bundle lies on this machine.
        inputs: the example's tensors.
        expected: what the original model gives for them.
        missing_value_examples: rows that lack a value of an input, with the original's answers, by
            input name; empty if the original raises for them.
        resampled_example: rows that recombine the example's values, with the original's answers;
            None if there are none.
    """

    format: str
    entry: str
    files: Mapping[str, Path]
    signature: Signature
    inputs: Tensors
    expected: Tensors
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Environment | None = None
    missing_value_examples: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    resampled_example: Example | None = None
