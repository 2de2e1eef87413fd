"""How time grows with size: the slope on a log-log picture."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from bench.measurement import Findings, Row, duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Points = Sequence[tuple[float, float]]

#: Below these the time is the start itself, or the call itself.
FROM = {"growth of the cold start": 4e7, "growth of a warm request": 100}
_LIMIT = 1.1


def slope(points: Points) -> float:
    """Return the exponent of the power that fits best: 1 is in proportion."""
    xs, ys = [log(x) for x, _ in points], [log(y) for _, y in points]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    across = sum((x - middle_x) ** 2 for x in xs)
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / across


def findings_of(series: Mapping[str, Mapping[str, Points]]) -> Findings:
    """Return the slopes of what other parts measured."""
    findings = Findings()
    for picture, start in FROM.items():
        lines = series.get(picture, {})
        table = [["", *(f"slope of {name}" for name in lines)]]
        large = {name: [p for p in points if p[0] >= start] for name, points in lines.items()}
        if not lines or any(len(points) < 2 for points in large.values()):  # noqa: PLR2004
            continue
        whole = {name: slope(points) for name, points in lines.items()}
        upper = {name: slope(points) for name, points in large.items()}
        table.append(["all sizes", *(f"{value:.2f}" for value in whole.values())])
        table.append([f"from {start:,.0f} on", *(f"{value:.2f}" for value in upper.values())])
        findings.notes = list(_NOTES)
        findings.tables[picture.capitalize()] = table
        last = large["Shearling"][-1]
        row = Row(
            section="growth",
            what=f"{picture}: slope from {start:,.0f} {_unit(picture)} on",
            ours=f"{upper['Shearling']:.2f} ({duration(last[1])} at {last[0]:,.0f})",
            against=f"{upper['floor']:.2f} (the floor's)",
            ratio=upper["Shearling"] / upper["floor"],
            bound="at most",
            target=_LIMIT,
            source="grows as the floor does",
        )
        findings.rows.append(row)
        if not row.met:
            findings.reasons[row.what] = (
                "The floor reads no network: between these sizes Shearling's time turns from the "
                "imports' to the fetch's."
                if "cold" in picture
                else "What grows with the rows is the tensor: JSON, numpy, and checks."
            )
    return findings


def _unit(picture: str) -> str:
    return "bytes" if "cold" in picture else "rows"


_NOTES = (
    (
        "A slope of 1 is in proportion to the size; near 0 is a constant. Small sizes are flat, "
        "so the slope that is judged is the large ones'."
    ),
)
