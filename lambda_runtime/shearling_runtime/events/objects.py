"""Score requests: in the messages of a queue, or by direct invocation."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from shearling.errors import (
    InferenceError,
    InvalidRequestError,
    ModelNotReadyError,
    PredictionError,
    StoreError,
)
from shearling.scoring.engine import score
from shearling.scoring.request import ScoreRequest, is_score_request
from shearling.storage.s3_bucket import S3Bucket
from shearling_runtime.events.arrivals import with_source
from shearling_runtime.http.failures import failure_response, internal_error
from shearling_runtime.telemetry import Metrics, cut, log, log_error

if TYPE_CHECKING:
    from shearling.scoring.outcome import Outcome
    from shearling_runtime.events.context import Context
    from shearling_runtime.serving.model_server import ModelServer

_COUNTS = ("Objects", "Rows", "RejectedRows", "FailedObjects", "ObjectErrors")
_METRICS = Metrics(dict.fromkeys(_COUNTS, "Count"))
#: The same for a model that reads texts.
_TEXT_METRICS = Metrics(dict.fromkeys((*_COUNTS, "TruncatedTexts"), "Count"))

#: Seconds that are left for the answer and the log when the engine's time is over.
_ANSWER_SECONDS = 1.0

#: Share of the time that must be left for the next message of several.
_SHARE = 0.5

#: Maximum characters of a key, and of a message, in the log.
_SHOWN = 1024


def respond(event: Any, context: Context, server: ModelServer, alias: str) -> Any:
    """Score what an event asks for.

    A message fails if its error may go away, or if it is no score request: the queue delivers it
    again, and then moves it to the dead-letter queue. An object that cannot be scored is a result.

    Args:
        event: messages of a queue, or a score request.
        context: Lambda's context of the invocation.
        server: server of the model.
        alias: alias by which the function was invoked.

    Returns:
        The failed messages, or the outcome's document.
    """
    objects = _Objects(context, server, alias)
    if "Records" not in event:
        return objects.answer(event)
    failed = [record for record in event["Records"] if not objects.is_done(record)]
    return {"batchItemFailures": [{"itemIdentifier": each["messageId"]} for each in failed]}


class _Objects:
    """Scores objects during one invocation."""

    def __init__(self, context: Context, server: ModelServer, alias: str) -> None:
        self._context = context
        self._server = server
        self._alias = alias
        self._limit = self._seconds_left()

    def answer(self, document: object) -> dict[str, Any]:
        """Return the outcome of a request; an invalid request is answered with its status.

        Raises:
            StoreError: a store refuses or fails, in a way that may go away.
            ModelNotReadyError: no model is released yet.
            PredictionError: anything else, whose traceback is in the log.
        """
        try:
            return self._score(document).document()
        except Exception as error:  # noqa: BLE001 - becomes a response and a log line
            request_id = self._context.aws_request_id
            if isinstance(error, StoreError):
                response = internal_error(error, request_id, status=503, message=str(error))
            else:
                response = failure_response(error, request_id, model=self._server.name)
            found: dict[str, Any] = response.document
            self._emit({"ObjectErrors": 1, "error": found["error"]})
            if response.status >= InferenceError.status:
                # The invocation fails, so that its caller, such as a state machine, tries again.
                raise _kind(error)(found["error"]) from None
            return found | {"status": response.status}

    def is_done(self, record: dict[str, Any]) -> bool:
        """Score what a message asks for; return whether the queue may forget it."""
        message = str(record.get("messageId"))
        if self._seconds_left() < _SHARE * self._limit:
            # What takes too long now may be done in time if nothing precedes it.
            log("object postponed", message=message, request_id=self._context.aws_request_id)
            return False
        try:
            request = with_source(_body(record))
            if request is not None:
                self._score(request)
        except Exception as error:  # noqa: BLE001 - the queue delivers the message again
            log_error("object error", error, request_id=self._context.aws_request_id)
            self._emit({"ObjectErrors": 1, "message": message, "error": cut(str(error), _SHOWN)})
            return False
        return True

    def _score(self, document: object) -> Outcome:
        request = ScoreRequest.from_document(document)
        outcome = score(
            request,
            _bucket(request.source.bucket),
            _bucket(request.output.bucket, request.output.kms_key_arn),
            self._server.scorer(),
            seconds_left=self._seconds_left,
            owner_seconds=self._limit,
        )
        self._log(outcome)
        return outcome

    def _seconds_left(self) -> float:
        return self._context.get_remaining_time_in_millis() / 1000 - _ANSWER_SECONDS

    def _log(self, outcome: Outcome) -> None:
        request = outcome.request
        fields: dict[str, Any] = {
            "object_event": request.event,
            "outcome": outcome.status,
            "model": outcome.model,
            "source": cut(f"s3://{request.source.bucket}/{request.source.key}", _SHOWN),
            "output": cut(f"s3://{request.output.bucket}/{request.output_key}", _SHOWN),
            "etag": outcome.source_etag,
            "seconds": round(outcome.seconds, 3),
            "Objects": int(outcome.status == "scored"),
            "FailedObjects": int(outcome.status == "failed"),
        }
        if outcome.status == "scored":
            fields |= {"Rows": outcome.rows, "RejectedRows": outcome.rejected}
        if outcome.status == "scored" and outcome.truncated is not None:
            fields["TruncatedTexts"] = outcome.truncated
        if outcome.failure is not None:
            fields["error"] = cut(outcome.failure.message, _SHOWN)
        self._emit(fields)

    def _emit(self, fields: dict[str, Any]) -> None:
        metrics = _TEXT_METRICS if "TruncatedTexts" in fields else _METRICS
        metrics.emit(
            {
                "event": "object",
                "function_name": self._context.function_name,
                "alias": self._alias,
                "request_id": self._context.aws_request_id,
                **dict.fromkeys(_COUNTS, 0),
                **fields,
            }
        )


def _kind(error: Exception) -> type[Exception]:
    """Return the class of the error that an invocation fails with, by which callers tell errors."""
    kinds = (StoreError, ModelNotReadyError)
    return next((kind for kind in kinds if isinstance(error, kind)), PredictionError)


def _body(record: dict[str, Any]) -> dict[str, Any]:
    """Return the request in a message.

    Raises:
        InvalidRequestError: the message has none.
    """
    try:
        document = orjson.loads(record.get("body") or "")
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"message: not JSON: {error.msg}") from error
    if not is_score_request(document):
        raise InvalidRequestError('message: not a score request, which has "shearling": "score"')
    found: dict[str, Any] = document
    return found


@cache
def _bucket(name: str, kms_key_arn: str = "") -> S3Bucket:
    """Return a bucket, which keeps its connections from one object to the next."""
    return S3Bucket(name, kms_key_arn)
