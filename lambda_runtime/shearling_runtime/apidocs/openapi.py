"""Describe a model's API in OpenAPI 3.1, from its signature and its example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.protocol.constants import LENGTH_HEADER, PICTURE_TYPES
from shearling_runtime.apidocs.answer_schemas import (
    ERRORS,
    READ_ERRORS,
    error_answers,
    json_answer,
    ref,
)
from shearling_runtime.apidocs.job_paths import SUBMIT_HEADERS, accepted, job_paths, job_schemas
from shearling_runtime.apidocs.request_examples import request_examples
from shearling_runtime.apidocs.tensor_schemas import (
    Schema,
    object_schema,
    prediction_schema,
    row_schema,
    tensor_schema,
    value_schema,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shearling.bundle.example import Example
    from shearling.tensors.spec import Signature

#: All schemes that an API may require; its configuration decides which.
_SECURITY_SCHEMES = {
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "AWS Signature Version 4 for the service execute-api.",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}

#: A body that is bytes.
_BYTES: Schema = {"schema": {"type": "string", "format": "binary"}}

#: The header of Triton's binary extension of the protocol.
_LENGTH_HEADER = {
    "name": LENGTH_HEADER.title(),
    "in": "header",
    "description": "For `application/octet-stream`: length in bytes of the JSON at the start of "
    "the body. 0 means that the whole body is the model's only input.",
    "schema": {"type": "integer", "minimum": 0},
}

#: What an answer says beside its outputs.
_ANSWER_PARAMETERS: Schema = {
    "type": "object",
    "properties": {
        "truncated": {
            "type": "integer",
            "minimum": 0,
            "description": "for a model that reads texts: how many were longer than it reads",
        },
    },
}


def describe_api(
    metadata: Mapping[str, Any],
    signature: Signature,
    example: Example | None = None,
    *,
    version: str | None = None,
    has_jobs: bool = False,
) -> dict[str, Any]:
    """Return the OpenAPI document of a model.

    Args:
        metadata: metadata of the model, as the protocol defines it.
        signature: inputs and outputs of the model.
        example: example of the bundle; its first rows are the example of a request.
        version: version number or alias in the paths; None for paths without a version.
        has_jobs: whether the model answers asynchronous jobs.
    """
    model = metadata["name"]
    columns = tuple(metadata.get("parameters", {}).get("columns", ()))
    path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": model,
            "version": metadata["versions"][0],
            "description": f"Version {metadata['versions'][0]} of the model {model}, served "
            "with the Open Inference Protocol v2.",
        },
        # Relative to the document's own URL, so that host and stage do not matter.
        "servers": [{"url": "/".join([".."] * (path.count("/")))}],
        "paths": {
            path: {"get": _read("metadata", "Get the inputs, outputs and version", "Metadata")},
            f"{path}/ready": {"get": _read("ready", "Check whether the model is ready", "Health")},
            f"{path}/infer": {"post": _infer(signature, example, columns, has_jobs=has_jobs)},
            **(job_paths(path) if has_jobs else {}),
        },
        "security": [{}, *({name: []} for name in _SECURITY_SCHEMES)],
        "components": {
            "securitySchemes": _SECURITY_SCHEMES,
            "schemas": {
                "Error": object_schema({"error": {"type": "string"}}, "error"),
                "Refusal": object_schema({"message": {"type": "string"}}),
                "Health": object_schema(
                    {"ready": {"type": "boolean"}, "live": {"type": "boolean"}}
                ),
                "Metadata": _metadata_schema(),
                "TensorRequest": _tensor_request(signature),
                "Instance": _instance(signature, columns),
                "PlainRequest": _plain_request(signature, columns),
                "TensorAnswer": _tensor_answer(signature),
                "PlainAnswer": _plain_answer(signature),
                "Prediction": object_schema(
                    {spec.name: prediction_schema(spec) for spec in signature.outputs}
                ),
                **(job_schemas() if has_jobs else {}),
            },
        },
    }


def _read(operation: str, summary: str, schema: str) -> Schema:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": json_answer(summary, ref(schema)), **error_answers(READ_ERRORS)},
    }


def _infer(
    signature: Signature, example: Example | None, columns: Sequence[str], *, has_jobs: bool
) -> Schema:
    plain_name = ", ".join(spec.name for spec in signature.inputs)
    requests = {"schema": {"oneOf": [ref("TensorRequest"), ref("PlainRequest")]}}
    answers = {"schema": {"oneOf": [ref("TensorAnswer"), ref("PlainAnswer")]}}
    examples = {} if example is None else request_examples(signature, example, columns)
    content = _content(requests, examples)
    if any(spec.content for spec in signature.inputs):
        content |= dict.fromkeys(PICTURE_TYPES, _BYTES)
    return {
        "operationId": "infer",
        "summary": f"Run the model on {plain_name}",
        "description": "The request contains tensors, plain instances, binary tensors as in "
        "Triton's extension, or rows as CSV. The response to CSV, or to `Accept: text/csv`, is "
        "CSV.",
        "parameters": [_LENGTH_HEADER, *(SUBMIT_HEADERS if has_jobs else [])],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "The model's outputs", "content": _content(answers, {})},
            **(accepted() if has_jobs else {}),
            **error_answers(tuple(ERRORS)),
        },
    }


def _content(json: Schema, examples: Mapping[str, Schema]) -> Schema:
    """Return the content types of a body: JSON, JSON with the bytes of tensors, or CSV."""
    table: Schema = {"schema": {"type": "string"}}
    return {
        "application/json": json | examples.get("application/json", {}),
        "application/octet-stream": _BYTES,
        "text/csv": table | examples.get("text/csv", {}),
    }


def _metadata_schema() -> Schema:
    tensor = object_schema(
        {
            "name": {"type": "string"},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "parameters": object_schema(
                {
                    "classes": {
                        "type": "array",
                        "description": "the class of each column",
                        "items": {},
                    },
                    "categories": {
                        "type": "array",
                        "description": "for each column, the values that the model knows; null: "
                        "any value",
                        "items": {"type": ["array", "null"], "items": {}},
                    },
                    "content": {
                        "type": "string",
                        "description": "what the elements are, as in `image`: the bytes of JPEG, "
                        "PNG or WebP files, which JSON carries as base64",
                    },
                    "nullable": {"type": "boolean"},
                    "finite": {"type": "boolean"},
                }
            ),
        },
        "name",
        "datatype",
        "shape",
    )
    return object_schema(
        {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": tensor},
            "outputs": {"type": "array", "items": tensor},
            "parameters": {"type": "object"},
        },
        "name",
        "versions",
        "platform",
        "inputs",
        "outputs",
    )


def _tensor_request(signature: Signature) -> Schema:
    tensors = [tensor_schema(spec) for spec in signature.inputs]
    # Each input once, in any order: the number of inputs, and one of each name.
    inputs: Schema = {
        "type": "array",
        "minItems": len(tensors),
        "maxItems": len(tensors),
        "items": {"oneOf": tensors} if len(tensors) > 1 else tensors[0],
    }
    if len(tensors) > 1:
        inputs["allOf"] = [
            {"contains": {"type": "object", "properties": {"name": {"const": spec.name}}}}
            for spec in signature.inputs
        ]
    return object_schema({"inputs": inputs, **_common(signature)}, "inputs")


def _common(signature: Signature) -> Schema:
    names = [spec.name for spec in signature.outputs]
    # Some clients send null for a field that they do not use.
    return {
        "id": {"type": ["string", "null"]},
        "parameters": {
            "type": ["object", "null"],
            "properties": {
                "binary_data_output": {"type": "boolean"},
                "classes": {
                    "type": "boolean",
                    "description": "whether the answer names the classes of its columns",
                },
            },
        },
        "outputs": {
            "type": ["array", "null"],
            "maxItems": len(names),
            "uniqueItems": True,
            "items": object_schema(
                {
                    "name": {"enum": names},
                    "parameters": {
                        "type": ["object", "null"],
                        "properties": {"binary_data": {"type": "boolean"}},
                    },
                },
                "name",
            ),
        },
    }


def _plain_request(signature: Signature, columns: Sequence[str]) -> Schema:
    inputs = {spec.name: row_schema(spec) for spec in signature.inputs}
    forms = [ref("Instance")]
    if len(inputs) == 1:
        forms += inputs.values()
    else:
        forms.append(
            {
                "type": "array",
                "prefixItems": list(inputs.values()),
                "minItems": len(inputs),
                "maxItems": len(inputs),
            }
        )
    if columns:
        forms.append(_by_input(signature))
    # All rows have the same form.
    instances = {"anyOf": [{"type": "array", "minItems": 1, "items": form} for form in forms]}
    return object_schema({"instances": instances, **_common(signature)}, "instances") | {
        "not": {"required": ["inputs"]}
    }


def _instance(signature: Signature, columns: Sequence[str]) -> Schema:
    """Return the schema of a row as an object, by column if there are columns."""
    if not columns:
        return _by_input(signature)
    spec = signature.inputs[0]
    values = {name: value_schema(spec, i) for i, name in enumerate(columns)}
    return object_schema(values, *columns) | {"additionalProperties": False}


def _by_input(signature: Signature) -> Schema:
    inputs = {spec.name: row_schema(spec) for spec in signature.inputs}
    return object_schema(inputs, *inputs) | {"additionalProperties": False}


def _tensor_answer(signature: Signature) -> Schema:
    outputs = [tensor_schema(spec) for spec in signature.outputs]
    return object_schema(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": _ANSWER_PARAMETERS,
            "outputs": {"type": "array", "items": {"anyOf": outputs}},
        },
        "model_name",
        "outputs",
    )


def _plain_answer(signature: Signature) -> Schema:
    rows = [prediction_schema(spec) for spec in signature.outputs]
    # Rows are objects, unless the instances were values and one output was requested.
    predictions: Schema = {
        "type": "array",
        "items": {"anyOf": [ref("Prediction"), *rows]},
    }
    if by_class := [spec.name for spec in signature.outputs if spec.classes]:
        predictions["description"] = (
            'With `"parameters": {"classes": true}`, each row of '
            f"{', '.join(by_class)} is an object with a value for each class."
        )
    return object_schema(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": _ANSWER_PARAMETERS,
            "predictions": predictions,
        },
        "model_name",
        "predictions",
    )
