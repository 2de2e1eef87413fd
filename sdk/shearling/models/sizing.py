"""Size a function for a bundle: memory, /tmp, timeout, and where the bundle is read from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shearling.models.estimates import FREE_TMP_MB, cold_start_ms, latency_ms, point
from shearling.progress import human_bytes
from shearling.release.capacity import LAMBDA_LIMIT_MB, megabytes, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shearling.bundle.manifest import Manifest
    from shearling.bundle.measurement import Measurement
    from shearling.models.prices import Prices

Placement = Literal["tmp", "file_system", "sagemaker"]

#: What we leave free in /tmp, in MB.
_FREE_IN_TMP_MB = 64

#: Below this size a function has so little of a processor that requests get slow.
_LEAST_MEMORY_MB = 1024

#: Steps of memory: of an estimate from file sizes, and of one from a measurement.
_ROUGH_STEP_MB, _STEP_MB = 256, 64

#: What a function needs beside what was measured: buffers of the fetch, the request's document.
_HEADROOM = 1.15

#: MB of the runtime with its libraries, and how often a file is in memory while it is loaded:
#: ONNX Runtime packs a copy of the weights, and a pickle is read, decoded and copied.
_RUNTIME_MB = {"onnx": 256, "cloudpickle": 512}
_COPIES = {"onnx": 2, "cloudpickle": 3}

#: Seconds: Terraform's default and Lambda's limit, and the time that Lambda gives a start before it
#: becomes part of the first request.
DEFAULT_TIMEOUT, _MOST_TIMEOUT, _START_LIMIT = 30, 900, 10

#: A size of memory that is slower than the fastest by no more than this is taken for as fast.
_NEARLY = 1.05

#: How much longer than estimated the largest request may take.
_PATIENCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a function needs for a bundle.

    Attributes:
        needed_mb: memory that the model needs, with what the function needs beside it.
        memory_mb: memory of the function.
        tmp_mb: size of /tmp; None if the bundle does not fit there.
        timeout_seconds: timeout of an invocation.
        placement: where the bundle is read from, or "sagemaker" if no function can serve it.
        exceeds_memory: whether the reason for that is that Lambda has too little memory.
        memory_reason: why the memory has its size.
        placement_reason: why the bundle is placed there.
    """

    needed_mb: int
    memory_mb: int
    tmp_mb: int | None
    timeout_seconds: int
    placement: Placement
    exceeds_memory: bool
    memory_reason: str
    placement_reason: str


