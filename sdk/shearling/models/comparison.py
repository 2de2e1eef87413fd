"""The comparison of versions: a row for each, with its differences to one of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from shearling.models.line_chart import line_chart
from shearling.progress import human_bytes
from shearling.text_table import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shearling.bundle.contract_changes import Change
    from shearling.models.answer_differences import AnswerDifferences
    from shearling.models.version_facts import VersionFacts
    from shearling.refs import Pin

#: Columns of metrics, and versions in the chart, of which a table has room for no more.
_MOST_METRICS, _MOST_POINTS = 5, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedVersion:
    """One version, and how it differs from the version that all are compared with.

    Attributes:
        facts: what the registry knows of it.
        changes: what changes for callers of the version that it is compared with.
        differences: how its answers to the data differ; None without data, or if `problem` says
            why there are none.
        problem: why it does not answer the data, or why its answers cannot be compared.
        metrics: its metrics on the data, with labels.
        latency_ms: its median milliseconds for 1 row and for 64 rows of the data, in this process.
    """

    facts: VersionFacts
    changes: tuple[Change, ...] = ()
    differences: AnswerDifferences | None = None
    problem: str = ""
    metrics: Mapping[str, float] | None = None
    latency_ms: tuple[float, float] | None = None

    @property
    def pin(self) -> Pin:
        """The version."""
        return self.facts.pin

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that break callers."""
        return tuple(change for change in self.changes if change.effect == "breaking")

    @property
    def all_metrics(self) -> dict[str, float]:
        """The metrics on the data, those that the push computed, and those of the metadata."""
        own = {f"data {name}": value for name, value in (self.metrics or {}).items()}
        return {**own, **self.facts.metrics}

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        found = asdict(self.differences) if self.differences else None
        return {
            "version": str(self.pin),
            "aliases": list(self.facts.aliases),
            "pushed": self.facts.created.isoformat(),
            "metrics": self.all_metrics,
            "size_bytes": self.facts.size_bytes,
            "latency_ms": self.facts.latency_ms,
            "memory_mb": self.facts.memory_mb,
            "changes": [asdict(change) for change in self.changes],
            "differences": _finite(found),
            "problem": self.problem,
            "data_latency_ms": list(self.latency_ms) if self.latency_ms else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Versions beside each other; prints as tables, and shows with a chart in a notebook.

    Attributes:
        versions: the versions, newest first.
        against: the version that the others are compared with; None if there is none.
        judged: the version that `problems` is about.
        problems: what speaks against the judged version: callers that break, data that it does not
            answer, or limits that it exceeds.
    """

    versions: tuple[ComparedVersion, ...]
    against: Pin | None
    judged: Pin
    problems: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether nothing speaks against the judged version."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        return {
            "against": str(self.against) if self.against else None,
            "judged": str(self.judged),
            "is_good": self.is_good,
            "problems": list(self.problems),
            "versions": [version.to_dict() for version in self.versions],
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        parts = [self._title(), table(*self._table())]
        for sentence, rows in self._worst():
            parts += [sentence, table(_WORST_HEADINGS, rows)]
        return "\n\n".join([*parts, *self.problems])

    def _repr_html_(self) -> str:
        parts = [f"<p>{escape(self._title())}</p>", _html_table(*self._table()), self._chart()]
        for sentence, rows in self._worst():
            parts += [f"<p>{escape(sentence)}</p>", _html_table(_WORST_HEADINGS, rows)]
        return "".join([*parts, *(f"<p>{escape(problem)}</p>" for problem in self.problems)])

    def _title(self) -> str:
        count = len(self.versions)
        versions = f"{count} {'version' if count == 1 else 'versions'}"
        if self.against is None:
            return f"{versions}, compared with none: no alias names a version to compare with"
        return f"{versions}; differences are to {_name(self.against)} (*)"

    def _table(self) -> tuple[list[str], list[list[object]]]:
        """Return headings and rows, without columns that are empty."""
        names = list(dict.fromkeys(name for one in self.versions for name in one.all_metrics))
        shown = names[:_MOST_METRICS]
        first = next((one for one in self.versions if one.pin == self.against), None)
        headings = ["VERSION", "ALIASES", *shown, *_HEADINGS]
        rows = [[*self._head(one), *_cells(one, first, shown)] for one in self.versions]
        kept = [i for i in range(len(headings)) if i == 0 or any(row[i] for row in rows)]
        return [headings[i] for i in kept], [[row[i] for i in kept] for row in rows]

    def _head(self, one: ComparedVersion) -> list[str]:
        mark = " *" if one.pin == self.against else ""
        return [f"{_name(one.pin)}{mark}", ", ".join(one.facts.aliases)]

    def _worst(self) -> Iterator[tuple[str, list[list[object]]]]:
        """Yield for the judged version a sentence, and its rows that differ most."""
        for one in self.versions:
            found = one.differences
            if one.pin == self.judged and found is not None and found.worst:
                yield (
                    f"Rows of the data, from 0, that {_name(one.pin)} answers most differently",
                    [
                        [row.row, row.output, str(row.before), str(row.after), row.difference]
                        for row in found.worst
                    ],
                )

    def _chart(self) -> str:
        """Return a picture of the first metric that two versions have, or else of the sizes."""
        newest = self.versions[:_MOST_POINTS][::-1]
        for name in dict.fromkeys(name for one in newest for name in one.all_metrics):
            points = [
                (_name(one.pin), one.all_metrics[name]) for one in newest if name in one.all_metrics
            ]
            if len(points) > 1:
                return line_chart(name, points, _name(self.against) if self.against else "")
        if len(newest) < 2:  # noqa: PLR2004 - a line has two ends
            return ""
        sizes = [(_name(one.pin), float(one.facts.size_bytes)) for one in newest]
        return line_chart("size in bytes", sizes, _name(self.against) if self.against else "")


_HEADINGS = (
    "SIZE",
    "1 ROW (ms)",
    "MEMORY (MB)",
    "CONTRACT",
    "AGREEMENT",
    "LARGEST DIFFERENCE",
    "DATA 1 ROW (ms)",
    "DATA 64 ROWS (ms)",
    "PROBLEM",
)
_WORST_HEADINGS = ("ROW", "OUTPUT", "BEFORE", "AFTER", "DIFFERENCE")


def _cells(
    one: ComparedVersion, first: ComparedVersion | None, metrics: Sequence[str]
) -> Iterator[str]:
    """Yield the cells of a version after its name and its aliases."""
    is_first = first is None or one.pin == first.pin
    base = None if is_first else first
    for name in metrics:
        yield _metric(one.all_metrics.get(name), base.all_metrics.get(name) if base else None)
    facts, other = one.facts, (base or one).facts
    yield human_bytes(facts.size_bytes) + _ratio(facts.size_bytes, other.size_bytes, base)
    yield _number(facts.latency_ms) + _ratio(facts.latency_ms, other.latency_ms, base)
    yield _number(facts.memory_mb) + _ratio(facts.memory_mb, other.memory_mb, base)
    yield "" if is_first else _contract(one)
    found = one.differences
    yield "" if found is None or is_first else f"{found.agreement:.4g}"
    yield "" if found is None or is_first else _number(found.largest)
    for place in (0, 1):
        before = base.latency_ms[place] if base and base.latency_ms else None
        now = one.latency_ms[place] if one.latency_ms else None
        yield _number(now) + _ratio(now, before, base)
    yield one.problem


def _contract(one: ComparedVersion) -> str:
    if count := len(one.breaking):
        return f"{count} breaking"
    return "compatible" if one.changes else "same"


def _metric(value: float | None, before: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" + ("" if before is None else f" ({value - before:+.2g})")


def _ratio(value: float | None, before: float | None, base: ComparedVersion | None) -> str:
    """Return the difference to the version that is compared with; empty if there is none."""
    return f" ({value / before - 1:+.0%})" if base and value is not None and before else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _name(pin: Pin) -> str:
    return f"{pin.model}:{pin.version}"


def _finite(value: Any) -> Any:
    """Return a value without infinite numbers, which JSON does not have."""
    match value:
        case dict():
            return {name: _finite(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
    return value


def _html_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines: list[tuple[str, Sequence[object]]] = [("th", headings)]
    lines += [("td", row) for row in rows]
    cells = (
        "".join(f"<{tag}>{escape('' if cell is None else str(cell))}</{tag}>" for cell in row)
        for tag, row in lines
    )
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"
