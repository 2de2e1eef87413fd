"""What a measurement is: repetitions, interleaved, and a row that says how it stands."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: The source of a target that is a goal of the design.
DESIGN = "design goal"

Bound = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison.

    Attributes:
        section: the name of the part that measured it.
        what: is compared.
        ours: the figure with its unit.
        against: the figure that it is compared with, and what that is.
        ratio: as the target has it.
        target: of the ratio.
        source: where the target stands.
    """

    section: str
    what: str
    ours: str
    against: str
    ratio: float
    bound: Bound
    target: float
    source: str = DESIGN

    @property
    def met(self) -> bool:
        """Whether the ratio is on the right side of the target."""
        return self.ratio <= self.target if self.bound == "at most" else self.ratio >= self.target

    @property
    def miss(self) -> str:
        """By how much it is missed, in words."""
        if not self.target:
            return "all of it"
        beyond = self.ratio / self.target if self.bound == "at most" else self.target / self.ratio
        return f"{(beyond - 1) * 100:.0f} %"


@dataclass(slots=True)
class Findings:
    """What a part of the benchmark found.

    Attributes:
        rows: the comparisons.
        tables: by title, more figures: a list of columns' names, then of lines.
        reasons: for a row's `what`, the profile that shows why it is missed.
        notes: what a reader must know to read the figures.
        series: by picture and line, points to draw.
    """

    rows: list[Row] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    series: dict[str, dict[str, list[tuple[Any, float]]]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return asdict(self)


def slower(
    section: str, what: str, ours: float, other: tuple[str, float], *, at_most: float, source: str
) -> Row:
    """Return a row of times: ours may be so many times the other's, by name."""
    name, seconds = other
    return Row(
        section=section,
        what=f"{what} against {name}",
        ours=duration(ours),
        against=f"{duration(seconds)} ({name})",
        ratio=ours / seconds,
        bound="at most",
        target=at_most,
        source=source,
    )


def faster(
    section: str, what: str, ours: float, other: tuple[str, float], *, at_least: float, source: str
) -> Row:
    """Return a row of times: the other's, by name, must be so many times ours."""
    name, seconds = other
    return Row(
        section=section,
        what=f"{what} against {name}",
        ours=duration(ours),
        against=f"{duration(seconds)} ({name})",
        ratio=seconds / ours,
        bound="at least",
        target=at_least,
        source=source,
    )


def interleaved(
    repetitions: int, candidates: Mapping[str, Callable[[], float]]
) -> dict[str, list[float]]:
    """Measure candidates in turn, each round starting with another one.

    What slows the machine for a while slows them all, and none always follows the same other.
    """
    found: dict[str, list[float]] = defaultdict(list)
    names = list(candidates)
    for i in range(repetitions):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            found[name].append(candidates[name]())
    return {name: found[name] for name in names}


def medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the median of each candidate."""
    return {name: median(values) for name, values in found.items()}


def spread(values: list[float]) -> str:
    """Return the lowest and the highest, for a table."""
    return f"{duration(min(values))} to {duration(max(values))}"


def duration(seconds: float) -> str:
    """Return a time as a person reads it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def megabytes(count: float) -> str:
    """Return a number of bytes in millions."""
    return f"{count / 1e6:,.0f} MB" if count >= 1e7 else f"{count / 1e6:.2g} MB"  # noqa: PLR2004
