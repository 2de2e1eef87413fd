"""Writes the report: Markdown, the figures as JSON, and the pictures."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from bench.installation import command
from bench.processes import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.measurement import Findings, Row

_HEADER = ["what", "Shearling", "against", "ratio", "target", "", "target from"]


def write_report(
    directory: Path,
    findings: Sequence[Findings],
    machine: Mapping[str, str],
    *,
    title: str,
    minutes: float,
) -> Path:
    """Write `latest.md`, `latest.json` and the pictures, and return the first."""
    directory.mkdir(parents=True, exist_ok=True)
    pictures = _draw(directory, findings)
    rows = [row for each in findings for row in each.rows]
    reasons = {what: why for each in findings for what, why in each.reasons.items()}
    parts = [
        f"# {title}",
        f"{sum(row.met for row in rows)} of {len(rows)} targets met, in {minutes:.0f} minutes.",
        _table([["", ""], *([key, value] for key, value in machine.items())]),
        "## Against the targets",
        _table([_HEADER, *map(_cells, rows)]),
        *_missed(rows, reasons),
        *(f"![{picture.stem.replace('-', ' ')}]({picture.name})" for picture in pictures),
        *(
            f"## {heading}\n\n{_table(lines)}"
            for each in findings
            for heading, lines in each.tables.items()
        ),
        "## How it was measured",
        "\n".join(f"- {note}" for each in findings for note in each.notes),
    ]
    path = directory / "latest.md"
    path.write_text("\n\n".join(parts) + "\n")
    document = {"machine": dict(machine), "findings": [each.document() for each in findings]}
    (directory / "latest.json").write_text(json.dumps(document, indent=1) + "\n")
    return path


def _cells(row: Row) -> list[str]:
    return [
        row.what,
        row.ours,
        row.against,
        f"{row.ratio:.2f} x",
        f"{row.bound} {row.target:g} x",
        "met" if row.met else f"**missed by {row.miss}**",
        row.source,
    ]


def _missed(rows: Sequence[Row], reasons: Mapping[str, str]) -> list[str]:
    missed = [row for row in rows if not row.met]
    if not missed:
        return []
    lines = [
        f"- **{row.what}**: {row.ratio:.2f} x, {row.bound} {row.target:g} x was wanted. "
        f"{reasons.get(row.what, '')}"
        for row in missed
    ]
    return ["## What is missed, and why", "\n".join(lines)]


def _table(lines: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
    return "\n".join([head, f"|{' --- |' * len(lines[0])}", *body])


def _draw(directory: Path, findings: Sequence[Findings]) -> list[Path]:
    for old in directory.glob("*.png"):
        old.unlink()
    series = directory / ".series.json"
    series.write_text(
        json.dumps({title: lines for each in findings for title, lines in each.series.items()})
    )
    try:
        run(
            [str(command("python")), "-m", "bench.pictures", str(series), str(directory)],
            {**os.environ, "PYTHONPATH": str(directory.parents[1])},
        )
    finally:
        series.unlink()
    return sorted(directory.glob("*.png"))
