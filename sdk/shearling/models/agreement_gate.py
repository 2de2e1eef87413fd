"""Judge by the original's answers whether a smaller model agrees with it closely enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from shearling.models.r2 import least_r2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature

    Tensors = Mapping[str, NDArray[Any]]

#: What must be reached at least: the share of equal classes, the 1st percentile of the cosine
#: similarity, and the share of the variance.
LEAST_AGREEMENT, LEAST_COSINE, LEAST_R2 = 0.99, 0.98, 0.999

#: The output of an estimator's numbers. Several are targets of any scale, and not a direction.
_NUMBERS = "prediction"

#: How far the sum of a row's probabilities may be from 1.
_SUM = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good a model's answers are.

    Attributes:
        measure: what was measured, such as `class agreement`.
        value: the measure; greater is better.
        loss: how much smaller it is than the original's; None if the original is the measure.
        interval: the interval of the loss with 95 % confidence; None without a loss.
        problem: why the answers are not good enough; empty if they are.
    """

    measure: str
    value: float
    loss: float | None = None
    interval: tuple[float, float] | None = None
    problem: str = ""


class Gate(Protocol):
    """What decides whether a model's answers are good enough."""

    def judge(self, answers: Tensors) -> Quality:
        """Judge the answers to the judging rows, by output name."""
        ...


@dataclass(frozen=True, slots=True)
class AgreementGate:
    """A gate for rows without labels: every output must agree with the original's.

    Attributes:
        signature: the model's inputs and outputs.
        expected: the original's answers.
    """

    signature: Signature
    expected: Tensors

    def judge(self, answers: Tensors) -> Quality:
        """Return the quality of the output that agrees least, measured by what is allowed."""
        found = [
            self._output(name, self.expected[name], answers[name])
            for name in self.signature.output_names
        ]
        refused = [quality for quality in found if quality.problem]
        return min(refused or found, key=lambda quality: quality.value)

    def _output(self, name: str, wanted: NDArray[Any], given: NDArray[Any]) -> Quality:
        if wanted.shape != given.shape:
            problem = f"output {name!r} has shape {list(given.shape)} instead of "
            return Quality(measure="shape", value=0.0, problem=f"{problem}{list(wanted.shape)}")
        if wanted.dtype.kind != "f":
            return _quality("agreement", name, float(np.mean(wanted == given)), LEAST_AGREEMENT)
        if not np.array_equal(np.isfinite(wanted), np.isfinite(given)):
            problem = f"values of output {name!r} that were finite are not, or the other way round"
            return Quality(measure="finite values", value=0.0, problem=problem)
        is_finite = np.isfinite(wanted)
        wanted, given = (np.where(is_finite, it, 0).astype(np.float64) for it in (wanted, given))
        if name in self.signature.classes or are_probabilities(wanted):
            share = float(np.mean(wanted.argmax(axis=-1) == given.argmax(axis=-1)))
            return _quality("class agreement", name, share, LEAST_AGREEMENT)
        rows, own = (it.reshape(len(wanted), -1) for it in (wanted, given))
        if rows.shape[1] == 1 or name == _NUMBERS:
            return _quality("R2 against the original", name, least_r2(own, rows), LEAST_R2)
        share = float(np.percentile(_cosine(rows, own), 1))
        return _quality("cosine similarity (1st percentile)", name, share, LEAST_COSINE)


def are_probabilities(values: NDArray[Any]) -> bool:
    """Return whether each row of the last axis has at least two probabilities that add up to 1."""
    if values.ndim < 2 or values.shape[-1] < 2 or values.dtype.kind != "f":  # noqa: PLR2004
        return False
    is_in_range = bool((values >= -_SUM).all() and (values <= 1 + _SUM).all())
    return is_in_range and bool((np.abs(values.sum(axis=-1) - 1) <= _SUM).all())


def _quality(measure: str, name: str, value: float, least: float) -> Quality:
    is_enough = value >= least
    problem = f"{measure} of output {name!r} is {value:.4g}, but {least:g} is the least"
    return Quality(measure=measure, value=value, problem="" if is_enough else problem)


def _cosine(wanted: NDArray[Any], given: NDArray[Any]) -> NDArray[Any]:
    """Return the cosine of the angle between the rows; 1 for two rows of zeros."""
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(given, axis=1)
    are_zero = ~(wanted.any(axis=1) | given.any(axis=1))
    products = np.einsum("ij,ij->i", wanted, given)
    return np.where(are_zero, 1.0, products / np.where(lengths == 0, 1, lengths))
