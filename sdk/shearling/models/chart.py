"""Draw lines against memory as a picture for a notebook (SVG)."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Size of the picture, and the space around the lines for labels.
_WIDTH, _HEIGHT, _MARGIN = 450, 150, 30

_COLOURS = ("#3949ab", "#e65100")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart, which is as high as its largest value.

    Attributes:
        name: what it shows.
        values: its values.
        shown: formats a value.
    """

    name: str
    values: Sequence[float]
    shown: Callable[[float], str]


def chart(sizes: Sequence[int], lines: Sequence[Line]) -> str:
    """Return a picture of lines, each from 0 to its own largest value.

    Args:
        sizes: memory in MB, ascending.
        lines: values for each size.
    """
    bottom, right = _HEIGHT - 8, _WIDTH - _MARGIN
    drawn = (_drawn(sizes, line, place) for place, line in enumerate(lines))
    return (
        f"<svg width='{_WIDTH}' height='{_HEIGHT}' font-size='11' font-family='sans-serif' "
        f"role='img'>{''.join(drawn)}"
        f"<text x='{_MARGIN}' y='{bottom}'>{sizes[0]:,} MB</text>"
        f"<text x='{right}' y='{bottom}' text-anchor='end'>{sizes[-1]:,} MB</text></svg>"
    )


def _drawn(sizes: Sequence[int], line: Line, place: int) -> str:
    """Return a line and its label, which are drawn beside those before it."""
    most = max(line.values) or 1.0
    across = (_WIDTH - 2 * _MARGIN) / max(1, sizes[-1] - sizes[0])
    up = (_HEIGHT - 2 * _MARGIN) / most
    dots = " ".join(
        f"{_MARGIN + across * (size - sizes[0]):.1f},{_HEIGHT - _MARGIN - up * value:.1f}"
        for size, value in zip(sizes, line.values, strict=True)
    )
    colour, label = _COLOURS[place], escape(f"{line.name}, up to {line.shown(most)}")
    return (
        f"<polyline points='{dots}' fill='none' stroke='{colour}' stroke-width='2'/>"
        f"<text x='{_MARGIN + 190 * place}' y='14' fill='{colour}'>{label}</text>"
    )
