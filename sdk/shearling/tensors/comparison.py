"""How far answers are from the expected ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[Any]]


#: How far, relatively and absolutely, answers may be from the expected ones, unless a push says.
RTOL, ATOL = 1e-3, 1e-4


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far answers are from what was expected.

    Attributes:
        difference: the largest, as a number for numbers and as a share of all for the rest.
        problem: empty if all are within the tolerance, else where it is worst, in words.
        share: of the values that are not within it, in the output where it is worst.
    """

    difference: float
    problem: str = ""
    share: float = 0.0


def compare(expected: Tensors, actual: Tensors, *, rtol: float, atol: float) -> Comparison:
    """Compare outputs with the expected ones, as numpy.allclose does; NaN equals NaN."""
    worst = Comparison(0.0)
    for name, wanted in expected.items():
        if name not in actual:
            return Comparison(float("inf"), f"output {name!r} is missing")
        found = _compare_tensor(name, wanted, np.asarray(actual[name]), rtol, atol)
        if found.problem:
            return found
        worst = max(worst, found, key=lambda one: one.difference)
    return worst


def _compare_tensor(
    name: str, wanted: NDArray[Any], given: NDArray[Any], rtol: float, atol: float
) -> Comparison:
    if wanted.shape != given.shape:
        problem = f"output {name!r} has shape {list(given.shape)}, expected {list(wanted.shape)}"
        return Comparison(float("inf"), problem)
    if wanted.dtype.kind != "f" or given.dtype.kind not in "fiu":
        unequal = np.asarray(wanted != given)
        share = float(unequal.mean()) if unequal.size else 0.0
        return Comparison(share, _worst(name, wanted, given, unequal) if share else "", share)
    wide, other = wanted.astype(np.float64), given.astype(np.float64)
    far = ~np.isclose(other, wide, rtol=rtol, atol=atol, equal_nan=True)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(other - wide)
    # Where both are NaN or the same infinity there is no difference; where one is, it is endless.
    difference = np.where(np.isfinite(difference), difference, np.where(far, np.inf, 0.0))
    largest = float(difference.max(initial=0.0))
    badness = np.where(far, difference, 0.0)
    problem = _worst(name, wanted, given, badness) if far.any() else ""
    return Comparison(largest, problem, float(far.mean()) if problem else 0.0)


def _worst(name: str, wanted: NDArray[Any], given: NDArray[Any], badness: NDArray[Any]) -> str:
    place = np.unravel_index(int(np.argmax(badness)), badness.shape)
    where = f"{name}[{', '.join(str(int(i)) for i in place)}]"
    count = int(np.count_nonzero(badness))
    # As Python's own scalars: a person reads 1.0, not np.float64(1.0).
    found, expected = np.asarray(given[place]).tolist(), np.asarray(wanted[place]).tolist()
    return (
        f"output {where} is {found!r:.60}, expected {expected!r:.60} "
        f"({count} of {badness.size} values differ)"
    )
