"""Format rows and columns as aligned text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with a header line; columns of numbers are right-aligned.

    Args:
        headers: one title per column; if all are empty, the table has no header line.
        rows: rows of cells, one cell per header; an empty cell shows as `-`.
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
