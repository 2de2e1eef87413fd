"""The catalog function: lists the models of a stack, from the registry's release log."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from shearling.errors import InferenceError, InvalidRequestError, ShearlingError
from shearling.registry.registry import REGISTRY_VARIABLE, Registry
from shearling_runtime.events import api_gateway_v1, api_gateway_v2
from shearling_runtime.http.failures import failure_response, internal_error
from shearling_runtime.http.messages import Request, Response, http_answer, json_of
from shearling_runtime.http.router import POSTS, READS, refused, server_metadata
from shearling_runtime.telemetry import cut, log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RELEASER_VARIABLE = "SHEARLING_RELEASER"
_READY, _UNAVAILABLE = "READY", "UNAVAILABLE"
_NOT_RELEASED = "no model is released on this alias yet"


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event of an API, in payload 1.0 or 2.0."""
    request = (api_gateway_v2 if api_gateway_v2.matches(event) else api_gateway_v1).read(event)
    try:
        response = _answer(request, event, context)
    except InferenceError as error:
        response = failure_response(error, context.aws_request_id)
    except ShearlingError as error:
        message = "the registry cannot be read"
        response = internal_error(error, context.aws_request_id, status=503, message=message)
    except Exception as error:  # noqa: BLE001 - becomes a response and a log line
        response = internal_error(error, context.aws_request_id)
    log("index", status=response.status, method=request.method, request_id=context.aws_request_id)
    return http_answer(response, has_body=request.method != "HEAD")


def models(registry: Registry, releaser: str, region: str, account: str) -> list[dict[str, Any]]:
    """Return an entry for each model version that aliases of this stack serve.

    Args:
        registry: registry of the stack; several stacks may share it.
        releaser: name of the stack's releaser. Releaser, region and account identify the stack's
            deployments.
        region: AWS region of the stack.
        account: AWS account ID of the stack.
    """
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    ours = (releaser, region, account)
    for deployment in registry.release_log.deployments():
        if (deployment.releaser, deployment.region, deployment.account) != ours:
            continue
        for alias in deployment.aliases:
            release = next(registry.release_log.successes(deployment, alias), None)
            version = str(release.version) if release else ""
            state = (
                {"state": _READY} if release else {"state": _UNAVAILABLE, "reason": _NOT_RELEASED}
            )
            entry = entries.setdefault(
                (deployment.model, version),
                {"name": deployment.model, "version": version, **state, "aliases": []},
            )
            entry["aliases"].append(alias)
    return [entries[key] for key in sorted(entries)]


def _answer(request: Request, event: Mapping[str, Any], context: Any) -> Response:
    answers: dict[str, tuple[str, Callable[[], Response]]] = {
        "/": ("GET", lambda: _front(request, event, _models(context))),
        "/v2": ("GET", lambda: server_metadata("model_repository", "binary_tensor_data")),
        "/v2/health/live": ("GET", lambda: Response(200, {"live": True})),
        "/v2/health/ready": ("GET", lambda: _ready(context)),
        "/v2/repository/index": ("POST", lambda: _index(request, _models(context))),
    }
    path = request.path.rstrip("/") or "/"
    if path not in answers:
        error = (
            f"unknown path {cut(path, 80)!r}; to list the models, send POST /v2/repository/index"
        )
        return Response(404, {"error": error})
    method, answer = answers[path]
    if request.method == method or (method, request.method) == ("GET", "HEAD"):
        return answer()
    return refused(request, READS if method == "GET" else POSTS)


def _ready(context: Any) -> Response:
    _models(context)  # raises an error if the registry cannot be read
    return Response(200, {"ready": True, "live": True})


def _index(request: Request, entries: list[dict[str, Any]]) -> Response:
    document = json_of(request) if request.body else {}
    only_ready = document.get("ready", False) if isinstance(document, dict) else None
    if not isinstance(only_ready, bool):
        raise InvalidRequestError('body: expected an object, as in {"ready": true}')
    return Response(200, [entry for entry in entries if entry["state"] == _READY or not only_ready])


def _front(request: Request, event: Mapping[str, Any], entries: list[dict[str, Any]]) -> Response:
    accepted = str(request.headers.get("accept", ""))
    if "application/json" in accepted and "text/html" not in accepted:
        return Response(200, {"models": entries}, {"vary": "accept"})
    from shearling_runtime.apidocs.page import index_page

    # The URL contains the stage of a REST API, and may have no slash at its end.
    base = str(event["requestContext"].get("path", ""))
    base += "" if base.endswith("/") or not base else "/"
    page, policy = index_page(entries, base)
    return Response(200, None, {**policy, "vary": "accept"}, text=page)


def _models(context: Any) -> list[dict[str, Any]]:
    _, _, _, region, account, *_ = context.invoked_function_arn.split(":")
    registry = _registry(os.environ.get(REGISTRY_VARIABLE, ""))
    return models(registry, os.environ.get(_RELEASER_VARIABLE, ""), region, account)


@cache
def _registry(uri: str) -> Registry:
    return Registry(uri)
