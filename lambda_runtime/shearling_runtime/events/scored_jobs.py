"""Answer the body of a job in blocks, with the engine that scores objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shearling.errors import InvalidRequestError, PredictionError
from shearling.scoring.engine import score
from shearling.scoring.request import Options, Output, ScoreRequest, Source
from shearling_runtime.http.messages import forms_of
from shearling_runtime.jobs.block_formats import content_type_of
from shearling_runtime.jobs.records import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest
    from shearling.scoring.blocks import Scorer
    from shearling_runtime.jobs.block_formats import BlockFormats
    from shearling_runtime.jobs.job_store import JobStore
    from shearling_runtime.jobs.records import Job

#: What CSV bodies say of their first line -> option of the engine.
_HEADERS: dict[bool | None, Any] = {None: "auto", True: "present", False: "absent"}


def answer_in_blocks(
    job: Job,
    jobs: JobStore,
    formats: BlockFormats,
    scorer: Scorer,
    seconds_left: Callable[[], float],
) -> Result:
    """Score the body of a job, and return the result.

    Raises:
        InvalidRequestError: the body is not of its format, or does not fit the model.
        PredictionError: the model failed.
        StoreError: the store failed, in a way that may go away.
    """
    objects, bucket = jobs.objects()
    output = Output(bucket=bucket, key=jobs.new_result_key(job.id), format=formats.output)
    request = ScoreRequest(
        source=Source(bucket=bucket, key=jobs.request_key(job.id), format=formats.source),
        output=output,
        options=Options(header=_HEADERS[forms_of(job.headers)[1]]),
    )
    failures: list[PredictionError] = []

    def answer(part: InferRequest) -> Mapping[str, NDArray[Any]]:
        try:
            return scorer.answer(part)
        except PredictionError as error:
            failures.append(error)
            raise

    watched = replace(scorer, answer=answer)
    outcome = score(request, objects, objects, watched, seconds_left=seconds_left)
    if outcome.failure is not None:
        if failures:
            raise failures[-1]
        raise InvalidRequestError(outcome.failure.message)
    return Result(
        key=request.output_key,
        content_type=content_type_of(formats.output),
        size=outcome.output_size,
    )
