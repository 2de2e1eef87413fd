"""Count and time requests in Prometheus's form, over all processes of the server.

prometheus_client keeps the numbers of each process in files of a directory, which is named by a
variable when it is imported: so this module is imported by workers only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from shearling.refs import Pin

#: From a tree on one row to a large model on many.
_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

REQUESTS = Counter("shearling_requests", "Requests, by route and status.", ["route", "status"])
SECONDS = Histogram(
    "shearling_request_seconds", "Time to answer a request, by route.", ["route"], buckets=_SECONDS
)
IN_PROGRESS = Gauge(
    "shearling_requests_in_progress", "Requests being answered.", multiprocess_mode="livesum"
)
_MODEL = Gauge(
    "shearling_model",
    "1 for the model that is served.",
    ["model", "version", "digest"],
    multiprocess_mode="max",
)
_WORKERS = Gauge(
    "shearling_ready_workers", "Processes that have the model.", multiprocess_mode="livesum"
)


def ready(pin: Pin) -> None:
    """Record that this process has the model."""
    _MODEL.labels(pin.model, str(pin.version), pin.digest).set(1)
    _WORKERS.set(1)


def exposition() -> bytes:
    """Return the metrics of all processes."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, os.environ["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
    return generate_latest(registry)
