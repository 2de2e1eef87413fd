"""Draw a few values as a line, for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _HEIGHT, _MARGIN = 420, 130, 30


def line_chart(title: str, points: Sequence[tuple[str, float]], marked: str = "") -> str:
    """Return an SVG picture of values in their order.

    Args:
        title: what the values are.
        points: a label and a value each; two or more.
        marked: the label of the point to emphasise.
    """
    values = [value for _, value in points]
    low, high = min(values), max(values)
    spread = high - low or 1.0
    step = (_WIDTH - 2 * _MARGIN) / (len(points) - 1)
    places = [
        (_MARGIN + i * step, _HEIGHT - _MARGIN - (value - low) / spread * (_HEIGHT - 2 * _MARGIN))
        for i, value in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 if label == marked else 3}" fill="currentColor">'
        f"<title>{escape(label)}: {value:.4g}</title></circle>"
        f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(label)}</text>'
        f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{value:.4g}</text>'
        for (x, y), (label, value) in zip(places, points, strict=True)
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        'font-size="10" font-family="sans-serif" fill="currentColor">'
        f"<title>{escape(title)}</title>"
        f'<text x="{_MARGIN}" y="12">{escape(title)}</text>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-opacity="0.5"/>'
        f"{dots}</svg>"
    )
