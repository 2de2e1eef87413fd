"""Responses of the OpenAPI document: JSON documents and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shearling_runtime.apidocs.tensor_schemas import Schema

#: What each status of an error means.
ERRORS = {
    "400": "The request is malformed, or does not fit the model's signature.",
    "404": "This function does not serve the model, version or alias.",
    "405": "The path does not allow this method.",
    "413": "The request or the response is above Lambda's size limit.",
    "500": "The model failed. The function's log has the cause.",
    "503": "No model is released yet, or the model cannot be loaded.",
    "504": "The time left is less than the request needs.",
}
#: Statuses of requests that only read.
READ_ERRORS = ("404", "405", "503")

#: Responses of API Gateway, before it invokes the function.
GATEWAY_ERRORS = {
    "401": "The request has no valid credentials.",
    "403": "The caller is not permitted to call this API.",
    "429": "Too many requests for the API or the function. Retry with exponential backoff.",
}


def error_answers(statuses: tuple[str, ...]) -> Schema:
    """Return the responses of these statuses, and those of API Gateway."""
    return {
        **{status: json_answer(ERRORS[status], ref("Error")) for status in statuses},
        **{status: json_answer(text, ref("Refusal")) for status, text in GATEWAY_ERRORS.items()},
    }


def json_answer(description: str, schema: Schema) -> Schema:
    """Return a response with a JSON document."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}
