"""A progress bar, shown in a terminal or a notebook only."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def is_watched() -> bool:
    """Return whether standard error is a terminal or the process runs a notebook."""
    return sys.stderr.isatty() or _is_kernel()


def _is_kernel() -> bool:
    """Return whether this process is a notebook's kernel, and has not only imported kernels."""
    module = sys.modules.get("ipykernel.kernelapp")
    return module is not None and bool(module.IPKernelApp.initialized())


@contextmanager
def progress(title: str, total: int, *, unit: str = "B") -> Iterator[Callable[[int], object]]:
    """Show a progress bar and yield the function that advances it.

    Args:
        title: text before the bar.
        total: number of units to process.
        unit: name of the unit; bytes by default.

    Yields:
        A function to call with the number of units processed since the last call.
    """
    if not is_watched():
        yield int
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=title, unit=unit, unit_scale=True, leave=False) as bar:
        yield bar.update


@contextmanager
def estimated_progress(title: str, *, unit: str) -> Iterator[Callable[[int, float], None]]:
    """Show a progress bar whose total is an estimate, and yield the function that moves it.

    Args:
        title: text before the bar.
        unit: name of the unit.

    Yields:
        A function to call with the number of units that are done, and how many there will be.
    """
    if not is_watched():
        yield lambda *_: None
        return
    from tqdm.auto import tqdm

    with tqdm(desc=title, unit=unit, unit_scale=True, leave=False) as bar:

        def show(done: int, total: float) -> None:
            bar.total = max(done, round(total)) or None
            bar.update(done - bar.n)
            bar.refresh()

        yield show


def human_bytes(count: int) -> str:
    """Format a number of bytes, as in `12.3 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - the step between units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
