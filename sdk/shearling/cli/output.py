"""What a command says: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import sys
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from shearling.registry.records import AliasEntry


def say(text: str) -> None:
    """Write a result."""
    sys.stdout.write(f"{text}\n")


def say_json(value: object) -> None:
    """Write a result for a machine."""
    import json

    say(json.dumps(value, indent=2, ensure_ascii=False))


def note(text: str) -> None:
    """Write what is no result: progress, or an error."""
    sys.stderr.write(f"{text}\n")


def utc(moment: datetime) -> str:
    """Return a time for a column that says that it is UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def served(entry: AliasEntry) -> str:
    """Return what an alias names: `7`, or `7 (10 %: 8)` with a canary."""
    canary = entry.canary
    share = f" ({canary['percent']} %: {canary['version']})" if canary else ""
    return f"{entry.version}{share}"


def entry_document(entry: AliasEntry) -> dict[str, object]:
    """Return an alias's entry for a machine."""
    return {
        "model": entry.model,
        "alias": entry.alias,
        "entry": entry.number,
        "version": entry.version,
        "canary": dict(entry.canary) if entry.canary else None,
        "reason": entry.reason,
        "created": entry.created.isoformat(),
    }


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a line of headers; a column of numbers stands at the right.

    Args:
        headers: of the columns; if all are empty they take no line.
        rows: a cell for each header; an empty one shows as `-`.
    """
    given = [list(row) for row in rows]
    cells = [[_text(cell) for cell in row] for row in given]
    if any(headers):
        cells.insert(0, list(headers))
    rights = [
        bool(given) and all(isinstance(row[i], int | float) for row in given)
        for i in range(len(headers))
    ]
    widths = [max((len(row[i]) for row in cells), default=0) for i in range(len(headers))]
    lines = (
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, rights, strict=True)
        )
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.6g}"
    text = "" if cell is None else str(cell)
    return " ".join(text.split()) or "-"
