"""Route requests by path and method, as the Open Inference Protocol v2 defines them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from shearling.errors import UnknownModelError
from shearling_runtime.http.messages import Response, inference_input, response_of
from shearling_runtime.telemetry import cut

if TYPE_CHECKING:
    from shearling_runtime.http.job_routes import JobRoutes
    from shearling_runtime.http.messages import Caller, Request
    from shearling_runtime.serving.model_server import ModelServer

_MODEL_PATH = re.compile(
    r"(/v2/models/([^/]+)(?:/versions/([^/]+))?)(?:/(ready|infer|docs|openapi\.json|jobs(?:/[^/]+)?))?/?"
)
#: Maximum characters of a model's path, and of a caller's text in a message.
_PATH_LIMIT, _SHOWN = 1024, 80

READS = "GET, HEAD, OPTIONS"
POSTS = "POST, OPTIONS"
_JOB_METHODS = "GET, HEAD, DELETE, OPTIONS"


def route(request: Request, caller: Caller, server: ModelServer) -> Response:
    """Answer an HTTP request.

    Args:
        request: request to answer.
        caller: alias and deadline of the request.
        server: server of the model.

    Raises:
        InferenceError: the request cannot be answered; the class has the status.
    """
    # The cache of paths must not grow with what callers send.
    parts = _parse_path(request.path) if len(request.path) <= _PATH_LIMIT else None
    if parts is None:
        return _server_route(request, request.path.rstrip("/"), server)
    path, model, version, verb = parts
    if verb == "infer":
        if request.method != "POST":
            return refused(request, POSTS)
        server.check_name(model, version, caller.alias)
        return _infer(request, caller, server, path)
    if verb and verb.startswith("jobs"):
        from shearling_runtime.http.job_routes import JobRoutes

        server.check_name(model, version, caller.alias)
        return _jobs(JobRoutes(request, caller, server, path), verb, request)
    if request.method not in ("GET", "HEAD"):
        return refused(request, READS)
    server.check_name(model, version, caller.alias)
    return _read(verb, version, caller, server)


@lru_cache(maxsize=64)
def _parse_path(path: str) -> tuple[str, str, str | None, str | None] | None:
    """Return a model's path, its name, its version and the verb; None if the path has no model."""
    match = _MODEL_PATH.fullmatch(path)
    if match is None:
        return None
    own, model, version, verb = match.groups()
    return own, unquote(model), version and unquote(version), verb


def _infer(request: Request, caller: Caller, server: ModelServer, path: str) -> Response:
    if "prefer" in request.headers and server.settings.jobs:
        from shearling_runtime.http.job_routes import JobRoutes, prefers_job

        if prefers_job(request):
            return JobRoutes(request, caller, server, path).submit()
    if server.container:
        from shearling_runtime.http.forwarding import forward_request

        return forward_request(request, caller, server, server.container)
    answer = server.infer(
        inference_input(request), seconds_left=caller.seconds_left, limit=caller.answer_limit
    )
    return response_of(answer)


def _jobs(routes: JobRoutes, verb: str, request: Request) -> Response:
    job_id = verb.removeprefix("jobs").strip("/")
    if not job_id:
        return routes.upload() if request.method == "POST" else refused(request, POSTS)
    if request.method == "DELETE":
        return routes.cancel(job_id)
    if request.method in ("GET", "HEAD"):
        return routes.read(job_id)
    return refused(request, _JOB_METHODS)


def _read(verb: str | None, version: str | None, caller: Caller, server: ModelServer) -> Response:
    if verb == "ready":
        return _health(server, verb)
    if verb == "docs":
        page, headers = server.docs(caller.alias)
        return Response(200, None, headers, text=page)
    return Response(200, server.openapi(version) if verb else server.metadata())


def _server_route(request: Request, path: str, server: ModelServer) -> Response:
    if path not in ("/v2", "/v2/health/live", "/v2/health/ready"):
        raise UnknownModelError(
            f"path {cut(request.path, _SHOWN)!r} is not a path of the Open Inference Protocol v2"
        )
    if request.method not in ("GET", "HEAD"):
        return refused(request, READS)
    if path == "/v2":
        return server_metadata("binary_tensor_data")
    return _health(server, path.rsplit("/", 1)[-1])


def refused(request: Request, allowed: str) -> Response:
    """Return the response to OPTIONS, or to a method that a path does not allow."""
    if request.method == "OPTIONS":
        return Response(204, None, {"allow": allowed})
    error = f"method {cut(request.method, _SHOWN)} is not allowed for this path; use {allowed}"
    return Response(405, {"error": error}, {"allow": allowed})


def _health(server: ModelServer, what: str) -> Response:
    if what == "live":
        return Response(200, {"live": True})
    problem = server.problem()
    # Clients of the protocol read either key.
    document = {"ready": not problem, "live": True}
    return Response(503, document | {"error": problem}) if problem else Response(200, document)


def server_metadata(*extensions: str) -> Response:
    """Return the server's name and version, and its extensions of the protocol."""
    return Response(
        200, {"name": "shearling", "version": shearling_version(), "extensions": list(extensions)}
    )


def shearling_version() -> str:
    """Return the version of Shearling; empty if the package has no metadata."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("shearling")
    except PackageNotFoundError:  # a package built without metadata
        return ""
