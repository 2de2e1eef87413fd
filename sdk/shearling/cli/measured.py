"""Format what a push measured of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.bundle.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any


def measured_facts(details: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the details of a version's record say of memory, time and the machine."""
    if (measured := Measurement.from_details(details)) is None:
        return
    yield f"memory: {measured.start_mb:,.0f} MB to start, {measured.peak_mb:,.0f} MB at most"
    yield f"start: imports {measured.import_ms:.0f} ms, load {measured.load_ms:.0f} ms"
    for latency in measured.latencies:
        rows = f"{latency.rows:,} row{'s' * (latency.rows > 1)}" if latency.rows else "the example"
        threads = f"{latency.threads} thread{'s' * (latency.threads > 1)}"
        yield f"{rows}, {threads}: p50 {latency.p50_ms:.3g} ms, p95 {latency.p95_ms:.3g} ms"
    yield f"on: {measured.processor} ({' '.join(measured.flags)}), {measured.system}"