def size_of(
    manifest: Manifest, measured: Measurement | None, prices: Prices, *, p95_ms: float | None
) -> Size:
    """Return what a function needs for a bundle.

    Args:
        manifest: manifest of the bundle.
        measured: what its push measured; None for an estimate from the sizes of its files.
        prices: prices of memory and time.
        p95_ms: 95th percentile that a request of one row may take when the function is warm.
    """
    tmp: int | None = max(FREE_TMP_MB, megabytes(manifest.size) + _FREE_IN_TMP_MB)
    if tmp and tmp > LAMBDA_LIMIT_MB:
        tmp = None
    needed = _needed_mb(manifest, measured)
    least = _least_mb(needed, measured)
    step = _STEP_MB if measured else _ROUGH_STEP_MB
    smallest = min(LAMBDA_LIMIT_MB, max(_LEAST_MEMORY_MB, -(-needed // step) * step))
    memory, reason = smallest, _memory_reason(manifest, measured, needed)
    if measured and p95_ms:
        memory, reason = _fast_enough(measured, prices, smallest, p95_ms) or (smallest, reason)
    timeout = _timeout(measured, megabytes(manifest.size), memory)
    placement, why = _placement(manifest, tmp=tmp, least_mb=least, timeout=timeout)
    return Size(
        needed_mb=needed,
        memory_mb=memory,
        tmp_mb=tmp,
        timeout_seconds=min(timeout, _MOST_TIMEOUT),
        placement=placement,
        exceeds_memory=least > LAMBDA_LIMIT_MB,
        memory_reason=reason,
        placement_reason=why,
    )


def _needed_mb(manifest: Manifest, measured: Measurement | None) -> int:
    if measured:
        return math.ceil(_HEADROOM * measured.peak_mb)
    resident = megabytes(resident_bytes(manifest))
    return _RUNTIME_MB[manifest.format] + _COPIES[manifest.format] * resident


def _least_mb(needed: int, measured: Measurement | None) -> int:
    """Return the memory without which a function cannot start: mapped weights need none."""
    if measured is None or measured.model_mb is None:
        return needed
    return min(needed, math.ceil(measured.imports_mb + measured.model_mb))


def _fast_enough(
    measured: Measurement, prices: Prices, smallest: int, p95_ms: float
) -> tuple[int, str] | None:
    """Return the smallest memory with which one row is fast enough, or else about the fastest."""
    sizes: Iterable[int] = range(smallest, LAMBDA_LIMIT_MB + 1, _STEP_MB)
    points = [point(measured, prices, memory_mb=size, tmp_mb=0) for size in sizes]
    known = [it for it in points if it]
    if not known:
        return None
    enough = (it for it in known if it.p95_ms <= p95_ms)
    if found := next(enough, None):
        if found.memory_mb == smallest:
            return None
        return found.memory_mb, f"one row takes {found.p95_ms:.3g} ms (p95)"
    limit = _NEARLY * min(it.p95_ms for it in known)
    best = next(it for it in known if it.p95_ms <= limit)
    return best.memory_mb, (
        f"about the fastest, but one row takes {best.p95_ms:.3g} ms (p95), not {p95_ms:g}: a "
        "smaller model, or one that is quantized, is faster"
    )


def _timeout(measured: Measurement | None, size_mb: int, memory_mb: int) -> int:
    """Return the timeout: enough for the largest request, and for a start longer than Lambda's."""
    if measured is None:
        return DEFAULT_TIMEOUT
    latency = measured.latency(largest=True)
    p95 = latency_ms(measured, latency, memory_mb=memory_mb)[1] if latency else 0.0
    start = cold_start_ms(measured, size_mb) / 1000
    needed = _PATIENCE * p95 / 1000 + (2 * start if start > _START_LIMIT else 0)
    return max(DEFAULT_TIMEOUT, -(-math.ceil(needed) // 10) * 10)


def _placement(
    manifest: Manifest, *, tmp: int | None, least_mb: int, timeout: int
) -> tuple[Placement, str]:
    size = human_bytes(manifest.size)
    if least_mb > LAMBDA_LIMIT_MB:
        return "sagemaker", f"{least_mb:,} MB of memory are more than Lambda has"
    if timeout > _MOST_TIMEOUT:
        return "sagemaker", f"requests may take longer than the {_MOST_TIMEOUT} s that Lambda waits"
    if tmp is None:
        return "file_system", f"{size} do not fit into /tmp"
    return "tmp", f"{size} fit"


def _memory_reason(manifest: Manifest, measured: Measurement | None, needed: int) -> str:
    if measured:
        largest = measured.latency(largest=True)
        rows = f" with {largest.rows:,} rows" if largest and largest.rows else ""
        found = f"{measured.peak_mb:,.0f} MB were measured{rows}"
        more = "; more memory is more processor" if needed <= _LEAST_MEMORY_MB else ", and buffers"
        return f"{found}{more}"
    loaded = human_bytes(resident_bytes(manifest))
    if needed > LAMBDA_LIMIT_MB:
        return (
            f"about {needed:,} MB are needed for {loaded} that are loaded, which Lambda does not "
            'have; an ONNX model that is pushed with load="latency" needs less'
        )
    if needed <= _LEAST_MEMORY_MB:
        return f"{needed} MB are enough for {loaded} that are loaded; more memory is more processor"
    return f"{loaded} that are loaded, and the runtime"
