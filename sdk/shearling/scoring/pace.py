"""Foresee whether an object will be done in time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shearling.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Share of the time after which the measured rate counts, and share that is kept in reserve.
_MEASURED, _RESERVE = 0.03, 0.1

#: Seconds that the end needs at least: the last part, the manifest.
_LAST_SECONDS = 1.0


class Pace:
    """The time that an object takes, against the time that is left.

    Args:
        size: bytes of the object.
        seconds_left: returns the seconds until the deadline.

    Attributes:
        limit: seconds until the deadline at the beginning.
    """

    def __init__(self, size: int, seconds_left: Callable[[], float]) -> None:
        self._size = size
        self._seconds_left = seconds_left
        self.limit = seconds_left()
        self._started = time.monotonic()
        self._done = 0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    def advance(self, size: int) -> None:
        """Count bytes that are done.

        Raises:
            DeadlineError: the rest will not be done in time; the message has the size that would.
        """
        self._done += size
        spent, left = self.seconds, self._seconds_left()
        if self._done >= self._size or not self._done or spent < _MEASURED * self.limit:
            return
        usable = left - max(_LAST_SECONDS, _RESERVE * self.limit)
        rate = self._done / spent
        needed = (self._size - self._done) / rate
        if needed <= usable:
            return
        fits = rate * max(0.0, self.limit * (1 - _RESERVE) - _LAST_SECONDS)
        raise DeadlineError(
            f"the object has {_shown(self._size)} and would take {spent + needed:,.0f} s, but the "
            f"function has {self.limit:,.0f} s: at {_shown(rate)} a second, about {_shown(fits)} "
            "fit. Split the object, or raise the function's `timeout_seconds` (900 at most) or "
            "`memory_mb`"
        )


def _shown(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - of the next unit
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} GB"
