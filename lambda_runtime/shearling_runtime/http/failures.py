"""The response to a failure: a sentence for the caller, the traceback for the function's log."""

from __future__ import annotations

from shearling.errors import InferenceError, PredictionError
from shearling_runtime.http.messages import Response
from shearling_runtime.telemetry import log_error


def failure_response(error: Exception, request_id: str, **fields: str) -> Response:
    """Return the response to a failure.

    Args:
        error: what was raised.
        request_id: under which the log has the cause.
        **fields: logged with the cause, such as `model`.
    """
    if isinstance(error, PredictionError):
        log_error("prediction failed", error.__cause__ or error, request_id=request_id, **fields)
        message = f"{error}; the function's log has the cause under {request_id}"
        return Response(error.status, {"error": message})
    if isinstance(error, InferenceError):
        return Response(error.status, {"error": str(error)})
    return internal_error(error, request_id)


def internal_error(
    error: Exception, request_id: str, *, status: int = 500, message: str = "internal error"
) -> Response:
    """Return the response to a failure that is not the caller's, and log it."""
    log_error("internal error", error, request_id=request_id)
    sentence = f"{message}; the function's log has it under {request_id}"
    return Response(status, {"error": sentence})
