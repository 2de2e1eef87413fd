"""Score an object into an object, in blocks, with exactly one outcome."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shearling.errors import InferenceError, InvalidRequestError, ModelNotReadyError, StoreError
from shearling.scoring.blocks import BLOCK_BYTES, PLACE
from shearling.scoring.file_names import REJECTED
from shearling.scoring.outcome import Failure, Outcome
from shearling.scoring.pace import Pace
from shearling.scoring.readers import open_reader
from shearling.scoring.request import check_places
from shearling.scoring.result_files import ResultFiles
from shearling.scoring.transfer import RowRefusedError, Transfer
from shearling.storage.conditional import ConditionFailedError
from shearling.storage.store import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.scoring.blocks import Scorer
    from shearling.scoring.request import ScoreRequest
    from shearling.scoring.result_files import Seen
    from shearling.storage.conditional import ConditionalObjects, ObjectState

#: How often an object is begun again that is replaced while it is read, or whose output is.
_STARTS = 4

#: Seconds that an object may take where nothing limits them.
_DAY = 86_400.0

#: Maximum characters of a message in a file.
_MESSAGE = 2000


def score(
    request: ScoreRequest,
    source: ConditionalObjects,
    output: ConditionalObjects,
    scorer: Scorer,
    *,
    seconds_left: Callable[[], float] = lambda: _DAY,
    owner_seconds: float | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Outcome:
    """Score one object, and write the result or why there is none.

    The object is read as it is now, whatever ETag the request names, unless the request is for that
    ETag alone. Nothing is done if its result is finished, whichever model made it.

    Args:
        request: what to score.
        source: the objects of the source's bucket.
        output: the objects of the output's bucket.
        scorer: the model.
        seconds_left: returns the seconds until the deadline.
        owner_seconds: how long another invocation can take that scores the same object; None: as
            long as is left for this one.
        block_bytes: bytes of the source that are answered at a time.

    Raises:
        InvalidRequestError: the output would replace its own source.
        StoreError: a store refuses or fails, in a way that may go away.
        ModelNotReadyError: the model cannot answer yet.
    """
    check_places(request)
    owner_seconds = seconds_left() if owner_seconds is None else owner_seconds
    files = ResultFiles(output, request.output_key, owner_seconds)
    scoring = _Scoring(request, source, output, scorer, files, seconds_left, block_bytes)
    changed: StoreError | None = None
    for _ in range(_STARTS):
        try:
            return scoring.run()
        except ConditionFailedError as error:
            changed = error
    raise StoreError(f"begun {_STARTS} times, because an object was replaced: {changed}")


@dataclass(frozen=True, slots=True)
class _Scoring:
    """The scoring of one object; for the attributes see `score`."""

    request: ScoreRequest
    source: ConditionalObjects
    output: ConditionalObjects
    scorer: Scorer
    files: ResultFiles
    seconds_left: Callable[[], float]
    block_bytes: int

    def run(self) -> Outcome:
        """Score the object as it is now.

        Raises:
            ConditionFailedError: the object, or its output, was replaced meanwhile.
            StoreError: as for `score`.
        """
        source = self.request.source
        outcome = Outcome(status="gone", request=self.request, model=self.scorer.pin)
        state = self.source.state(source.key)
        if state is None and not source.is_pinned:
            return outcome
        etag = state.etag if state and not source.is_pinned else source.etag
        outcome = replace(outcome, source_etag=etag)
        seen = self.files.look()
        if seen.is_of(etag, source.part):
            return outcome.unchanged(seen.document)
        if state is None or state.etag != etag:
            return self._replaced(outcome, state)
        size = state.size if source.part is None else source.part.size
        outcome = replace(outcome, source_version=state.version_id, source_size=size)
        pace = Pace(size, self.seconds_left)
        transfer = Transfer(self.request, self.output, self.scorer)
        try:
            outcome = self._outcome(outcome, state, seen, transfer, pace)
        finally:
            transfer.abort()
        return self._written(outcome)

    def _written(self, outcome: Outcome) -> Outcome:
        """Write the error's file of a failure, and return the outcome."""
        part = self.request.source.part
        if outcome.status == "failed" and not self.files.fail(
            outcome.document(), outcome.source_etag, part
        ):
            return self.run()  # a duplicate has finished the result meanwhile
        return outcome

    def _replaced(self, outcome: Outcome, state: ObjectState | None) -> Outcome:
        """Return the failure of a request for an object that is not there any more."""
        what = f"has the ETag {state.etag} now" if state else "does not exist any more"
        error = InvalidRequestError(
            f"{PLACE}: {what}, but the request is for {outcome.source_etag}: the object was "
            f"{'replaced' if state else 'deleted'} since. Start again with the objects as they are"
        )
        return self._written(
            replace(outcome, status="failed", failure=_failure_of(error), error=error)
        )

    def _outcome(
        self, outcome: Outcome, state: ObjectState, seen: Seen, transfer: Transfer, pace: Pace
    ) -> Outcome:
        error: InferenceError | None = None
        try:
            with open_reader(
                self.request, self.source, state, self.scorer, self.block_bytes
            ) as reader:
                transfer.run(reader, pace)
        except ModelNotReadyError:
            raise
        except InferenceError as found:
            error = found
        except UnreadableError as found:
            error = InvalidRequestError(str(found))
        outcome = replace(
            outcome,
            status="scored",
            rows=transfer.rows,
            rejected=transfer.rejected,
            truncated=transfer.truncated,
            seconds=pace.seconds,
        )
        if error is not None:
            return replace(outcome, status="failed", failure=_failure_of(error), error=error)
        return self._finish(outcome, seen, transfer)

    def _finish(self, outcome: Outcome, seen: Seen, transfer: Transfer) -> Outcome:
        """Make the output appear, then the rejected rows, and the manifest last."""
        etag = transfer.finish(seen.output.etag if seen.output else None)
        if outcome.rejected:
            transfer.rejects.finish(self.files.etag_of_rejected())
        else:
            self.files.discard(REJECTED)
        outcome = replace(outcome, output_etag=etag, output_size=transfer.output.size)
        self.files.finish(seen, outcome.document())
        return outcome


def _failure_of(error: InferenceError) -> Failure:
    """Return what the error's file says of an error."""
    if isinstance(error, RowRefusedError):
        return error.failure
    return Failure(message=str(error)[:_MESSAGE])
