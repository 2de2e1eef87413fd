"""Draws the pictures; runs in the benchmark's own environment, which has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found,unused-ignore]

from bench.growth import FROM, slope

mpl.use("Agg")
from matplotlib import pyplot as plt  # type: ignore[import-not-found,unused-ignore]
from matplotlib.ticker import LogLocator  # type: ignore[import-not-found,unused-ignore]

#: The picture of `bench.optimisation`, whose axes are shares.
QUALITY = "quality against size"

_COLORS = ("#0072b2", "#56b4e9", "#d55e00", "#009e73", "#999999", "#cc79a7")
_X_LABELS = {
    "growth of the cold start": "bytes of the model",
    "growth of a warm request": "rows of the request",
    QUALITY: "size, as a share of the original's",
}


def draw(title: str, lines: dict[str, list[tuple[Any, float]]], path: Path) -> None:
    """Draw numbers as lines on log-log axes, with their slopes, and names as bars."""
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=110, layout="constrained")
    first = next(iter(lines.values()))
    if isinstance(first[0][0], str):
        _bars(axes, lines)
    elif title == QUALITY:
        _shares(axes, lines)
    else:
        _lines(axes, lines, FROM.get(title, 0))
    axes.set_xlabel(_X_LABELS.get(title, ""))
    axes.set_ylabel("quality" if title == QUALITY else "seconds")
    axes.set_title(title, loc="left")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize="small")
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _shares(axes: Any, lines: dict[str, list[tuple[float, float]]]) -> None:
    for (name, points), color in zip(lines.items(), _COLORS, strict=False):
        axes.plot(*zip(*sorted(points), strict=True), "o", color=color, label=name)
    axes.set_xlim(left=0)


def _lines(axes: Any, lines: dict[str, list[tuple[float, float]]], start: float) -> None:
    for (name, points), color in zip(lines.items(), _COLORS, strict=False):
        large = [point for point in points if point[0] >= start]
        label = f"{name} (slope {slope(large):.2f} at the end)" if len(large) > 1 else name
        axes.plot(*zip(*points, strict=True), "o-", color=color, label=label)
    axes.set_xscale("log")
    _log_seconds(axes)


def _log_seconds(axes: Any) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")


def _bars(axes: Any, lines: dict[str, list[tuple[str, float]]]) -> None:
    width = 0.8 / len(lines)
    for i, ((name, points), color) in enumerate(zip(lines.items(), _COLORS, strict=False)):
        places = [x + (i - (len(lines) - 1) / 2) * width for x in range(len(points))]
        bars = axes.bar(places, [y for _, y in points], width, label=name, color=color)
        axes.bar_label(bars, fmt="{:.2g}", fontsize="x-small")
    labels = [x for x, _ in next(iter(lines.values()))]
    axes.set_xticks(range(len(labels)), labels, fontsize="small", rotation=15, ha="right")
    values = [y for points in lines.values() for _, y in points if y]
    if max(values) > 20 * min(values):
        _log_seconds(axes)


def file_name(title: str) -> str:
    """Return the name of a picture's file."""
    return title.replace(" ", "-") + ".png"


def main() -> None:
    """Read the series from a file, and write the pictures to a directory."""
    series, directory = Path(sys.argv[1]), Path(sys.argv[2])
    for title, lines in json.loads(series.read_text()).items():
        draw(title, lines, directory / file_name(title))


if __name__ == "__main__":
    main()
