"""Do runs in threads of this process, with the engine, the plan and the files of a function."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from shearling.batches.executions import Progress
from shearling.batches.finisher import finish
from shearling.batches.planner import plan
from shearling.batches.run_files import RunFiles
from shearling.errors import BatchFailedError, ModelNotReadyError, ShearlingError, StoreError
from shearling.scoring.engine import score
from shearling.scoring.outcome import Failure, Outcome
from shearling.scoring.result_files import ResultFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from shearling.batches.places import Places
    from shearling.batches.plan_document import Plan
    from shearling.batches.run_document import RunDocument
    from shearling.protocol.requests import InferRequest
    from shearling.scoring.blocks import Scorer
    from shearling.scoring.request import ScoreRequest

#: Seconds after which a result is abandoned whose output is there, but not its manifest.
_OWNER_SECONDS = 5.0

#: Seconds before a part is tried again after an error that may go away.
_PAUSES = (1.0, 5.0, 15.0)


class LocalExecutor:
    """Does runs on this machine.

    Args:
        places: opens buckets and directories.
        load: loads the model.
        pin: pin of the model.
    """

    is_here = True

    #: Runs of this process, by the output: another `BatchRun` of the same output finds its run.
    _runs: dict[str, _LocalRun] = {}  # noqa: RUF012 - shared on purpose

    def __init__(self, places: Places, load: Callable[[], Scorer], pin: str) -> None:
        self._places = places
        self._load = load
        self._pin = pin

    def begin(self, run: RunDocument, *, again: bool) -> None:
        """See `Executor`."""
        if self._live(run.run):
            raise BatchFailedError(f"run {run.run} is not over yet: wait, or stop it")
        del again  # an existing plan is begun again anyway
        scorer = self._load()
        planned = plan(run, self._places, pin=self._pin)
        self._runs[run.run] = _LocalRun(planned, self._places, scorer)

    def progress(self, run: str) -> Progress:
        """See `Executor`."""
        found = self._runs.get(run)
        return found.progress() if found else Progress("unfinished")

    def stop(self, run: str) -> None:
        """See `Executor`."""
        if run not in self._runs:
            raise BatchFailedError(
                f"run {run} is not done by this process: interrupt the process that does it"
            )
        if found := self._live(run):
            found.stop()

    def _live(self, run: str) -> _LocalRun | None:
        found = self._runs.get(run)
        return found if found and found.progress().state == "running" else None


class _LocalRun:
    """A run in a thread of its own, which ends when all parts are done."""

    def __init__(self, planned: Plan, places: Places, scorer: Scorer) -> None:
        self._plan = planned
        self._places = places
        self._stopped = threading.Event()
        self._failed = 0
        self._error = ""
        # The model is the thread's, so that it is freed at the end.
        stoppable = replace(scorer, answer=self._answer_of(scorer))
        name = f"batch {planned.run.run}"
        self._thread = threading.Thread(target=self._run, args=(stoppable,), name=name)
        self._thread.start()

    def progress(self) -> Progress:
        """Return how far the run is."""
        if self._thread.is_alive():
            return Progress("running")
        if self._error:
            return Progress("failed", self._error)
        return Progress("stopped" if self._stopped.is_set() else "unfinished")

    def stop(self) -> None:
        """Stop the run, and wait until nothing of it runs."""
        self._stopped.set()
        self._thread.join()

    def _run(self, scorer: Scorer) -> None:
        run = self._plan.run
        files = RunFiles.of(run, self._places)
        try:
            self._score_all(files, scorer)
            if not self._stopped.is_set():
                finish(run, self._places)
        except ShearlingError as error:
            self._error = str(error)
        except Exception as error:  # noqa: BLE001 - raised to whoever waits for the run
            self._error = f"{type(error).__name__}: {error}"
            if not threading.main_thread().is_alive():  # Python ends, and begins no more threads
                self._error = (
                    f"run {run.run} ends with its process, before all parts are scored: wait for "
                    f"it there. To go on, run `shearling batch redrive {files.place}`"
                )
                sys.stderr.write(f"{self._error}\n")

    def _score_all(self, files: RunFiles, scorer: Scorer) -> None:
        run = self._plan.run
        tolerated = run.tolerated_failure_percentage * self._plan.parts / 100
        waiting = set[Future[bool]]()
        with (
            closing(files.requests()) as requests,
            ThreadPoolExecutor(run.max_concurrency, "score") as pool,
        ):
            try:
                for request in requests:
                    if self._stopped.is_set() or self._failed > tolerated:
                        break
                    waiting.add(pool.submit(self._score, request, scorer))
                    if len(waiting) >= run.max_concurrency:
                        waiting -= self._settled(waiting)
                while waiting:
                    waiting -= self._settled(waiting)
            except ShearlingError:
                self._stopped.set()
                raise

    def _settled(self, waiting: set[Future[bool]]) -> set[Future[bool]]:
        """Return the futures that are done, and count the failed ones."""
        done = wait(waiting, return_when=FIRST_COMPLETED).done
        self._failed += sum(not future.result() for future in done)
        return done

    def _score(self, request: ScoreRequest, scorer: Scorer) -> bool:
        """Score a part, again after an error that may go away; return whether it has a result."""
        for pause in (*_PAUSES, 0.0):
            try:
                return self._scored(request, scorer)
            except StoreError as found:
                error = found
                if error.denied or self._stopped.wait(pause):
                    break
        return self._stopped.is_set() or self._recorded(request, error)

    def _recorded(self, request: ScoreRequest, error: StoreError) -> bool:
        """Write why a part cannot be read or written, as the state machine does for a function.

        Returns:
            Whether the part has a result nevertheless.

        Raises:
            StoreError: the reason cannot be written either.
        """
        source = request.source
        outcome = Outcome(
            status="failed",
            request=request,
            model=self._plan.pin,
            source_etag=source.etag,
            failure=Failure(message=str(error)),
        )
        objects = self._places.objects(request.output.bucket, request.output.kms_key_arn)
        files = ResultFiles(objects, request.output_key, _OWNER_SECONDS)
        return not files.fail(outcome.document(), source.etag, source.part)

    def _scored(self, request: ScoreRequest, scorer: Scorer) -> bool:
        objects = self._places.objects
        try:
            outcome = score(
                request,
                objects(request.source.bucket),
                objects(request.output.bucket, request.output.kms_key_arn),
                scorer,
                owner_seconds=_OWNER_SECONDS,
            )
        except ModelNotReadyError:
            return True  # the run is stopped, so that nobody counts
        return outcome.has_result

    def _answer_of(self, scorer: Scorer) -> Callable[[InferRequest], Mapping[str, NDArray[Any]]]:
        """Return what answers requests until the run is stopped; then parts end without result."""

        def answer(request: InferRequest) -> Mapping[str, NDArray[Any]]:
            if self._stopped.is_set():
                raise ModelNotReadyError("the run is stopped")
            return scorer.answer(request)

        return answer
