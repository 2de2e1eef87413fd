"""The metrics of a version on labelled rows, as its push computed and recorded them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.bundle.json_reader import Field
from shearling.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The field of a version's record.
EVALUATION_FIELD = "evaluation"

#: Metrics that a record may have.
_MOST_METRICS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good a version's answers to labelled rows are.

    Attributes:
        rows: number of the rows.
        metrics: the metrics by scikit-learn's name, such as `accuracy`.
    """

    rows: int
    metrics: Mapping[str, float]

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())
        return f"{values} on {self.rows:,} rows"

    def to_record(self) -> dict[str, Any]:
        """Return the value of the version record's field."""
        return {"rows": self.rows, "metrics": dict(self.metrics)}

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> Evaluation | None:
        """Read the details of a version's record; None without a valid evaluation."""
        try:
            root = Field(details[EVALUATION_FIELD], EVALUATION_FIELD)
            rows, metrics = root["rows"].count(), root["metrics"].value
        except (KeyError, BundleError):
            return None
        if not isinstance(metrics, dict) or len(metrics) > _MOST_METRICS:
            return None
        if not all(map(_is_number, metrics.values())):
            return None
        return cls(rows=rows, metrics={str(name)[:40]: metrics[name] for name in metrics})


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type] # checked above
