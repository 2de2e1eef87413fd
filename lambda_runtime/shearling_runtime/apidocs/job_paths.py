"""The paths and schemas of asynchronous jobs in the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling_runtime.apidocs.answer_schemas import READ_ERRORS, error_answers, json_answer, ref
from shearling_runtime.apidocs.tensor_schemas import object_schema

if TYPE_CHECKING:
    from shearling_runtime.apidocs.tensor_schemas import Schema

_TIME: Schema = {"type": "string", "format": "date-time"}
_TEXT: Schema = {"type": "string"}
_SIZE: Schema = {"type": "integer", "minimum": 0}
_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_URL: Schema = {"type": "string", "format": "uri"}

_KEY_HEADER: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Requests of a caller with the same key are one job. Without authentication it "
    "needs 128 random bits.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

#: Headers of a request that becomes a job.
SUBMIT_HEADERS: list[Schema] = [
    {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async` makes the request an asynchronous job.",
        "schema": _TEXT,
    },
    _KEY_HEADER,
]

#: Response to an idempotency key that was used before.
_REUSED = json_answer("The idempotency key was used for another request.", ref("Error"))


def accepted() -> Schema:
    """Return the responses to a request that prefers to be a job."""
    return {"202": _created("The request is a job now."), "422": _REUSED}


def job_paths(path: str) -> Schema:
    """Return the paths of the jobs of a model.

    Args:
        path: path of the model.
    """
    job = {"name": "job", "in": "path", "required": True, "schema": _ID}
    description = object_schema(
        {
            "content_type": _TEXT,
            "accept": _TEXT,
            "inference_header_content_length": _SIZE,
        }
    )
    return {
        f"{path}/jobs": {
            "post": {
                "operationId": "createJob",
                "summary": "Create a job whose body is uploaded",
                "parameters": [_KEY_HEADER],
                "requestBody": {"content": {"application/json": {"schema": description}}},
                "responses": {
                    "201": _created("Send the body to `upload.url`, by PUT."),
                    "422": _REUSED,
                    **error_answers(("400", *READ_ERRORS)),
                },
            }
        },
        f"{path}/jobs/{{job}}": {
            "parameters": [job],
            "get": {
                "operationId": "getJob",
                "summary": "Get the state of a job",
                "responses": {
                    "200": json_answer("The job", ref("Job")),
                    **error_answers(READ_ERRORS),
                },
            },
            "delete": {
                "operationId": "cancelJob",
                "summary": "Cancel a job that is queued",
                "responses": {
                    "200": json_answer("The cancelled job", ref("Job")),
                    "409": json_answer("The job is done.", ref("Error")),
                    **error_answers(READ_ERRORS),
                },
            },
        },
    }


def job_schemas() -> Schema:
    """Return the schemas that the paths refer to, by name."""
    upload = object_schema(
        {"method": {"const": "PUT"}, "url": _URL, "expires": _TIME, "max_bytes": _SIZE},
        "method",
        "url",
    )
    result = object_schema(
        {
            "url": _URL,
            "content_type": _TEXT,
            "size": _SIZE,
            "inference_header_content_length": _SIZE,
        },
        "url",
        "content_type",
        "size",
    )
    job = object_schema(
        {
            "id": _ID,
            "status": {"enum": ["queued", "succeeded", "failed"]},
            "model_name": _TEXT,
            "model_version": _TEXT,
            "created": _TIME,
            "finished": _TIME,
            "expires": _TIME,
            "upload": upload,
            "result": result,
            "error": _TEXT,
            "error_status": {"type": "integer"},
        },
        "id",
        "status",
        "model_name",
        "created",
        "expires",
    )
    return {"Job": job}


def _created(description: str) -> Schema:
    """Return a response with a job and its location."""
    location = {"description": "Path of the job", "schema": _TEXT}
    return json_answer(description, ref("Job")) | {"headers": {"Location": location}}
