"""What the reader of a plan has to know about its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.models.estimates import Point
    from shearling.models.prices import Prices
    from shearling.models.sizing import Size

_HOURS_A_MONTH = 730

_UNMEASURED = (
    "This version was pushed without measuring: memory is estimated from the sizes of its files, "
    "and latency and cost are unknown. To measure, push the model again with other metadata, which "
    "makes a new version."
)
_MEMORY = (
    "Below 1,769 MB a function has a part of one processor, so half of the memory takes twice the "
    "time, and the cost hardly depends on memory. Beyond, only a model that uses several threads "
    "gets faster."
)
_MILLISECOND = (
    "Each request is billed for a whole millisecond at least, so a larger memory costs more here."
)
_PROCESSOR = (
    "Latency is estimated for the processor of the push; Lambda's may be slower. A cold start is "
    "not part of it; provisioned concurrency avoids cold starts."
)
_NO_LATENCY = (
    "The model answered no request in the time that a push has to measure, so latency and cost are "
    "unknown."
)


def notes(
    size: Size, at: Point | None, prices: Prices, per_month: float | None, *, is_measured: bool
) -> tuple[str, ...]:
    """Return what to know of a plan.

    Args:
        size: what the function needs.
        at: latency and cost with the planned memory; None if they were not measured.
        prices: the prices.
        per_month: requests a month, if they are known.
        is_measured: whether the push measured the memory.
    """
    return tuple(_notes(size, at, prices, per_month, is_measured=is_measured))


def _notes(
    size: Size, at: Point | None, prices: Prices, per_month: float | None, *, is_measured: bool
) -> Iterator[str]:
    if at is None:
        yield _NO_LATENCY if is_measured else _UNMEASURED
    else:
        yield _MEMORY
        if at.p50_ms < 1:
            yield _MILLISECOND
        yield _PROCESSOR
    instance = prices.instance(size.needed_mb)
    month = instance.hour * _HOURS_A_MONTH if instance else 0.0
    is_dear = at is not None and at.cost_million * (per_month or 0) / 1e6 > month
    if instance and (size.placement == "sagemaker" or is_dear):
        yield (
            f"One {instance.name} of SageMaker ({instance.memory_gb:g} GB) costs {month:,.0f} "
            f"{prices.currency} a month, however many requests it answers."
        )
