"""Time for a release: the clock, pauses between attempts, and the duration of each step."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The time functions of a release, which tests replace.

    Attributes:
        now: returns a monotonic time in seconds.
        sleep: waits for a number of seconds.
        jitter: returns a random number between 0 and 1.
        date: returns the current date and time in UTC.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    jitter: Callable[[], float] = random.random
    date: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def pause(self, attempt: int, *, shortest: float = 0.2, longest: float = 5.0) -> None:
        """Wait with exponential backoff and jitter.

        Args:
            attempt: number of attempts so far.
            shortest: base of the backoff in seconds.
            longest: largest pause in seconds.
        """
        # The exponent is bounded too, because a release may poll a slow function very often.
        seconds = min(longest, shortest * 2 ** min(attempt, 10))
        self.sleep(seconds * (0.5 + self.jitter() / 2))


#: Seconds that the permissions of a new IAM role may take to apply everywhere.
FRESH_ROLE_SECONDS = 30.0


class FreshRoleGrace:
    """Decides whether a denial may come from a new role whose permissions do not apply yet.

    Args:
        clock: time source.
        end: time of the clock, in seconds, from which on no denial is retried.
    """

    def __init__(self, clock: Clock, end: float = float("inf")) -> None:
        self._clock = clock
        self._end = end
        self._first_denial: float | None = None

    def covers_denial(self) -> bool:
        """Register a denial and return whether to try again."""
        now = self._clock.now()
        if self._first_denial is None:
            self._first_denial = now
        return now - self._first_denial < FRESH_ROLE_SECONDS and now < self._end


class Pace:
    """Spaces out calls evenly, so that they stay below a service's rate.

    Args:
        clock: time source.
        calls_per_second: largest number of calls a second.
    """

    def __init__(self, clock: Clock, calls_per_second: float) -> None:
        self._clock = clock
        self._gap_seconds = 1 / calls_per_second
        self._next = clock.now()

    def wait(self) -> None:
        """Wait until the next call may be made."""
        now = self._clock.now()
        if now < self._next:
            self._clock.sleep(self._next - now)
        self._next = max(now, self._next) + self._gap_seconds


class Stopwatch:
    """Measures the seconds of each step, summed over repetitions of the step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the time of a step."""
        start = self._clock.now()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + self._clock.now() - start

    def timings(self) -> dict[str, str]:
        """Return the seconds of each step so far, as text for a release record."""
        return {name: f"{seconds:.3f}" for name, seconds in self._seconds.items()}
