"""Asynchronous jobs over HTTP: submit, upload, look up and cancel."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from shearling.errors import InvalidRequestError, UnknownModelError
from shearling.protocol.constants import LENGTH_HEADER, PICTURE_TYPES, header_number
from shearling.scoring.formats import CONTENT_TYPES, format_of_type
from shearling_runtime.http.callers import caller_of
from shearling_runtime.http.forms import forms_of
from shearling_runtime.http.messages import Response, as_bytes, body_of, input_of, json_of
from shearling_runtime.jobs.block_formats import block_formats
from shearling_runtime.jobs.job_ids import id_of, new_id
from shearling_runtime.jobs.job_store import UPLOAD_SECONDS
from shearling_runtime.jobs.opening import body_limit, open_jobs
from shearling_runtime.jobs.records import Outcome, timestamp
from shearling_runtime.telemetry import cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling_runtime.http.messages import Caller, Request
    from shearling_runtime.jobs.job_store import State
    from shearling_runtime.jobs.records import Job
    from shearling_runtime.serving.model_server import ModelServer

RESPOND_ASYNC = "respond-async"

#: Headers that say what a body is and what to answer with; a job keeps no others.
_KEPT = ("content-type", "accept", LENGTH_HEADER)

#: Field of an upload's description -> header.
_FIELDS = {
    "content_type": "content-type",
    "accept": "accept",
    "inference_header_content_length": LENGTH_HEADER,
}
_BINARY = "application/octet-stream"
_BODY_TYPES = ("application/json", _BINARY, *CONTENT_TYPES, *PICTURE_TYPES)

#: Maximum characters of a header that is kept.
_HEADER_LIMIT = 1024

#: Error and HTTP status of a job that its caller has cancelled.
CANCELLED, _CANCELLED_STATUS = "the job was cancelled", 410


def prefers_job(request: Request) -> bool:
    """Return whether a request asks for an asynchronous answer, as in RFC 7240."""
    preferences = str(request.headers.get("prefer", ""))[:_HEADER_LIMIT].split(",")
    return any(part.partition(";")[0].strip().lower() == RESPOND_ASYNC for part in preferences)


class JobRoutes:
    """Answers requests for the jobs of one model at one alias.

    Args:
        request: request to answer.
        caller: alias of the request.
        server: server of the model.
        path: path of the model, with the version if the request has one.

    Raises:
        UnknownModelError: the model has no jobs.
        InvalidRequestError: the function was invoked without an alias.
    """

    def __init__(self, request: Request, caller: Caller, server: ModelServer, path: str) -> None:
        self._request = request
        self._server = server
        self._path = f"{_prefix(request)}{path}/jobs"
        base = f"http://{request.headers.get('host', '')}{path}"
        self._jobs = open_jobs(server.settings, caller.alias, base)

    def submit(self) -> Response:
        """Create a job of a request that fits the contract, and return where to ask for it.

        Raises:
            InvalidRequestError: the request does not fit the contract.
        """
        headers = {
            name: str(self._request.headers[name])[:_HEADER_LIMIT]
            for name in _KEPT
            if name in self._request.headers
        }
        _check_inline(headers.get("content-type", ""))
        body = as_bytes(body_of(self._request))
        self._server.check_request(input_of(body, headers))
        job, refusal = self._created(headers, fingerprint_of(headers, body))
        if refusal:
            return refusal
        self._jobs.put_request(job.id, body)
        return self._accepted(202, job, {"preference-applied": RESPOND_ASYNC})

    def upload(self) -> Response:
        """Create a job whose body the caller uploads, and return the URL for it.

        Raises:
            InvalidRequestError: the description of the upload is not allowed.
        """
        headers = _upload_headers(json_of(self._request) if self._request.body else {})
        self._server.check_ready()
        job, refusal = self._created(headers, fingerprint_of(headers, b"upload"))
        if refusal:
            return refusal
        answer = self._accepted(201, job, {})
        if not self._jobs.state_of(job).has_request:
            answer.document["upload"] = {
                "method": "PUT",
                "url": self._jobs.upload_url(job.id),
                "expires": timestamp(self._jobs.now() + UPLOAD_SECONDS),
            }
            if block_formats(headers) is None:
                answer.document["upload"]["max_bytes"] = body_limit(self._server.settings)
        return answer

    def read(self, job_id: str) -> Response:
        """Return a job's state, with a new URL of its result.

        Raises:
            UnknownModelError: there is no such job of this alias any more.
        """
        return Response(200, self._document(self._state(job_id)), _NO_STORE)

    def cancel(self, job_id: str) -> Response:
        """Cancel a job that has no outcome yet.

        Raises:
            UnknownModelError: there is no such job of this alias any more.
        """
        state = self._state(job_id)
        if state.status == "queued":
            wanted = Outcome(
                status="failed",
                finished=self._jobs.now(),
                error=CANCELLED,
                error_status=_CANCELLED_STATUS,
            )
            self._jobs.finish(job_id, wanted)
            state = self._state(job_id)
        if state.outcome is None or state.outcome.error != CANCELLED:
            return Response(
                409, {"error": f"the job has {state.status}, so it cannot be cancelled"}
            )
        return Response(200, self._document(state), _NO_STORE)

    def _state(self, job_id: str) -> State:
        state = self._jobs.state(job_id)
        if state is None:
            raise UnknownModelError(
                f"job {cut(job_id, 80)!r} is not known here: the ID is wrong or of another alias, "
                "or the job has expired"
            )
        return state

    def _created(self, headers: dict[str, str], fingerprint: str) -> tuple[Job, Response | None]:
        """Return the job of a request, or the refusal of its idempotency key."""
        key = self._request.headers.get("idempotency-key")
        caller = caller_of(self._request.context)
        job_id = new_id() if key is None else id_of(self._jobs.secret, caller, str(key))
        job = self._jobs.create(job_id, headers, fingerprint)
        if job.fingerprint == fingerprint and job.expires > self._jobs.now():
            return job, None
        reason = "for another request" if job.expires > self._jobs.now() else "for an expired job"
        error = f"idempotency-key: was used {reason}; send each request with a key of its own"
        return job, Response(422, {"error": error})

    def _accepted(self, status: int, job: Job, headers: Mapping[str, str]) -> Response:
        location = {"location": f"{self._path}/{job.id}"}
        document = self._document(self._jobs.state_of(job))
        return Response(status, document, {**_NO_STORE, **headers, **location})

    def _document(self, state: State) -> dict[str, Any]:
        """Return what a caller may know of a job."""
        job, outcome = state.job, state.outcome
        document: dict[str, Any] = {
            "id": job.id,
            "status": state.status,
            "model_name": self._server.pin.model,
            "created": timestamp(job.created),
            "expires": timestamp(job.expires),
        }
        if outcome is None:
            return document
        document["finished"] = timestamp(outcome.finished)
        if outcome.version:
            document["model_version"] = outcome.version
        if outcome.result is None:
            return document | {"error": outcome.error, "error_status": outcome.error_status}
        result = outcome.result
        document["result"] = {
            "url": self._jobs.download_url(result, job.id),
            "content_type": result.content_type,
            "size": result.size,
        }
        if result.json_length is not None:
            document["result"]["inference_header_content_length"] = result.json_length
        return document


#: A job's state changes, and the URLs in it are secrets.
_NO_STORE = {"cache-control": "no-store"}


def fingerprint_of(headers: Mapping[str, str], body: bytes) -> str:
    """Return a digest of what a request asks for."""
    digest = hashlib.sha256(orjson.dumps(dict(headers), option=orjson.OPT_SORT_KEYS))
    digest.update(body)
    return digest.hexdigest()


def _prefix(request: Request) -> str:
    """Return what the path has before `/v2` for the caller: the stage of an API."""
    http = request.context.get("http")
    full = request.context.get("path") or (http.get("path") if isinstance(http, dict) else None)
    return str(full).removesuffix(request.path) if str(full).endswith(request.path) else ""


def _check_inline(content_type: str) -> None:
    """Refuse a body that only an upload may have, since it cannot be checked at once.

    Raises:
        InvalidRequestError: the body's format is not one of `infer`.
    """
    if format_of_type(content_type) not in (None, "csv"):
        raise InvalidRequestError(
            f"content-type: {content_type:.80} is allowed only for a body that is uploaded: "
            "create the job with POST .../jobs"
        )


def _upload_headers(document: object) -> dict[str, str]:
    """Return the headers that the description of an upload stands for.

    Raises:
        InvalidRequestError: a field is unknown or has a value that is not allowed.
    """
    if not isinstance(document, dict):
        raise InvalidRequestError('body: expected an object, as in {"content_type": "text/csv"}')
    headers = {"content-type": _BODY_TYPES[0]}
    for name, value in document.items():
        if name not in _FIELDS:
            raise InvalidRequestError(
                f"{cut(str(name), 80)}: unknown field; known: {', '.join(_FIELDS)}"
            )
        text = str(value) if type(value) is int else value
        if not isinstance(text, str) or len(text) > _HEADER_LIMIT:
            raise InvalidRequestError(f"{name}: {value!r:.80} is not a text")
        headers[_FIELDS[name]] = text
    kind = headers["content-type"].partition(";")[0].strip().lower()
    if kind not in _BODY_TYPES:
        raise InvalidRequestError(
            f"content_type: {kind!r:.80} is not one of {', '.join(_BODY_TYPES)}"
        )
    length = headers.get(LENGTH_HEADER)
    if (kind == _BINARY) != (length is not None) or (length and header_number(length) is None):
        raise InvalidRequestError(
            f"inference_header_content_length: {length!r:.80} does not fit content_type {kind}: "
            f"send the number of bytes of the JSON with {_BINARY}, and leave it out with others"
        )
    forms_of(headers)
    block_formats(headers)
    return headers
