"""The index function: what spans models, answered from the registry's deployments and releases."""

from __future__ import annotations

import base64
import os
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import orjson

from shearling.errors import InferenceError, InvalidRequestError, ShearlingError
from shearling.registry import REGISTRY_VARIABLE, Registry
from shearling_runtime.http import without_stage
from shearling_runtime.routes import shearling_version
from shearling_runtime.telemetry import log, log_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RELEASER_VARIABLE = "SHEARLING_RELEASER"
_READY, _UNAVAILABLE = "READY", "UNAVAILABLE"
_NOT_RELEASED = "no model is released on this alias yet"


class _Answer(NamedTuple):
    status: int
    document: Any
    headers: Mapping[str, str] = {}
    html: str = ""


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event of an API, in either payload."""
    method, path = _asked(event)
    try:
        answer = _answer(event, method, path, context)
    except InferenceError as error:
        answer = _Answer(error.status, {"error": str(error)})
    except Exception as error:  # noqa: BLE001 - a caller gets a sentence, the log the traceback
        log_error("internal error", error, request_id=context.aws_request_id)
        is_store = isinstance(error, ShearlingError)
        told = "the registry cannot be read" if is_store else "internal error"
        message = f"{told}; the function's log has it under {context.aws_request_id}"
        answer = _Answer(503 if is_store else 500, {"error": message})
    log("index", status=answer.status, method=method, request_id=context.aws_request_id)
    kind = "text/html; charset=utf-8" if answer.html else "application/json"
    body = answer.html or (
        "" if answer.document is None else orjson.dumps(answer.document).decode()
    )
    return {
        "statusCode": answer.status,
        "headers": {"content-type": kind, **answer.headers},
        "body": "" if method == "HEAD" else body,
        "isBase64Encoded": False,
    }


def models(registry: Registry, releaser: str, region: str, account: str) -> list[dict[str, Any]]:
    """Return what each alias of this stack serves: an entry for each version of a model.

    Args:
        registry: which stacks may share.
        releaser: the stack's own; by it, region and account its deployments are known.
        region: of the stack.
        account: of the stack.
    """
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    ours = (releaser, region, account)
    for deployment in registry.deployments():
        if (deployment.releaser, deployment.region, deployment.account) != ours:
            continue
        for alias in deployment.aliases:
            release = next(registry.successes(deployment, alias), None)
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


def _asked(event: Mapping[str, Any]) -> tuple[str, str]:
    context = event["requestContext"]
    if "http" in context:
        method, path = context["http"]["method"], event.get("rawPath")
    else:
        method, path = event["httpMethod"], event.get("path")
    path = without_stage(str(path or "/"), context.get("stage"))
    return str(method).upper(), path.rstrip("/") or "/"


def _answer(event: Mapping[str, Any], method: str, path: str, context: Any) -> _Answer:
    answers: dict[str, tuple[str, Callable[[], _Answer]]] = {
        "/": ("GET", lambda: _front(event, _models(context))),
        "/v2": ("GET", _server_metadata),
        "/v2/health/live": ("GET", lambda: _Answer(200, {"live": True})),
        "/v2/health/ready": ("GET", lambda: _ready(context)),
        "/v2/repository/index": ("POST", lambda: _index(event, _models(context))),
    }
    if path not in answers:
        error = f"path {path!r} is not known; POST /v2/repository/index lists the models"
        return _Answer(404, {"error": error})
    allowed, answer = answers[path]
    if method == allowed or (allowed, method) == ("GET", "HEAD"):
        return answer()
    allow = {"allow": "GET, HEAD, OPTIONS" if allowed == "GET" else "POST, OPTIONS"}
    if method == "OPTIONS":
        return _Answer(204, None, allow)
    return _Answer(405, {"error": f"method {method} is not allowed here: {allow['allow']}"}, allow)


def _server_metadata() -> _Answer:
    extensions = ["model_repository", "binary_tensor_data"]
    return _Answer(
        200, {"name": "shearling", "version": shearling_version(), "extensions": extensions}
    )


def _ready(context: Any) -> _Answer:
    _models(context)  # the index can answer if the registry can be read
    return _Answer(200, {"ready": True, "live": True})


def _index(event: Mapping[str, Any], found: list[dict[str, Any]]) -> _Answer:
    body = event.get("body") or "{}"
    try:
        data = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body
        document = orjson.loads(data)
    except ValueError as error:
        raise InvalidRequestError(f"body: not JSON: {error}") from error
    only_ready = document.get("ready", False) if isinstance(document, dict) else None
    if not isinstance(only_ready, bool):
        raise InvalidRequestError('body: expected an object, as in {"ready": true}')
    return _Answer(200, [it for it in found if it["state"] == _READY or not only_ready])


def _front(event: Mapping[str, Any], found: list[dict[str, Any]]) -> _Answer:
    headers = event.get("headers") or {}
    accepted = next((str(it) for name, it in headers.items() if name.lower() == "accept"), "")
    if "application/json" in accepted and "text/html" not in accepted:
        return _Answer(200, {"models": found}, {"vary": "accept"})
    from shearling_runtime.page import index_page

    # The stage of a REST API is part of the address, which may end without a slash.
    base = str(event["requestContext"].get("path", ""))
    base += "" if base.endswith("/") or not base else "/"
    ready = [it["name"] for it in found if it["state"] == _READY]
    links = {name: f"{base}v2/models/{quote(name)}/docs" for name in ready}
    page, policy = index_page(found, links)
    return _Answer(200, None, {**policy, "vary": "accept"}, page)


def _models(context: Any) -> list[dict[str, Any]]:
    _, _, _, region, account, *_ = context.invoked_function_arn.split(":")
    registry = _registry(os.environ.get(REGISTRY_VARIABLE, ""))
    return models(registry, os.environ.get(_RELEASER_VARIABLE, ""), region, account)


@cache
def _registry(uri: str) -> Registry:
    return Registry(uri)
