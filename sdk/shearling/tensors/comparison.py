"""Compare a model's outputs with the expected ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[Any]]


#: Default relative and absolute tolerance between outputs and the expected ones.
RTOL, ATOL = 1e-3, 1e-4


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        difference: the largest absolute difference of a float output; for other datatypes, the
            fraction of unequal values.
        problem: text that describes the largest deviation; empty if all values are within the
            tolerance.
        share: fraction of the values outside the tolerance, in the output that `problem` names.
    """

    difference: float
    problem: str = ""
    share: float = 0.0


def compare(expected: Tensors, actual: Tensors, *, rtol: float, atol: float) -> Comparison:
    """Compare outputs with the expected ones, as numpy.allclose does; NaN equals NaN.

    Args:
        expected: arrays by output name.
        actual: arrays by output name; additional outputs are ignored.
        rtol: relative tolerance.
        atol: absolute tolerance.
    """
    worst = Comparison(0.0)
    for name, wanted in expected.items():
        if name not in actual:
            return Comparison(float("inf"), f"output {name!r} is missing")
        comparison = _compare_tensor(name, wanted, np.asarray(actual[name]), rtol, atol)
        if comparison.problem:
            return comparison
        worst = max(worst, comparison, key=lambda result: result.difference)
    return worst


def _compare_tensor(
    name: str, wanted: NDArray[Any], given: NDArray[Any], rtol: float, atol: float
) -> Comparison:
    if wanted.shape != given.shape:
        problem = f"output {name!r} has shape {list(given.shape)}, expected {list(wanted.shape)}"
        return Comparison(float("inf"), problem)
    far = far_apart(wanted, given, rtol=rtol, atol=atol)
    share = float(far.mean()) if far.size else 0.0
    if not _are_floats(wanted, given):
        return Comparison(share, _worst(name, wanted, given, far) if share else "", share)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(given.astype(np.float64) - wanted.astype(np.float64))
    # Two NaNs, or two equal infinities, differ by 0. If only one value is finite, the difference
    # is infinite.
    difference = np.where(np.isfinite(difference), difference, np.where(far, np.inf, 0.0))
    largest = float(difference.max(initial=0.0))
    badness = np.where(far, difference, 0.0)
    return Comparison(largest, _worst(name, wanted, given, badness) if share else "", share)


def far_apart(
    wanted: NDArray[Any], given: NDArray[Any], *, rtol: float, atol: float
) -> NDArray[np.bool_]:
    """Return where values differ: floats by more than the tolerance, others at all.

    A value that is too large for the type of the given floats equals infinity.

    Args:
        wanted: the expected values.
        given: values of the same shape.
        rtol: relative tolerance.
        atol: absolute tolerance.
    """
    if not _are_floats(wanted, given):
        return np.asarray(wanted != given, bool)
    with np.errstate(over="ignore"):
        rounded = wanted.astype(given.dtype) if given.dtype.kind == "f" else wanted
    wide, other = rounded.astype(np.float64), given.astype(np.float64)
    return ~np.isclose(other, wide, rtol=rtol, atol=atol, equal_nan=True)


def _are_floats(wanted: NDArray[Any], given: NDArray[Any]) -> bool:
    return wanted.dtype.kind == "f" and given.dtype.kind in "fiu"


def _worst(name: str, wanted: NDArray[Any], given: NDArray[Any], badness: NDArray[Any]) -> str:
    place = np.unravel_index(int(np.argmax(badness)), badness.shape)
    where = f"{name}[{', '.join(str(int(i)) for i in place)}]"
    count = int(np.count_nonzero(badness))
    # Python scalars print as 1.0 instead of np.float64(1.0).
    found, expected = np.asarray(given[place]).tolist(), np.asarray(wanted[place]).tolist()
    return (
        f"output {where} is {found!r:.60}, expected {expected!r:.60} "
        f"({count} of {badness.size} values differ)"
    )
