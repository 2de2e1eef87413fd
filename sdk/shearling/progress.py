"""A progress bar where somebody is looking: in a terminal or a notebook, and nowhere else."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def is_watched() -> bool:
    """Say whether standard error is a terminal, or the process is a notebook's."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def progress(title: str, total: int, *, unit: str = "B") -> Iterator[Callable[[int], object]]:
    """Yield a function to call with the number of bytes, or of other units, that are done."""
    if not is_watched():
        yield int
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=title, unit=unit, unit_scale=True, leave=False) as bar:
        yield bar.update


def human_bytes(count: int) -> str:
    """Return a number of bytes as a person reads it: `12.3 MB`."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - the step between units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
