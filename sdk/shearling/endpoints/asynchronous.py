"""Call a SageMaker endpoint that takes requests from S3, and may have no instance at the moment."""

from __future__ import annotations

import hashlib
import json
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from shearling.endpoints.invoke import Endpoint
from shearling.errors import InferenceError, ModelNotReadyError, PredictionError
from shearling.protocol.constants import BINARY_TYPE

if TYPE_CHECKING:
    from shearling.storage.store import Store

#: How long a caller waits who names no time, such as a check: an instance is running then.
_DEFAULT_SECONDS = 60.0

#: What is kept of the time to record that there is no answer yet.
_RESERVED_SECONDS = 3.0

#: Seconds that the container may take, and that a request waits for an instance.
_CONTAINER_SECONDS, _QUEUE_SECONDS = 900, 3600

#: Seconds after which a call without an answer is lost.
_LOST_SECONDS = _CONTAINER_SECONDS + _QUEUE_SECONDS + 60

#: Pauses between two looks for the answer, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

#: How SageMaker tells of an error of the container.
_CONTAINER_ERROR = re.compile(
    r"Received (?:client|server) error \((\d{3})\) from .*? with message \\?\"(.*)\\?\"", re.DOTALL
)


class _Call(NamedTuple):
    """A call whose answer is to come, as it is recorded beside its request.

    Attributes:
        answer: URI at which the answer will be.
        failure: URI at which an error will be.
        sent: Unix time at which SageMaker took it.
    """

    answer: str
    failure: str
    sent: float


class AsynchronousEndpoint(Endpoint):
    """An endpoint of ours whose requests wait until an instance has started.

    A request is stored under its digest with a record of its call. An attempt that ends before the
    answer comes leaves the record, by which the next attempt with the same request waits for the
    same answer.

    Args:
        name: name of the endpoint.
        calls: the folder of requests and answers, which SageMaker reads and writes, too.
    """

    answers_at_once = False
    _action = "sagemaker:InvokeEndpointAsync"

    def __init__(self, name: str, calls: Store) -> None:
        super().__init__(name, is_ours=True)
        self._calls = calls

    def invoke(
        self, body: bytes, content_type: str, accept: str, seconds: float = _DEFAULT_SECONDS
    ) -> tuple[bytes, str]:
        """Send a request, unless an earlier attempt has, and wait for the answer.

        Args:
            body: the body.
            content_type: the body's type.
            accept: type of the response.
            seconds: seconds until the caller must have an answer; infinite for a minute.

        Raises:
            ModelNotReadyError: there is no answer yet: repeat the request to wait for it.
            StoreError: the folder of the calls failed.
            InferenceError: as for `Endpoint.invoke`.
        """
        wait = _DEFAULT_SECONDS if seconds == float("inf") else seconds
        ends = time.monotonic() + wait - _RESERVED_SECONDS
        digest = hashlib.sha256(f"{content_type}\n{accept}\n".encode() + body).hexdigest()
        folder = f"{self.name}/{digest}"
        call = self._pending(folder) or self._start(folder, body, content_type, accept)
        answer = self._awaited(call, ends)
        self._calls.write(f"{folder}/call", b"")  # the same request later is another call
        if isinstance(answer, InferenceError):
            raise answer
        return answer, f"{BINARY_TYPE}{_json_length(answer)}"

    def _pending(self, folder: str) -> _Call | None:
        """Return the call of an earlier attempt whose answer may still come."""
        record = self._calls.read(f"{folder}/call")
        if not record:
            return None
        call = _Call(**json.loads(record))
        return call if time.time() - call.sent < _LOST_SECONDS else None

    def _start(self, folder: str, body: bytes, content_type: str, accept: str) -> _Call:
        self._calls.write(f"{folder}/request", body)
        headers = {
            "x-amzn-sagemaker-content-type": content_type,
            "x-amzn-sagemaker-accept": accept,
            "x-amzn-sagemaker-inputlocation": f"{self._calls.uri}/{folder}/request",
            "x-amzn-sagemaker-invocationtimeoutseconds": str(_CONTAINER_SECONDS),
            "x-amzn-sagemaker-requestttlseconds": str(_QUEUE_SECONDS),
        }
        answer = self._post("async-invocations", headers, b"", _DEFAULT_SECONDS)
        call = _Call(
            answer=answer.headers.get("x-amzn-sagemaker-outputlocation", ""),
            failure=answer.headers.get("x-amzn-sagemaker-failurelocation", ""),
            sent=time.time(),
        )
        self._calls.write(f"{folder}/call", json.dumps(call._asdict()).encode())
        return call

    def _awaited(self, call: _Call, ends: float) -> bytes | InferenceError:
        """Return the answer of a call, or its error, as soon as there is one."""
        pause = _FIRST_PAUSE
        while True:
            if (answer := self._read(call.answer)) is not None:
                return answer
            if (failure := self._read(call.failure)) is not None:
                return self._reported(failure.decode(errors="replace"))
            if time.monotonic() + pause > ends:
                raise ModelNotReadyError(
                    f"endpoint {self.name} has not answered yet: starting an instance takes it "
                    "minutes. Send the request again to wait for its answer"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _read(self, uri: str) -> bytes | None:
        return self._calls.read(uri.removeprefix(f"{self._calls.uri}/")) if uri else None

    def _reported(self, text: str) -> InferenceError:
        """Return the error that SageMaker has written to S3."""
        found = _CONTAINER_ERROR.search(text)
        if found is None:
            return PredictionError(f"endpoint {self.name} failed: {text:.300}")
        original = found[2]
        with suppress(ValueError):  # it may be quoted twice
            original = original if original.startswith('{"') else json.loads(f'"{original}"')
        document = {"OriginalStatusCode": int(found[1]), "OriginalMessage": original}
        return self._model_failure(document, text[:300])


def _json_length(answer: bytes) -> int:
    """Return the length of the JSON at the start of an answer: S3 may not keep its type.

    Raises:
        PredictionError: the answer begins with something else.
    """
    try:
        # One character a byte, whatever its encoding.
        return json.JSONDecoder().raw_decode(answer.decode("latin-1"))[1]
    except ValueError as error:
        raise PredictionError("the endpoint's answer does not begin with JSON") from error
