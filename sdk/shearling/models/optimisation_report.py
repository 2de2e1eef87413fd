"""The report of an optimisation: a row for each recipe that was tried."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.progress import human_bytes
from shearling.text_table import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.models.agreement_gate import Quality
    from shearling.refs import Pin

#: What was decided about a recipe.
ORIGINAL, TAKEN, REFUSED, NO_GAIN, FAILED = "original", "taken", "refused", "no gain", "failed"

_HEADERS = ("RECIPE", "SIZE", "LOAD", "1 ROW", "64 ROWS", "QUALITY", "LOSS", "VERDICT", "REASON")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """What was found out about the original or a recipe.

    Attributes:
        recipe: name of the recipe; "original" for the version that is made smaller.
        verdict: "original", "taken", "refused" by the gate, "no gain" in size or speed, or
            "failed".
        reason: why, as a sentence.
        size_bytes: size of the version's files.
        load_ms: time to load it, in milliseconds.
        latency_ms: time of a request by its number of rows, in milliseconds.
        quality: how good its answers are; None if there were none.
        atol: the absolute tolerance that its example is published with.
    """

    recipe: str
    verdict: str
    reason: str = ""
    size_bytes: int | None = None
    load_ms: float | None = None
    latency_ms: Mapping[int, float] | None = None
    quality: Quality | None = None
    atol: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        quality = self.quality
        return {
            "recipe": self.recipe,
            "verdict": self.verdict,
            "reason": self.reason,
            "size_bytes": self.size_bytes,
            "load_ms": self.load_ms and round(self.load_ms, 3),
            "latency_ms": {str(n): round(ms, 4) for n, ms in (self.latency_ms or {}).items()},
            "measure": quality and quality.measure,
            "quality": quality and round(quality.value, 6),
            "loss": quality and _rounded(quality.loss),
            "loss_interval": quality and quality.interval and [*map(_rounded, quality.interval)],
            "atol": self.atol,
        }

    def cells(self) -> list[str]:
        """Return the row as the text of a table's cells."""
        latency, quality = self.latency_ms or {}, self.quality
        return [
            self.recipe,
            "" if self.size_bytes is None else human_bytes(self.size_bytes),
            _ms(self.load_ms),
            _ms(latency.get(1)),
            _ms(latency.get(64)),
            "" if quality is None else f"{quality.value:.4f}",
            _loss(quality),
            self.verdict,
            self.reason,
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimisationReport:
    """The result of `quantize`: what was tried, and the version that was published.

    Attributes:
        parent: the version that was to be made smaller.
        version: the new version; None if no recipe was taken.
        is_new: False if the registry already had the same bundle.
        rows: the original, and each recipe that was tried.
        calibration_rows: number of rows that calibrated.
        judged_rows: number of rows that judged.
        processor: name of the processor on which the times were measured.
    """

    parent: Pin
    version: Pin | None = None
    is_new: bool = False
    rows: tuple[ReportRow, ...]
    calibration_rows: int
    judged_rows: int
    processor: str

    @property
    def taken(self) -> ReportRow | None:
        """The row of the recipe that was taken; None if the original stays."""
        return next((row for row in self.rows if row.verdict == TAKEN), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        version = self.version
        return {
            "parent": str(self.parent),
            "version": version and str(version),
            "rows": [row.to_dict() for row in self.rows],
            "calibration_rows": self.calibration_rows,
            "judged_rows": self.judged_rows,
            "processor": self.processor,
        }

    def _result(self) -> str:
        if self.version is None:
            return f"{self.parent.model}:{self.parent.version} stays: no recipe was taken"
        new = f"{self.version.model}:{self.version.version}"
        state = "" if self.is_new else ", which was in the registry already"
        return f"{new} was made from {self.parent.model}:{self.parent.version}{state}"

    def _conditions(self) -> str:
        measures = {row.quality.measure: None for row in self.rows if row.quality}
        return (
            f"quality: {' or '.join(measures)}, on {self.judged_rows:,} rows that calibrated "
            f"nothing ({self.calibration_rows:,} others did); times: medians with one thread, "
            f"{self.processor}"
        )

    def __str__(self) -> str:
        lines = table(_HEADERS, [row.cells() for row in self.rows])
        return f"{self._result()}\n\n{lines}\n\n{self._conditions()}"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name.capitalize())}</th>" for name in _HEADERS)
        lines = (
            "".join(f"<td>{html.escape(cell) or '-'}</td>" for cell in row.cells())
            for row in self.rows
        )
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        result, conditions = html.escape(self._result()), html.escape(self._conditions())
        return f"<p><b>{result}</b></p><table><tr>{head}</tr>{body}</table><p>{conditions}</p>"


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.3g} ms"


def _loss(quality: Quality | None) -> str:
    if quality is None or quality.loss is None:
        return ""
    if quality.interval is None:
        return f"{quality.loss:.4f}"
    low, high = quality.interval
    return f"{quality.loss:.4f} ({low:.4f} to {high:.4f})"
