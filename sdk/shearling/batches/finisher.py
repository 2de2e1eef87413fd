"""End a run: add up what became of its parts, and say so below its output."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from shearling.batches.file_names import MANIFEST, OUTCOMES, SUCCESS
from shearling.batches.part_outcomes import PartOutcomes
from shearling.batches.run_files import RunFiles
from shearling.batches.run_result import PartFailure, RunResult
from shearling.errors import StoreError
from shearling.scoring.sink import aborted_sink
from shearling.storage.conditional import replace_object

if TYPE_CHECKING:
    from shearling.batches.part_outcomes import PartOutcome
    from shearling.batches.places import Places
    from shearling.batches.plan_document import Plan
    from shearling.batches.run_document import RunDocument
    from shearling.scoring.request import ScoreRequest

#: Failures that the manifest lists at most; `_run/outcomes.jsonl` has all.
_FAILURES = 1000

_MISSING = {
    "message": "no result was written: the run ended before the part was scored, or the function "
    "ended early, as its log says. Redrive the run to score what is missing"
}


def finish(run: RunDocument, places: Places) -> RunResult:
    """Write what became of a run, and `_SUCCESS` if no more parts failed than are tolerated.

    Args:
        run: what the run is asked for.
        places: opens the buckets.

    Raises:
        StoreError: the run has no plan, or a store refuses or fails.
    """
    files = RunFiles.of(run, places)
    plan = files.plan()
    if plan is None or plan.run.run != run.run:
        raise StoreError(f"{files.place} has no plan of the run {run.run}")
    result = _Sum(plan).write(files)
    files.write(MANIFEST, result.document())
    if result.status == "succeeded":
        replace_object(files.objects, files.key(SUCCESS), b"")
    return result


class _Sum:
    """Adds up the outcomes of parts."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._failures = list[PartFailure]()
        self._failed = self._rows = self._rejected = self._bytes = 0
        self._seconds = 0.0

    def write(self, files: RunFiles) -> RunResult:
        """Write a line for each part, and return the sum."""
        outcomes = PartOutcomes(files).read()
        state = files.objects.state(files.key(OUTCOMES))
        with aborted_sink(files.objects, files.key(OUTCOMES)) as sink:
            with closing(files.requests()) as requests:
                for request in requests:
                    found = outcomes.get(request.output_key)
                    line = self._add(request, found if found and found.is_of(request) else None)
                    sink.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            sink.finish(state.etag if state else None)
        return self._result()

    def _add(self, request: ScoreRequest, found: PartOutcome | None) -> dict[str, Any]:
        """Count a part, and return its line."""
        document = request.document()
        line: dict[str, Any] = {
            "source": document["source"],
            "output": {"bucket": request.output.bucket, "key": request.output_key},
        }
        error = found.error if found else _MISSING
        if found is None or error is not None:
            self._failed += 1
            if len(self._failures) < _FAILURES:
                self._failures.append(PartFailure.of(document["source"], error or _MISSING))
            return line | {"error": error}
        self._rows += found.rows
        self._rejected += found.rejected
        self._bytes += found.size
        self._seconds += found.seconds
        return line | {"rows": found.rows, "rejected": found.rejected, "seconds": found.seconds}

    def _result(self) -> RunResult:
        plan, now = self._plan, datetime.now(UTC)
        tolerated = plan.run.tolerated_failure_percentage
        is_success = 100 * self._failed <= tolerated * plan.parts
        began = datetime.fromisoformat(plan.created) if plan.created else now
        memory = plan.memory_mb
        return RunResult(
            run=plan.run.run,
            status="succeeded" if is_success else "failed",
            model=plan.pin,
            output=plan.run.output,
            function=plan.function,
            parts=plan.parts,
            failed=self._failed,
            rows=self._rows,
            rejected=self._rejected,
            bytes=self._bytes,
            seconds=round((now - began).total_seconds(), 3),
            scoring_seconds=round(self._seconds, 3),
            gb_seconds=round(self._seconds * memory / 1024, 3) if memory else None,
            failures=tuple(self._failures),
            created=now.isoformat(timespec="seconds"),
        )
