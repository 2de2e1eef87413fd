"""Show what a version's record says about how the version was made smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.progress import human_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The field of the record.
OPTIMISATION = "optimisation"

_MOST_ROWS = 20


def optimisation_facts(details: Mapping[str, Any]) -> list[str]:
    """Return a line for each recipe that was tried, and one about the processor.

    Everyone who may push can write the record, so fields of unexpected types are left out.
    """
    found = details.get(OPTIMISATION)
    rows = found.get("rows") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(rows, list):
        return []
    lines = [_line(row) for row in rows[:_MOST_ROWS] if isinstance(row, dict)]
    flags = found.get("flags")
    named = f" ({', '.join(map(str, flags))})" if isinstance(flags, list) and flags else ""
    return [*lines, f"processor: {found.get('processor')}{named}"]


def _line(row: Mapping[str, Any]) -> str:
    size, load = row.get("size_bytes"), row.get("load_ms")
    latencies = row.get("latency_ms")
    parts = [human_bytes(size)] if isinstance(size, int) else []
    parts += [f"loads in {load:.3g} ms"] if isinstance(load, int | float) else []
    parts += [
        f"{rows} rows in {ms:.3g} ms"
        for rows, ms in (latencies.items() if isinstance(latencies, dict) else ())
        if isinstance(ms, int | float)
    ]
    if isinstance(row.get("quality"), int | float):
        parts.append(f"{row.get('measure')} {row['quality']:.4g}")
    return f"{row.get('recipe')}: {', '.join(parts)}; {row.get('verdict')}"
