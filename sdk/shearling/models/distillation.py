"""The report of a distillation: the teacher, the students, and why one was taken."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from shearling.progress import human_bytes
from shearling.text_table import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shearling.models.model_version import ModelVersion

_HEADINGS = (
    "MODEL",
    "SIZE",
    "1 ROW (ms)",
    "64 ROWS (ms)",
    "AGREEMENT",
    "QUALITY",
    "PACKAGE",
    "VERDICT",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of a teacher or a student; each answered the same held-out rows.

    Attributes:
        name: name of the student, or of the teacher.
        size_bytes: size of its files; None if it cannot be kept.
        latency_ms: median milliseconds of a call with 1 row and with 64 rows, in this process.
        agreement: share of the rows with the teacher's label, or R2 against the teacher's numbers;
            of several targets, the least.
        quality: the same against the labels of the rows that have one; None without labels.
        package: what a function needs to serve it, beyond the runtime.
        verdict: "teacher", "pushed", "passes", "fails", "for comparison" or "impossible", with the
            reason.
    """

    name: str
    size_bytes: int | None = None
    latency_ms: tuple[float, float] | None = None
    agreement: float | None = None
    quality: float | None = None
    package: str = "runtime"
    verdict: str = ""

    def to_record(self) -> dict[str, Any]:
        """Return the row for the record of the version, in the form of other optimisations."""
        one, many = self.latency_ms or (None, None)
        return {
            "recipe": self.name,
            "size_bytes": self.size_bytes,
            "latency_ms": {} if self.latency_ms is None else {"1": one, "64": many},
            "measure": "agreement",
            "quality": self.agreement,
            "quality_on_labels": self.quality,
            "verdict": self.verdict[:80],
        }

    @property
    def cells(self) -> tuple[object, ...]:
        """The row of the report."""
        return (
            self.name,
            "" if self.size_bytes is None else human_bytes(self.size_bytes),
            *(("", "") if self.latency_ms is None else [f"{ms:.3g}" for ms in self.latency_ms]),
            "" if self.agreement is None else f"{self.agreement:.3f}",
            "" if self.quality is None else f"{self.quality:.3f}",
            self.package,
            self.verdict,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation:
    """What a distillation did; prints as a table, also in a notebook.

    Attributes:
        version: the version that was pushed.
        teacher: what was measured of the teacher.
        students: the same of each student, smallest first.
        fitted_rows: number of rows that the students learnt from.
        judged_rows: number of rows that they were judged by.
        labelled_rows: how many of these have a label.
        min_agreement: the agreement that a student needs.
        conclusion: what the labels say about distillation; empty without labels.
    """

    version: ModelVersion | None
    teacher: Measured
    students: tuple[Measured, ...]
    fitted_rows: int
    judged_rows: int
    labelled_rows: int
    min_agreement: float
    conclusion: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        return {
            "version": None if self.version is None else str(self.version.pin),
            "rows": {
                "fitted": self.fitted_rows,
                "judged": self.judged_rows,
                "labelled": self.labelled_rows,
            },
            "min_agreement": self.min_agreement,
            "teacher": _plain(self.teacher),
            "students": [_plain(student) for student in self.students],
            "conclusion": self.conclusion,
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        headings, rows = self._table()
        return "\n\n".join([*self._sentences(), table(headings, rows)])

    def _repr_html_(self) -> str:
        headings, rows = self._table()
        lines: list[tuple[str, Sequence[object]]] = [("th", headings)]
        lines += [("td", row) for row in rows]
        cells = "".join(
            f"<tr>{''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in row)}</tr>"
            for tag, row in lines
        )
        texts = "".join(f"<p>{escape(text)}</p>" for text in self._sentences())
        return f"{texts}<table>{cells}</table>"

    def _table(self) -> tuple[list[str], list[list[object]]]:
        """Return headings and rows, without columns that are empty."""
        rows = [row.cells for row in (self.teacher, *self.students)]
        kept = [i for i in range(len(_HEADINGS)) if any(row[i] for row in rows)]
        return [_HEADINGS[i] for i in kept], [[row[i] for i in kept] for row in rows]

    def _sentences(self) -> Iterator[str]:
        if self.version is not None:
            yield str(self.version)
        yield (
            f"Learnt from {self.fitted_rows:,} rows and judged by {self.judged_rows:,} others; "
            f"an agreement of at least {self.min_agreement:g} passes"
        )
        if self.conclusion:
            yield self.conclusion


def _plain(measured: Measured) -> dict[str, Any]:
    fields = asdict(measured)
    if measured.latency_ms is not None:
        fields["latency_ms"] = list(measured.latency_ms)
    return fields
