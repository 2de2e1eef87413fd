"""What a push measured of a bundle in a fresh process: memory, load time, latency."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from shearling.bundle.json_reader import Field
from shearling.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The field of a version's record.
MEASURED_FIELD = "measured"

#: Limits of what a record may say, far above what can be measured.
_MOST_MB, _MOST_MS, _MOST_LATENCIES, _MOST_FLAGS = 2**24, 10**7, 16, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long the model took to answer one request, without the request's parsing.

    Attributes:
        rows: rows of the request; None for a model whose requests have no rows.
        threads: threads for the request.
        p50_ms: median in milliseconds.
        p95_ms: 95th percentile in milliseconds.
    """

    rows: int | None
    threads: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a push measured of a bundle, on the machine and with the packages of the push.

    Memory is in MB of 2^20 bytes, as Lambda counts.

    Attributes:
        import_ms: time of the imports of a function.
        load_ms: time to load the model.
        first_ms: time of the first answer, to the bundle's example.
        imports_mb: memory after the imports.
        start_mb: peak memory up to the answers to the example and to one row.
        peak_mb: peak memory up to the answer to the largest request.
        model_mb: memory without which the model cannot start: `start_mb` without imports and
            without files that are mapped; None if the system does not tell.
        latencies: for one row and for the largest request, with one thread and with two.
        processor: name of the processor.
        flags: those instructions of the processor that matter to models.
        system: operating system and architecture, such as `Linux x86_64`.
    """

    import_ms: float
    load_ms: float
    first_ms: float
    imports_mb: float
    start_mb: float
    peak_mb: float
    model_mb: float | None
    latencies: tuple[Latency, ...]
    processor: str
    flags: tuple[str, ...]
    system: str

    def latency(self, *, largest: bool = False, threads: int = 1) -> Latency | None:
        """Return the latency of the smallest or largest request; None if it was not measured."""
        found = [each for each in self.latencies if each.threads == threads]
        return (max if largest else min)(found, key=lambda it: it.rows or 0, default=None)

    def to_record(self) -> dict[str, Any]:
        """Return the value of the version record's field."""
        return asdict(self)

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> Measurement | None:
        """Read the details of a version's record; None without a valid measurement.

        Records are untrusted, and a measurement is only an estimate: an invalid one stops nothing.
        """
        try:
            return _read(Field(details[MEASURED_FIELD], MEASURED_FIELD))
        except (KeyError, BundleError):
            return None


def _read(root: Field) -> Measurement:
    model = root["model_mb"]
    return Measurement(
        import_ms=_number(root["import_ms"], _MOST_MS),
        load_ms=_number(root["load_ms"], _MOST_MS),
        first_ms=_number(root["first_ms"], _MOST_MS),
        imports_mb=_number(root["imports_mb"], _MOST_MB),
        start_mb=_number(root["start_mb"], _MOST_MB),
        peak_mb=_number(root["peak_mb"], _MOST_MB),
        model_mb=None if model.value is None else _number(model, _MOST_MB),
        latencies=tuple(map(_latency, _few(root["latencies"], _MOST_LATENCIES))),
        processor=root["processor"].text()[:80],
        flags=tuple(flag.text()[:20] for flag in _few(root["flags"], _MOST_FLAGS)),
        system=root["system"].text()[:80],
    )


def _latency(place: Field) -> Latency:
    rows = place["rows"]
    return Latency(
        rows=None if rows.value is None else _positive(rows),
        threads=_positive(place["threads"]),
        p50_ms=_number(place["p50_ms"], _MOST_MS),
        p95_ms=_number(place["p95_ms"], _MOST_MS),
    )


def _few(place: Field, limit: int) -> list[Field]:
    items = list(place.items())
    if len(items) > limit:
        raise BundleError(f"it has {len(items)} items, but {limit} are allowed", field=place.path)
    return items


def _positive(place: Field) -> int:
    number = place.count()
    if not number:
        raise BundleError("0 is not above 0", field=place.path)
    return number


def _number(place: Field, limit: int) -> float:
    value = place.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < limit:
        raise BundleError(f"{value!r:.80} is not a number from 0 to {limit}", field=place.path)
    return float(value)
