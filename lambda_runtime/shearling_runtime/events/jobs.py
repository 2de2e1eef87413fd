"""Run the asynchronous jobs whose bodies have arrived."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from shearling.errors import (
    InferenceError,
    InvalidRequestError,
    ModelNotReadyError,
    PayloadTooLargeError,
    RegistryError,
    StoreError,
)
from shearling.protocol.constants import LENGTH_HEADER
from shearling_runtime.http.failures import failure_response
from shearling_runtime.http.messages import as_bytes, content_of, input_of, response_of
from shearling_runtime.jobs.block_formats import block_formats
from shearling_runtime.jobs.job_store import ATTEMPTS
from shearling_runtime.jobs.opening import body_limit, open_jobs
from shearling_runtime.jobs.records import Attempt, Outcome
from shearling_runtime.serving.answer_size import NO_LIMIT
from shearling_runtime.telemetry import Metrics, cut, log_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling_runtime.events.context import Context
    from shearling_runtime.jobs.job_store import JobStore
    from shearling_runtime.jobs.records import Job, Result
    from shearling_runtime.serving.model_server import ModelServer

#: Value of `shearling` in the message that says that a job's body has arrived.
JOB = "job"

_KEY = re.compile(r"jobs/([^/]+)/([^/]+)/request")

#: Errors that may go away: the job is tried again.
_TRANSIENT = (ModelNotReadyError, StoreError, RegistryError)

_ERROR_CHARACTERS = 1000

_UNITS = {"JobLatency": "Milliseconds", "Jobs": "Count", "JobFailures": "Count"}
_METRICS = Metrics(_UNITS)
#: The same for a model that reads texts.
_TEXT_METRICS = Metrics({**_UNITS, "TruncatedTexts": "Count"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One invocation that runs a job.

    Attributes:
        attempt: how often the job's message has been received, from 1.
        seconds_left: seconds until the function is stopped.
        request_id: ID of the invocation, for the log.
    """

    attempt: int
    seconds_left: float
    request_id: str


def matches(event: Any) -> bool:
    """Return whether the messages of a queue are about jobs; a queue has one kind of messages."""
    records = event.get("Records")
    return bool(records) and _message(records[0]).get("shearling") == JOB


def respond(event: Any, context: Context, server: ModelServer, alias: str) -> Any:
    """Run the jobs of messages, and return the messages that the queue shall deliver again."""
    failures = []
    for record in event["Records"]:
        received = str(record.get("attributes", {}).get("ApproximateReceiveCount"))
        call = Call(
            attempt=int(received) if received.isdecimal() else 1,
            seconds_left=context.get_remaining_time_in_millis() / 1000,
            request_id=context.aws_request_id,
        )
        try:
            job_id = _job_id(_message(record), alias)
            run_job(job_id, open_jobs(server.settings, alias), call, server)
        except Exception as error:  # noqa: BLE001 - the queue delivers the message again
            log_error("job not done", error, request_id=call.request_id, model=server.name)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _message(record: Any) -> dict[str, Any]:
    """Return the document in a message; empty if there is none."""
    try:
        document = orjson.loads(record.get("body") or "")
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _job_id(message: Mapping[str, Any], alias: str) -> str:
    """Return the ID of the job whose body is the object in an event that a message repeats.

    Raises:
        InvalidRequestError: the message is not one of the alias's queue.
    """
    try:
        key = str(message["detail"]["object"]["key"])
    except (KeyError, TypeError):
        key = ""
    match = _KEY.fullmatch(key)
    if match is None or match[1] != alias:
        raise InvalidRequestError(f"detail.object.key: {key!r:.200} is no job's body of {alias!r}")
    return match[2]


