"""Where a run is done: by a state machine, or by this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from shearling.batches.run_document import RunDocument

#: unfinished: a run on this machine that no longer runs, and has no end.
State = Literal["running", "succeeded", "failed", "stopped", "unfinished"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        state: see `State`.
        reason: why it failed; empty otherwise.
    """

    state: State
    reason: str = ""


class Executor(Protocol):
    """Does runs.

    Attributes:
        is_here: whether this process does them.
    """

    is_here: bool

    def begin(self, run: RunDocument, *, again: bool) -> None:
        """Begin a run, or begin it again; parts that are finished stay finished.

        Raises:
            BatchFailedError: the run is not over yet.
            ShearlingError: it cannot be begun.
        """
        ...

    def progress(self, run: str) -> Progress:
        """Return how far a run is.

        Raises:
            StoreError: nobody can say.
        """
        ...

    def stop(self, run: str) -> None:
        """Stop a run: parts that are being scored get no result; does nothing at the end.

        Raises:
            BatchFailedError: another process of this machine does it.
            StoreError: it cannot be stopped.
        """
        ...
