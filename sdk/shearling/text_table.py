"""Format rows and columns as aligned text, and text so that a terminal only shows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What a terminal obeys, other than tabs and line feeds: control characters, with which escape
#: sequences start, and those that change the direction of text.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return a text with its control characters escaped as `\u001b`, which JSON reads too."""
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


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
    return printable(" ".join(text.split())) or "-"
