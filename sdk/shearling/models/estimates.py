"""Estimate latency, start and cost of a function from what a push measured.

Lambda gives a function processors in proportion to its memory: one at 1,769 MB. The estimates take
the processor of the push for Lambda's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shearling.bundle.measurement import Latency, Measurement
    from shearling.models.prices import Prices

#: MB of memory for which Lambda gives one processor, and MB of /tmp that cost nothing.
CORE_MB = 1769
FREE_TMP_MB = 512

#: Milliseconds of the runtime for a request, and for each row of it as JSON, with one processor
#: (measured by `make bench`).
_REQUEST_MS, _ROW_MS = 0.1, 0.004

#: Milliseconds until Lambda has a sandbox in which Python runs, and MB a second from S3 or a file
#: system.
_SANDBOX_MS, _MB_PER_SECOND = 250.0, 80.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a memory size gives, for requests of one row to a function that is warm.

    Attributes:
        memory_mb: memory of the function in MB.
        p50_ms: median latency in milliseconds.
        p95_ms: 95th percentile of the latency in milliseconds.
        cost_million: price of a million requests.
    """

    memory_mb: int
    p50_ms: float
    p95_ms: float
    cost_million: float


def point(measured: Measurement, prices: Prices, *, memory_mb: int, tmp_mb: int) -> Point | None:
    """Return latency and cost at a memory size; None if no latency was measured."""
    latency = measured.latency()
    if latency is None:
        return None
    p50, p95 = latency_ms(measured, latency, memory_mb=memory_mb)
    return Point(
        memory_mb=memory_mb,
        p50_ms=p50,
        p95_ms=p95,
        cost_million=_cost_million(p50, prices, memory_mb=memory_mb, tmp_mb=tmp_mb),
    )


def latency_ms(measured: Measurement, latency: Latency, *, memory_mb: int) -> tuple[float, float]:
    """Return median and 95th percentile of a request at a memory size, in milliseconds.

    Args:
        measured: what the push measured.
        latency: the request, with one thread.
        memory_mb: memory of the function in MB.
    """
    share = memory_mb / CORE_MB
    threads = max(1, round(share))  # as the runtime sets them
    parallel = _parallel_part(measured, latency)
    speedup = 1 / (1 - parallel + parallel / min(share, threads)) if share > 1 else share
    own = (_REQUEST_MS + _ROW_MS * (latency.rows or 1)) / min(share, 1)
    return latency.p50_ms / speedup + own, latency.p95_ms / speedup + own


def cold_start_ms(measured: Measurement, size_mb: int) -> float:
    """Return the time from a request without a sandbox to one that is ready, in milliseconds.

    While a function starts, Lambda gives it a whole processor, whatever its memory. The bundle is
    fetched while libraries are imported. A start answers the example twice.
    """
    fetch = 1000 * size_mb / _MB_PER_SECOND
    return _SANDBOX_MS + max(measured.import_ms, fetch) + measured.load_ms + 2 * measured.first_ms


def _parallel_part(measured: Measurement, latency: Latency) -> float:
    """Return the part of a request's time that a second processor halves (Amdahl's law)."""
    rows = [it for it in measured.latencies if it.rows == latency.rows and it.threads == 2]  # noqa: PLR2004
    if not rows or not latency.p50_ms:
        return 0.0
    return min(1.0, max(0.0, 2 * (1 - rows[0].p50_ms / latency.p50_ms)))


def _cost_million(duration_ms: float, prices: Prices, *, memory_mb: int, tmp_mb: int) -> float:
    seconds = math.ceil(duration_ms) * 1000  # of a million requests; whole milliseconds are billed
    memory = prices.gb_second * memory_mb / 1024
    tmp = prices.tmp_gb_second * max(0, tmp_mb - FREE_TMP_MB) / 1024
    return prices.million_requests + seconds * (memory + tmp)
