"""Answer the body of a job in blocks, with the engine that scores objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.scoring.engine import score
from shearling.scoring.request import Options, Output, ScoreRequest, Source
from shearling_runtime.http.forms import forms_of
from shearling_runtime.jobs.block_formats import content_type_of
from shearling_runtime.jobs.records import Result

if TYPE_CHECKING:
    from collections.abc import Callable

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
) -> tuple[Result, int | None]:
    """Score the body of a job, and return the result and how many texts were truncated.

    Raises:
        InferenceError: the body cannot be answered, as `infer` says it.
        StoreError: the store failed, in a way that may go away.
    """
    objects, bucket = jobs.objects()
    output = Output(bucket=bucket, key=jobs.new_result_key(job.id), format=formats.output)
    request = ScoreRequest(
        source=Source(bucket=bucket, key=jobs.request_key(job.id), format=formats.source),
        output=output,
        options=Options(header=_HEADERS[forms_of(job.headers).has_names]),
    )
    outcome = score(request, objects, objects, scorer, seconds_left=seconds_left)
    if outcome.error is not None:
        raise outcome.error
    result = Result(
        key=request.output_key,
        content_type=content_type_of(formats.output),
        size=outcome.output_size,
    )
    return result, outcome.truncated
