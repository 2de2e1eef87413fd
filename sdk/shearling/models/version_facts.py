"""What the registry knows of a version that versions are compared by: numbers from its record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.bundle.contract import Contract
from shearling.bundle.contract_changes import contract_changes
from shearling.bundle.evaluation import Evaluation
from shearling.bundle.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from shearling.bundle.contract_changes import Change
    from shearling.bundle.manifest import Manifest
    from shearling.refs import Pin
    from shearling.registry.records import Version

#: Levels of dicts of metrics that are read, and metrics of a version.
_MOST_LEVELS, _MOST_METRICS = 4, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """What the registry knows of a version.

    Attributes:
        pin: the version.
        created: time of its push.
        aliases: the aliases that name it.
        metrics: the metrics that its push computed, as `test accuracy`, and those of its metadata.
        size_bytes: size of its files.
        latency_ms: median milliseconds for one row, measured at push; None if it was not.
        memory_mb: peak memory in MB, measured at push; None if it was not.
        contract: what callers rely on.
    """

    pin: Pin
    created: datetime
    aliases: tuple[str, ...]
    metrics: Mapping[str, float]
    size_bytes: int
    latency_ms: float | None
    memory_mb: float | None
    contract: Contract

    @classmethod
    def of(cls, version: Version, manifest: Manifest, aliases: tuple[str, ...]) -> VersionFacts:
        """Return the facts of a version; numbers of its record that are invalid are left out."""
        details = version.details
        measured = Measurement.from_details(details)
        latency = measured.latency() if measured else None
        return cls(
            pin=version.pin,
            created=version.created,
            aliases=aliases,
            metrics=dict(list(_metrics(details))[:_MOST_METRICS]),
            size_bytes=manifest.size,
            latency_ms=latency.p50_ms if latency else None,
            memory_mb=measured.peak_mb if measured else None,
            contract=Contract.of(manifest, details),
        )

    def changes_from(self, other: VersionFacts) -> tuple[Change, ...]:
        """Return what changes for callers of another version if this one answers them."""
        return contract_changes(other.contract, self.contract)


def _metrics(details: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if evaluation := Evaluation.from_details(details):
        for name, value in evaluation.metrics.items():
            yield f"test {name}", value
    yield from _numbers("", details.get("metrics"), _MOST_LEVELS)


def _numbers(path: str, value: Any, levels: int) -> Iterator[tuple[str, float]]:
    """Yield the numbers in nested dicts with their paths, as in `cv.mean`."""
    if isinstance(value, dict) and levels:
        for name, inner in value.items():
            yield from _numbers(f"{path}.{name}" if path else str(name)[:40], inner, levels - 1)
    elif path and isinstance(value, int | float) and not isinstance(value, bool):
        yield from [(path, float(value))] if math.isfinite(value) else []
