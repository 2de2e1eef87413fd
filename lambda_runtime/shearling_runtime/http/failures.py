"""Turn an error into a response with a message, and log its traceback."""

from __future__ import annotations

from shearling.errors import InferenceError, PredictionError
from shearling_runtime.http.messages import Response
from shearling_runtime.telemetry import cut, log_error

#: Maximum characters of a message, so that a response and a log line can contain it.
_MESSAGE_CHARACTERS = 4000


def failure_response(error: Exception, request_id: str, **fields: str) -> Response:
    """Return the response to an error, and log the error if it is not the caller's.

    Args:
        error: error that was raised.
        request_id: ID of the request, for the log and the message.
        **fields: fields to log with the error, such as `model`.
    """
    if isinstance(error, PredictionError):
        log_error("prediction failed", error.__cause__ or error, request_id=request_id, **fields)
        message = f"{error}; see request {request_id} in the log"
        return Response(error.status, {"error": cut(message, _MESSAGE_CHARACTERS)})
    if isinstance(error, InferenceError):
        return Response(error.status, {"error": cut(str(error), _MESSAGE_CHARACTERS)})
    return internal_error(error, request_id)


def internal_error(
    error: Exception, request_id: str, *, status: int = 500, message: str = "internal error"
) -> Response:
    """Log an error that is not the caller's, and return the response to it.

    Args:
        error: error that was raised.
        request_id: ID of the request, for the log and the message.
        status: HTTP status of the response.
        message: message of the response.
    """
    log_error("internal error", error, request_id=request_id)
    text = f"{message}; see request {request_id} in the log"
    return Response(status, {"error": text})
