"""A batch run: how far it is, its end, and its parts without a result."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from shearling.batches.file_names import MANIFEST
from shearling.batches.part_outcomes import PartOutcomes
from shearling.batches.run_files import RunFiles
from shearling.batches.run_result import PartFailure, RunResult
from shearling.errors import BatchFailedError, InvalidRequestError, JobTimeoutError, StoreError
from shearling.progress import estimated_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shearling.batches.executions import Executor, Progress, State
    from shearling.batches.places import Places
    from shearling.batches.run_document import RunDocument

#: Seconds between two looks at a run: the first, the longest, and how it grows.
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.2, 10.0, 1.3

#: Failures that a message lists at most.
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How far a run is.

    Attributes:
        run: ID of the run.
        state: running, succeeded, failed, stopped, or unfinished: a run on this machine that no
            longer runs, and has no end.
        reason: why it failed; empty otherwise.
        model: pin of the model that answers; empty before the plan is made.
        output: prefix of the results.
        parts: number of parts; 0 before the plan is made.
        scored: number of parts that have a result.
        failed: number of parts that cannot be scored.
        rows: number of rows of the scored parts, with the rejected ones.
        rejected: number of rows that the model refused.
        bytes: bytes of the sources of parts that are scored or failed.
        total_bytes: bytes of all sources.
    """

    run: str
    state: State
    reason: str = ""
    model: str = ""
    output: str
    parts: int = 0
    scored: int = 0
    failed: int = 0
    rows: int = 0
    rejected: int = 0
    bytes: int = 0
    total_bytes: int = 0

    def document(self) -> dict[str, Any]:
        """Return the fields as a document for JSON."""
        return asdict(self)


class BatchRun:
    """A batch run, on AWS or on this machine.

    Attributes:
        id: ID of the run.
        output: prefix of the results, as a URI or path.
    """

    def __init__(
        self,
        document: RunDocument,
        executor: Executor,
        places: Places,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.id = document.run
        self._document = document
        self._executor = executor
        self._files = RunFiles.of(document, places)
        self._outcomes = PartOutcomes(self._files)
        self._pause = pause
        self.output = str(self._files.place)

    def __repr__(self) -> str:
        return f"BatchRun({self.id!r}, {self.output!r})"

    @property
    def is_here(self) -> bool:
        """Whether a process of this machine does the run, and ends it when it ends."""
        return self._executor.is_here

    def status(self) -> RunStatus:
        """Return how far the run is.

        Raises:
            StoreError: the output cannot be read, or Step Functions refuses.
        """
        progress = self._executor.progress(self.id)
        plan, result = self._files.plan(), self._result()
        if plan is None or plan.run.run != self.id:
            return RunStatus(
                run=self.id, state=progress.state, reason=progress.reason, output=self.output
            )
        outcomes = [*self._outcomes.read().values()]
        scored = [outcome for outcome in outcomes if outcome.error is None]
        return RunStatus(
            run=self.id,
            state=_state(progress, result),
            reason=progress.reason,
            model=plan.pin,
            output=self.output,
            parts=plan.parts,
            scored=len(scored),
            failed=result.failed if result else len(outcomes) - len(scored),
            rows=sum(outcome.rows for outcome in scored),
            rejected=sum(outcome.rejected for outcome in scored),
            bytes=sum(outcome.size for outcome in outcomes),
            total_bytes=plan.bytes,
        )

    def wait(self, timeout: float | None = None) -> RunResult:
        """Wait for the end of the run, with a progress bar, and return what became of it.

        Interrupting the wait does not stop the run.

        Args:
            timeout: seconds to wait at most; None: until the run ends.

        Raises:
            BatchFailedError: the run has failed, or was stopped.
            JobTimeoutError: the run is not over; it goes on, and can be waited for again.
            StoreError: the output cannot be read, or Step Functions refuses.
        """
        ends = float("inf") if timeout is None else time.monotonic() + timeout
        with estimated_progress(f"batch {self.id}", unit=" rows") as show:
            for seconds in _pauses():
                status = self.status()
                if status.state != "running":
                    return self._ended(status)
                if status.bytes:
                    show(status.rows, status.rows / status.bytes * status.total_bytes)
                if not time.monotonic() < ends:  # also if it is no number
                    break
                self._pause(min(seconds, max(0.0, ends - time.monotonic())))
        raise JobTimeoutError(
            f"run {self.id} is still running after {timeout:g} s. It goes on: wait longer, or ask "
            f"for it later with batch_run({self.output!r})"
        )

    def failures(self) -> list[PartFailure]:
        """Return the parts without a result: so far, or at the end the first 1,000.

        Raises:
            StoreError: the output cannot be read.
        """
        if (result := self._result()) is not None:
            return [*result.failures]
        outcomes = sorted(self._outcomes.read().items())
        return [PartFailure.of(each.source, each.error) for _, each in outcomes if each.error]

    def stop(self) -> None:
        """Stop the run. Parts that are finished stay finished: `redrive` goes on with the others.

        Raises:
            BatchFailedError: another process of this machine does the run.
            StoreError: Step Functions refuses.
        """
        self._executor.stop(self.id)

    def redrive(self, *, wait: bool = False) -> BatchRun:
        """Begin the run again: parts without a result are scored, with the same model.

        Args:
            wait: whether to wait for the end, as `wait` does.

        Raises:
            BatchFailedError: the run is not over yet; or with `wait`, it failed again.
            StoreError: the output cannot be read, or Step Functions refuses.
        """
        self._executor.begin(self._document, again=True)
        if wait:
            self.wait()
        return self

    def _result(self) -> RunResult | None:
        document = self._files.document(MANIFEST)
        if document is None:
            return None
        try:
            return RunResult.from_document(document)
        except InvalidRequestError as error:
            raise StoreError(f"{self._files.shown(MANIFEST)}: {error}") from error

    def _ended(self, status: RunStatus) -> RunResult:
        result = self._result()
        if status.state == "succeeded":
            if result is None:
                raise StoreError(f"{self._files.shown(MANIFEST)} was deleted since the run ended")
            return result
        failures = self.failures()
        raise BatchFailedError(_message(status, failures), failures=failures)


def _state(progress: Progress, result: RunResult | None) -> State:
    """Return the state of a run, of which the manifest is the last word."""
    if progress.state == "running" or result is None:
        return progress.state
    return result.status


def _message(status: RunStatus, failures: list[PartFailure]) -> str:
    """Return what became of a run that has not succeeded, with the first failures."""
    found = f"run {status.run} is {status.state}"
    if status.state == "failed":
        found = f"run {status.run} has failed"
    if status.parts:
        found += (
            f": {status.failed} of {status.parts} parts have failed, {status.scored} have results"
        )
    if status.reason:
        found += f": {status.reason}"
    lines = [f"{failure.source}{_where(failure)}: {failure.message}" for failure in failures]
    more = len(lines) - _SHOWN
    lines = lines[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
    if status.parts:
        lines.append("To score what has no result, call redrive() once the cause is mended")
    return "\n  ".join([found, *lines])


def _where(failure: PartFailure) -> str:
    return "" if failure.start is None else f" from {failure.start:,} to {failure.stop:,}"


def _pauses() -> Iterator[float]:
    seconds = _FIRST_PAUSE
    while True:
        yield seconds
        seconds = min(seconds * _GROWTH, _LONGEST_PAUSE)
