"""Turn an error into a response with a message, and log its traceback."""

from __future__ import annotations

from shearling.errors import InferenceError, PredictionError
from shearling_runtime.http.messages import Response
from shearling_runtime.telemetry import log_error


def failure_response(error: Exception, request_id: str, **fields: str) -> Response:
    """Return the response to an error, and log the error if it is not the caller's.

    Args:
        error: error that was raised.
        request_id: ID of the request, for the log and the message.
        **fields: fields to log with the error, such as `model`.
    """
    if isinstance(error, PredictionError):
        log_error("prediction failed", error.__cause__ or error, request_id=request_id, **fields)
        message = f"{error}; see request {request_id} in the function's log"
        return Response(error.status, {"error": message})
    if isinstance(error, InferenceError):
        return Response(error.status, {"error": str(error)})
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
    text = f"{message}; see request {request_id} in the function's log"
    return Response(status, {"error": text})
