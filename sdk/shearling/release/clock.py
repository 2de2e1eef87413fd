"""Time as a release sees it: what it waits by, and how long each of its steps takes."""

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
    """Time as a release sees it.

    Attributes:
        now: seconds that only grow.
        jitter: something between 0 and 1.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    jitter: Callable[[], float] = random.random
    date: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def pause(self, attempt: int, *, shortest: float = 0.2, longest: float = 5.0) -> None:
        """Wait longer at each attempt, and never as long as somebody else."""
        # The exponent is bounded too: a release may look at a slow function very often.
        seconds = min(longest, shortest * 2 ** min(attempt, 10))
        self.sleep(seconds * (0.5 + self.jitter() / 2))


#: How long the rights of a fresh role may need to hold everywhere.
FRESH_ROLE_SECONDS = 30.0


class FreshRoleGrace:
    """Whether a denial may still be that of a role whose rights do not hold everywhere yet.

    Args:
        clock: time.
        end: when to stop trying in any case, in the clock's seconds.
    """

    def __init__(self, clock: Clock, end: float = float("inf")) -> None:
        self._clock = clock
        self._end = end
        self._first_denial: float | None = None

    def covers_denial(self) -> bool:
        """Note a denial, and say whether it is worth trying again."""
        now = self._clock.now()
        if self._first_denial is None:
            self._first_denial = now
        return now - self._first_denial < FRESH_ROLE_SECONDS and now < self._end


class Stopwatch:
    """The seconds of each step; those of a step that is taken again are added."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        start = self._clock.now()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + self._clock.now() - start

    def timings(self) -> dict[str, str]:
        """Return the seconds of each step so far, as a record has them."""
        return {name: f"{seconds:.3f}" for name, seconds in self._seconds.items()}
