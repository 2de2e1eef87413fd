"""Asynchronous jobs of a deployed model: submit a request, ask for its outcome later."""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from shearling.connections import Connections
from shearling.errors import (
    InferenceError,
    InvalidRefError,
    JobTimeoutError,
    UnknownModelError,
    error_of,
)
from shearling.protocol.binary import request_body
from shearling.protocol.constants import LENGTH_HEADER
from shearling.protocol.idempotency_keys import checked_key
from shearling.protocol.responses import read_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from numpy.typing import NDArray

_ID = re.compile(r"[0-9a-f]{32}")

#: Bytes of a body above which it is uploaded, since Lambda carries 6 MB as base64 or escaped JSON.
_UPLOAD_BYTES = 4_000_000

#: Seconds between two questions for an outcome: the first, the longest, and how it grows.
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.25, 5.0, 1.5

#: Seconds to wait at most for each read of an upload or a download.
_TRANSFER_SECONDS = 60.0

_ACCEPTED, _ERROR = 202, 400

#: Content types of results that may be tensors.
_TENSOR_TYPES = ("application/json", "application/octet-stream")


class Sender(Protocol):
    """The client of a model, which sends HTTP requests below the model's path."""

    target: str

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request, and return status, headers and body.

        Raises:
            InferenceError: the request failed, or its response is an error.
        """
        ...


class Job:
    """A request that a deployed model answers later.

    Awaiting a job returns its result, as `result` does.

    Attributes:
        id: ID of the job. Who has it can read and cancel the job: keep it secret.
    """

    def __init__(
        self, model: Sender, job_id: str, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        if not isinstance(job_id, str) or not _ID.fullmatch(job_id):
            raise InvalidRefError(f"job {job_id!r:.80}: expected an ID of 32 hexadecimal digits")
        self.id = job_id
        self._model = model
        self._pause = pause

    def __repr__(self) -> str:
        return f"Job({self.id!r} of {self._model.target!r})"

    def __await__(self) -> Generator[Any, None, dict[str, NDArray[Any]]]:
        """Wait for the outcome without blocking the event loop, and return the outputs."""
        return self._result_later().__await__()

    def state(self) -> dict[str, Any]:
        """Return the job's document: `status` (queued, succeeded or failed), version, error.

        Raises:
            UnknownModelError: there is no such job, or it has expired.
            InferenceError: the model cannot be asked.
        """
        return _document(self._model.send("GET", f"/jobs/{self.id}", b"", {})[2])

    def done(self) -> bool:
        """Return whether the job has succeeded or failed.

        Raises:
            InferenceError: as for `state`.
        """
        return bool(self.state()["status"] != "queued")

    def result(self, timeout: float | None = None) -> dict[str, NDArray[Any]]:
        """Wait for the outcome, and return the outputs by name.

        Args:
            timeout: seconds to wait at most; None: until the job is done.

        Raises:
            JobTimeoutError: the job is not done; it goes on, and can be asked for again.
            InferenceError: the job has failed, with the class that `infer` would have raised; its
                request asked for another form of outputs than tensors; or as for `state`.
        """
        return self._outputs(self.wait(timeout))

    def wait(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the outcome, and return the job's document.

        Args:
            timeout: seconds to wait at most; None: until the job is done.

        Raises:
            JobTimeoutError: the job is not done; it goes on, and can be asked for again.
            InferenceError: as for `state`.
        """
        ends = float("inf") if timeout is None else time.monotonic() + timeout
        for seconds in _pauses():
            state = self.state()
            if state["status"] != "queued":
                return state
            if not time.monotonic() < ends:  # also if it is no number
                break
            self._pause(min(seconds, max(0.0, ends - time.monotonic())))
        raise JobTimeoutError(
            f"job {self.id} is still queued after {timeout:g} s. It goes on: wait longer, or ask "
            "for it later with connect(...).job(id)"
        )

    def cancel(self) -> bool:
        """Cancel the job if it is queued; return whether it is cancelled.

        Raises:
            InferenceError: as for `state`.
        """
        status, _, _ = self._model.send("DELETE", f"/jobs/{self.id}", b"", {})
        return status < _ERROR

    async def _result_later(self) -> dict[str, NDArray[Any]]:
        for seconds in _pauses():
            state = await asyncio.to_thread(self.state)
            if state["status"] != "queued":
                return await asyncio.to_thread(self._outputs, state)
            await asyncio.sleep(seconds)
        raise AssertionError  # pragma: no cover - the pauses never end

    def _outputs(self, state: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return the outputs of a job that is done."""
        if state["status"] == "failed":
            raise error_of(int(state["error_status"]))(f"job {self.id} failed: {state['error']}")
        result = state["result"]
        if result["content_type"] not in _TENSOR_TYPES:
            raise self._no_tensors(result["content_type"])
        data = _transferred("GET", result["url"], b"", {})
        length = result.get("inference_header_content_length", len(data))
        document = _document(data[:length])
        if "outputs" not in document:
            raise self._no_tensors("plain predictions")
        return read_answer(document, data[length:])

    def _no_tensors(self, found: str) -> InferenceError:
        """Return the error of a result in another form, as a request over HTTP can ask for it."""
        return InferenceError(
            f"the result of job {self.id} is not tensors but {found}, as its request asked. "
            'Download it from state()["result"]["url"]; `shearling job show --json` prints the URL'
        )


def submit(model: Sender, tensors: Mapping[str, NDArray[Any]], idempotency_key: str | None) -> Job:
    """Create a job for tensors; a body that is too large for a request is uploaded.

    Args:
        model: client of the model.
        tensors: arrays by input name.
        idempotency_key: requests with the same key are one job; None: a new key, so that this
            request alone may be retried.

    Raises:
        InvalidRequestError: the tensors do not fit the model's contract.
        UnknownModelError: the model has no jobs.
        InferenceError: the request failed.
    """
    body, length = request_body(tensors)
    key = secrets.token_hex(16) if idempotency_key is None else checked_key(idempotency_key)
    key_header = {"Idempotency-Key": key}
    escapes = 0 if length is not None else body.count(b'"') + body.count(b"\\")
    if len(body) + escapes > _UPLOAD_BYTES:
        return _uploaded(model, body, length, key_header)
    headers = {"Content-Type": "application/json"}
    if length is not None:
        headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(length)}
    status, _, data = model.send(
        "POST", "/infer", body, {**headers, **key_header, "Prefer": "respond-async"}
    )
    if status != _ACCEPTED:
        raise UnknownModelError(
            f"{model.target} has no asynchronous jobs, and answered at once. Use `infer`, or set "
            "`jobs = {}` for the model in Terraform: only Lambda and `shearling serve` run jobs"
        )
    return Job(model, _document(data)["id"])


def _uploaded(model: Sender, body: bytes, length: int | None, key: Mapping[str, str]) -> Job:
    """Create a job, and upload its body."""
    description: dict[str, Any] = {"content_type": "application/json"}
    if length is not None:
        description = {
            "content_type": "application/octet-stream",
            "inference_header_content_length": length,
        }
    text = json.dumps(description).encode()
    _, _, data = model.send("POST", "/jobs", text, {"Content-Type": "application/json", **key})
    document = _document(data)
    job = Job(model, document["id"])
    if upload := document.get("upload"):
        _transferred("PUT", upload["url"], body, {})
    return job


def _pauses() -> Iterator[float]:
    """Yield the seconds between two questions, with jitter so that callers do not ask together."""
    seconds = _FIRST_PAUSE
    while True:
        yield random.uniform(0.75, 1) * seconds  # noqa: S311
        seconds = min(_LONGEST_PAUSE, seconds * _GROWTH)


def _transferred(method: str, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Send or fetch bytes by a URL that needs no other credentials.

    Raises:
        InferenceError: the transfer failed.
    """
    host = urlsplit(url).hostname
    try:
        answer = Connections(url).send(method, url, body, headers, _TRANSFER_SECONDS)
    except HTTPError as error:  # without the URL, which is a secret
        reason = type(error).__name__
        raise InferenceError(f"{method} at {host} failed: {reason}. Try again") from error
    if answer.status >= _ERROR:
        text = answer.body.decode(errors="replace")
        raise InferenceError(f"{method} at {host} failed: HTTP {answer.status}: {text:.200}")
    return answer.body


def _document(data: bytes) -> dict[str, Any]:
    """Return the document of a response.

    Raises:
        InferenceError: the response is no JSON object.
    """
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InferenceError(f"the response is not that of a job: {data[:200]!r}")
    return document
