"""The schedule of reconciliations, and which aliases each of them compares with Lambda.

Every reconciliation reads the records of all aliases. Only a comparison with Lambda also finds
changes that no record shows, such as an alias that somebody moved by hand. It takes several calls
of an API that allows few a second, so the comparisons are spread evenly over a longer period.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shearling.registry.records import Deployment

#: Environment variables with the intervals, in minutes.
_VARIABLES = {
    "interval_seconds": "SHEARLING_RECONCILE_MINUTES",
    "full_interval_seconds": "SHEARLING_FULL_RECONCILE_MINUTES",
}

#: By how many seconds an event may be late without an alias being left out.
_JITTER_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How often aliases are reconciled.

    Attributes:
        interval_seconds: time between two scheduled events.
        full_interval_seconds: time between two comparisons of an alias with Lambda.
    """

    interval_seconds: float = 5 * 60
    full_interval_seconds: float = 60 * 60

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Schedule:
        """Read the intervals that Terraform sets; those of an earlier version set none."""
        found = {name: environment.get(variable, "") for name, variable in _VARIABLES.items()}
        minutes = {name: int(text) for name, text in found.items() if text.isdecimal()}
        return cls(**{name: value * 60 for name, value in minutes.items() if value})

    def is_due(self, deployment: Deployment, alias: str, now: datetime) -> bool:
        """Return whether the event at this time compares an alias with Lambda."""
        period = self.full_interval_seconds
        offset = zlib.crc32(f"{deployment.key}/{alias}".encode()) % period
        return (now.timestamp() - offset) % period < self.interval_seconds + _JITTER_SECONDS
