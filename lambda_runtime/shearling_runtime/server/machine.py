"""Processors and memory that this process may use: those of its container, else the machine's."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: Limits of version 2 of control groups, at the root of a container's own view, and of version 1.
_CPU = Path("/sys/fs/cgroup/cpu.max")
_MEMORY = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

#: The share of the memory that workers may use at their peak.
_USABLE = 0.8


def processors() -> int:
    """Return the number of processors, at least 1."""
    count = os.cpu_count() or 1
    with suppress(AttributeError):  # not on macOS
        count = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):
        quota, period = _CPU.read_text().split()
        count = min(count, round(int(quota) / int(period)))
    return max(1, count)


def memory_mb() -> int:
    """Return the memory in MB."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _MEMORY:
        with suppress(OSError, ValueError):  # the text `max` is no number
            size = min(size, int(path.read_text()))
    return size // 1_000_000


def workers_that_fit(peak_mb: int) -> int:
    """Return how many workers to run: one a processor, unless memory permits fewer.

    Args:
        peak_mb: memory that the first worker took at its peak.
    """
    by_memory = int(_USABLE * memory_mb() / max(1, peak_mb))
    return max(1, min(processors(), by_memory))
