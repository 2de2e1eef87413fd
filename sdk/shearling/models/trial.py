"""Try recipes on a version: make each bundle, judge its answers, and measure it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from shearling.errors import FormatError
from shearling.models.candidates import make_candidate
from shearling.models.interleaved import Timing, gain_missing, interleaved
from shearling.models.optimisation_report import (
    FAILED,
    NO_GAIN,
    ORIGINAL,
    REFUSED,
    TAKEN,
    ReportRow,
)
from shearling.tensors.comparison import ATOL, RTOL, compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from shearling.converters.quantization import Recipe
    from shearling.models.agreement_gate import Gate
    from shearling.models.candidates import Candidate

    Tensors = Mapping[str, NDArray[Any]]

#: Rows that are asked alone and in a batch.
_ALONE = 32


@dataclass(slots=True)
class Trial:
    """What is tried on a version, and what was found out.

    Attributes:
        parent: the version.
        graph: its graph, which is left as it is.
        calibration: rows to calibrate with, in batches.
        rows: the rows that judge.
        expected: the version's answers to them.
        gate: what decides whether other answers are good enough.
        tried: a row of the report for each recipe that was tried.
    """

    parent: Candidate
    graph: onnx.ModelProto
    calibration: list[dict[str, NDArray[Any]]]
    rows: Tensors
    expected: Tensors
    gate: Gate
    tried: list[ReportRow] = field(default_factory=list)
    _times: list[Timing] = field(default_factory=list)

    def first_taken(self, recipes: Iterable[Recipe], directory: Path) -> Candidate | None:
        """Try recipes in turn until one is taken, and return its bundle.

        Args:
            recipes: the recipes.
            directory: existing directory for the files.
        """
        for recipe in recipes:
            own = directory / recipe.name
            own.mkdir()
            try:
                candidate = make_candidate(recipe, self.graph, self.parent, self.calibration, own)
                row = self._judged(recipe, candidate)
            except Exception as error:  # noqa: BLE001 - a recipe that fails is no reason to stop
                reason = f"{error!s:.300}" if isinstance(error, FormatError) else f"{error!r:.300}"
                self.tried.append(ReportRow(recipe=recipe.name, verdict=FAILED, reason=reason))
                continue
            self.tried.append(row)
            if row.verdict == TAKEN:
                return candidate
        return None

    def report(self) -> tuple[ReportRow, ...]:
        """Return the row of the original, and those of the recipes."""
        times = self._times or list(interleaved(self.parent, self.parent, self.rows)[:1])
        counts = times[0].latency_ms
        original = ReportRow(
            recipe="original",
            verdict=ORIGINAL,
            size_bytes=self.parent.manifest.size,
            load_ms=min(each.load_ms for each in times),
            latency_ms={n: min(each.latency_ms[n] for each in times) for n in counts},
            quality=replace(self.gate.judge(self.expected), loss=None, interval=None),
        )
        return (original, *self.tried)

    def _judged(self, recipe: Recipe, candidate: Candidate) -> ReportRow:
        quality = self.gate.judge(candidate.answers(self.rows))
        before, after = interleaved(self.parent, candidate, self.rows)
        self._times.append(before)
        sizes = self.parent.manifest.size, candidate.manifest.size
        refused = quality.problem or self._dependence(candidate)
        missing = gain_missing(sizes, before, after)
        return ReportRow(
            recipe=recipe.name,
            verdict=REFUSED if refused else NO_GAIN if missing else TAKEN,
            reason=refused or missing,
            size_bytes=sizes[1],
            load_ms=after.load_ms,
            latency_ms=after.latency_ms,
            quality=quality,
            atol=candidate.manifest.example.atol,
        )

    def _dependence(self, candidate: Candidate) -> str:
        """Return how answers depend on other rows of the request; empty if they do not.

        Nothing is required of a version whose answers depend on other rows by its contract.
        """
        if not candidate.manifest.signature.independent_rows:
            return ""
        few = {name: array[:_ALONE] for name, array in self.rows.items()}
        together, alone = candidate.answers(few, batch=_ALONE), candidate.answers(few, batch=1)
        problem = compare(together, alone, rtol=RTOL, atol=ATOL).problem
        return f"a row's answer depends on the other rows of its request: {problem}" * bool(problem)