def run_job(job_id: str, jobs: JobStore, call: Call, server: ModelServer) -> None:
    """Run a job that has no outcome yet, and record what became of it.

    Raises:
        ShearlingError: the job should be tried again.
    """
    job, outcome = jobs.job(job_id), jobs.outcome(job_id)
    if outcome is not None:
        jobs.announce(job_id, outcome)  # the attempt that recorded it may have ended before this
        return
    if job is None:
        return  # it has expired
    started = time.perf_counter()
    pin = server.settings.pin
    version = str(pin.version) if pin else ""
    attempt = Attempt(
        number=call.attempt, ends=jobs.now() + int(call.seconds_left), version=version
    )
    jobs.begin(job_id, attempt)
    truncated: int | None = None
    try:
        result, truncated = _answer(job, jobs, call, server)
        outcome = Outcome(status="succeeded", finished=jobs.now(), version=version, result=result)
    except _TRANSIENT as error:
        _failed(attempt, error, job_id, jobs)
        raise
    except Exception as error:  # noqa: BLE001 - becomes the job's error and a log line
        response = failure_response(error, call.request_id, model=server.name)
        outcome = Outcome(
            status="failed",
            finished=jobs.now(),
            version=version,
            error=response.document["error"],
            error_status=response.status,
        )
    _emit(jobs.finish(job_id, outcome), job_id, jobs.alias, server, started, truncated)


def _answer(job: Job, jobs: JobStore, call: Call, server: ModelServer) -> tuple[Result, int | None]:
    """Answer a job's request, store the result, and return it and how many texts were truncated."""
    limit = body_limit(server.settings)
    size = jobs.request_size(job.id) or 0
    formats = block_formats(job.headers)
    # CSV that fits in memory is read as `infer` reads it.
    if formats and (formats != ("csv", "csv") or size > limit):
        from shearling_runtime.events.scored_jobs import answer_in_blocks

        ends = time.monotonic() + call.seconds_left
        return answer_in_blocks(
            job, jobs, formats, server.scorer(), lambda: ends - time.monotonic()
        )
    if size > limit:
        raise PayloadTooLargeError(
            f"the body has {size:,} bytes; a function of {server.settings.memory_mb} MB reads "
            f"{limit:,} at most. Raise `memory_mb`, or send fewer rows"
        )
    query = input_of(jobs.request_body(job.id), job.headers)
    answer = server.infer(query, seconds_left=call.seconds_left, limit=NO_LIMIT)
    del query
    headers, content = content_of(response_of(answer))
    length = headers.get(LENGTH_HEADER)
    result = jobs.put_result(
        job.id,
        as_bytes(content),
        headers["content-type"],
        None if length is None else int(length),
    )
    return result, answer.truncated


def _failed(attempt: Attempt, error: Exception, job_id: str, jobs: JobStore) -> None:
    """Record why an attempt failed; the error of the last one is the job's."""
    ended = replace(
        attempt,
        ends=jobs.now(),
        error=cut(str(error), _ERROR_CHARACTERS),
        error_status=getattr(error, "status", InferenceError.status),
    )
    jobs.begin(job_id, ended)
    if attempt.number >= ATTEMPTS:
        failure = Outcome(
            status="failed",
            finished=ended.ends,
            version=ended.version,
            error=ended.error,
            error_status=ended.error_status,
        )
        jobs.announce(job_id, failure)


def _emit(  # noqa: PLR0917 - one caller
    outcome: Outcome,
    job_id: str,
    alias: str,
    server: ModelServer,
    started: float,
    truncated: int | None,
) -> None:
    counted = {} if truncated is None else {"TruncatedTexts": truncated}
    (_TEXT_METRICS if counted else _METRICS).emit(
        {
            "event": "job",
            "function_name": server.settings.function,
            "alias": alias,
            "model": server.name,
            "job": job_id[:8],  # whoever reads the log must not be able to read the result
            "status": outcome.status,
            "error": outcome.error or None,
            "JobLatency": round((time.perf_counter() - started) * 1000, 2),
            "Jobs": 1,
            "JobFailures": int(outcome.status == "failed"),
            **counted,
        }
    )
