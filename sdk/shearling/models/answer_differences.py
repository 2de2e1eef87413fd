"""Compare the answers of two versions to the same rows: agreement, and where they differ most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.tensors.comparison import far_apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.formats.base import Tensors

#: Rows that are listed.
_WORST = 10

#: Characters of a value that are shown.
_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingRow:
    """A row that two versions answer differently.

    Attributes:
        row: its place in the data, from 0.
        output: the output that differs most.
        before: the value of the version that is compared with.
        after: the value of the other version.
        difference: the absolute difference; None where the values are no numbers.
    """

    row: int
    output: str
    before: Any
    after: Any
    difference: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDifferences:
    """How two versions' answers to the same rows differ.

    Attributes:
        rows: number of rows.
        agreement: the share of rows with the same answer. Of a classifier that is the same label,
            and of other models numbers within the tolerance of the version that is compared with.
        largest: the largest absolute difference of a number; None if there are no numbers.
        worst: the rows that differ most, at most ten, the worst first.
    """

    rows: int
    agreement: float
    largest: float | None
    worst: tuple[DifferingRow, ...]


def answer_differences(
    before: Tensors, after: Tensors, *, rtol: float, atol: float
) -> AnswerDifferences | str:
    """Return how answers differ, or why they cannot be compared.

    Args:
        before: answers by output of the version that is compared with.
        after: answers of the other version.
        rtol: relative tolerance of numbers.
        atol: absolute tolerance, added to the relative one.
    """
    names = [name for name in before if name in after]
    if not names:
        return f"no output is in both: {', '.join(before)} and {', '.join(after)}"
    count = len(before[names[0]])
    for name in names:
        shapes = before[name].shape, after[name].shape
        if shapes[0] != shapes[1] or shapes[0][:1] != (count,):
            return f"output {name!r:.80} has shape {list(shapes[1])} instead of {list(shapes[0])}"
    differs = {
        name: _by_row(far_apart(before[name], after[name], rtol=rtol, atol=atol), count)
        for name in names
    }
    distances = {
        name: _distances(before[name], after[name], count)
        for name in names
        if before[name].dtype.kind in "fiu" and after[name].dtype.kind in "fiu" and name != "label"
    }
    judged = ["label"] if "label" in names else names
    is_other = np.logical_or.reduce([differs[name] for name in judged])
    largest = max((float(one.max(initial=0)) for one in distances.values()), default=None)
    return AnswerDifferences(
        rows=count,
        agreement=1 - float(is_other.mean()),
        largest=largest,
        worst=_worst(before, after, is_other, differs, distances),
    )


def _worst(
    before: Tensors,
    after: Tensors,
    is_other: NDArray[np.bool_],
    differs: dict[str, NDArray[np.bool_]],
    distances: dict[str, NDArray[np.float64]],
) -> tuple[DifferingRow, ...]:
    """Return the worst rows: first those with another answer, then by distance."""
    distance = np.max([np.zeros(len(is_other)), *distances.values()], axis=0)
    order = np.lexsort((-distance, ~is_other))
    is_any = np.logical_or.reduce(list(differs.values()))
    rows = []
    for row in (int(place) for place in order if is_any[place]):
        name = _output(row, differs, distances)
        where = _place(before[name][row], after[name][row])
        values = [np.asarray(answers[name][row])[where].tolist() for answers in (before, after)]
        rows.append(
            DifferingRow(
                row=row,
                output=name if not where else f"{name}[{', '.join(map(str, where))}]",
                before=_short(values[0]),
                after=_short(values[1]),
                difference=float(distances[name][row]) if name in distances else None,
            )
        )
        if len(rows) == _WORST:
            break
    return tuple(rows)


def _output(
    row: int, differs: dict[str, NDArray[np.bool_]], distances: dict[str, NDArray[np.float64]]
) -> str:
    """Return the output of a row to show: one without numbers that differs, or the farthest."""
    named = next((name for name in differs if name not in distances and differs[name][row]), None)
    return named or max(distances, key=lambda name: float(distances[name][row]))


def _place(before: NDArray[Any], after: NDArray[Any]) -> tuple[int, ...]:
    """Return the place in a row's values where two answers differ most."""
    first, second = np.asarray(before), np.asarray(after)
    if not first.ndim:
        return ()
    if first.dtype.kind in "fiu" and second.dtype.kind in "fiu":
        badness = _apart(first, second)
    else:
        badness = (first != second).astype(float)
    return tuple(int(i) for i in np.unravel_index(int(badness.argmax()), first.shape))


def _distances(before: NDArray[Any], after: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Return the largest difference in each row."""
    largest: NDArray[np.float64] = _apart(before, after).reshape(count, -1).max(axis=1, initial=0)
    return largest


def _apart(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float64]:
    """Return the absolute differences; that of a missing value and a number is infinite."""
    first, second = before.astype(np.float64), after.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(first - second)
    apart = np.where(np.isnan(apart), np.inf, apart)
    is_same = (first == second) | (np.isnan(first) & np.isnan(second))
    result: NDArray[np.float64] = np.where(is_same, 0.0, apart)
    return result


def _by_row(mask: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    return np.asarray(mask.reshape(count, -1).any(axis=1))


def _short(value: Any) -> Any:
    return value if isinstance(value, int | float) else f"{value!s:.{_SHOWN}}"
