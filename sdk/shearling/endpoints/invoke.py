"""Call a SageMaker endpoint, and tell its failures apart."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shearling.endpoints.kept_connections import (
    BrokenConnectionError,
    KeptConnections,
    NoAnswerError,
    UnreachableError,
)
from shearling.errors import (
    DeadlineError,
    InferenceError,
    InvalidRequestError,
    ModelNotReadyError,
    PayloadTooLargeError,
    PredictionError,
    error_of,
)
from shearling.sigv4 import Keys, signed_headers
from shearling.storage.s3 import access_keys, aws_domain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.endpoints.kept_connections import Answer

#: SageMaker waits 60 s for a container; the rest is for the network.
_MOST_SECONDS = 70.0

#: What is kept of the time to answer that there was no response.
_RESERVED_SECONDS = 0.1

_OK, _ACCEPTED = 200, 202
_BAD_REQUEST, _DENIED, _TOO_LARGE, _SERVER_ERROR = 400, 403, 413, 500
_GATEWAY_TIMEOUT = 504

#: Errors that go away. SageMaker returns them if an endpoint has too many requests or no room.
_BUSY = frozenset(
    {
        "InternalDependencyException",
        "InternalFailure",
        "ModelNotReadyException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Throttling",
        "ThrottlingException",
    }
)
_BUSY_STATUSES = frozenset({429, 500, 503, 530})

#: What SageMaker's API says of a body that is too long, with the code of any wrong argument.
_LENGTH_LIMIT = "length less than or equal to"

#: What the container adds to the message of an error whose details are in its log.
_IN_LOG = "; see request "

#: Longest text of others in a message.
_LONGEST = 300


class Endpoint:
    """A SageMaker endpoint in the region of this function.

    Attributes:
        name: name of the endpoint.
        is_ours: whether it runs our container, whose errors are what the caller would get from a
            function that has the model itself.
        answers_at_once: whether a caller can wait for the answer.
    """

    answers_at_once = True
    _action = "sagemaker:InvokeEndpoint"

    def __init__(self, name: str, *, is_ours: bool = False) -> None:
        environment = os.environ
        self.name = name
        self.is_ours = is_ours
        self._region = environment.get("AWS_REGION", "us-east-1")
        root = environment.get("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME") or environment.get(
            "AWS_ENDPOINT_URL",
            f"https://runtime.sagemaker.{self._region}.{aws_domain(self._region)}",
        )
        place = urlsplit(root)
        self._host = place.netloc
        self._path = f"{place.path.rstrip('/')}/endpoints/{name}"
        self._connections = KeptConnections(root)

    def invoke(
        self, body: bytes, content_type: str, accept: str, seconds: float = _MOST_SECONDS
    ) -> tuple[bytes, str]:
        """Send a request, and return the body of the response and its content type.

        Args:
            body: the body.
            content_type: the body's type.
            accept: type of the response.
            seconds: seconds until the caller must have an answer.

        Raises:
            InvalidRequestError: the model refused the request.
            PayloadTooLargeError: the request is larger than the endpoint accepts.
            ModelNotReadyError: the endpoint does not exist, is busy or out of reach, or the
                function may not call it.
            DeadlineError: there was no response in time.
            PredictionError: the model failed.
        """
        seconds = min(seconds, _MOST_SECONDS) - _RESERVED_SECONDS
        if seconds <= 0:
            raise DeadlineError(f"no time is left to ask endpoint {self.name}")
        types = {"content-type": content_type, "accept": accept}
        answer = self._post("invocations", types, body, seconds)
        return answer.body, answer.headers.get("content-type", "")

    def _post(
        self, operation: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Answer:
        """Send a signed request, and return the response if it tells of no error.

        Raises:
            InferenceError: as for `invoke`.
        """
        path = f"{self._path}/{operation}"
        signed = signed_headers(
            "POST",
            path,
            "",
            {"host": self._host, **headers},
            body,
            keys=_keys(),
            region=self._region,
            service="sagemaker",
            now=datetime.now(UTC),
        )
        answer = self._send(path, body, signed, seconds)
        if answer.status in (_OK, _ACCEPTED):
            return answer
        raise self._failure(answer)

    def _send(self, path: str, body: bytes, headers: dict[str, str], seconds: float) -> Answer:
        try:
            return self._connections.post(path, body, headers, seconds)
        except UnreachableError as error:
            raise ModelNotReadyError(
                f"endpoint {self.name} cannot be reached: {error!s:.{_LONGEST}}. A function in a "
                "VPC needs a VPC endpoint for `sagemaker.runtime`"
            ) from error
        except NoAnswerError as error:
            raise DeadlineError(
                f"endpoint {self.name} did not answer within {seconds:.1f} s"
            ) from error
        except BrokenConnectionError as error:
            raise ModelNotReadyError(
                f"the connection to endpoint {self.name} broke: {error!s:.{_LONGEST}}. Send the "
                "request again"
            ) from error

    def _failure(self, answer: Answer) -> InferenceError:
        """Return the error for a response other than 200."""
        document = _object(answer.body)
        code = answer.headers.get("x-amzn-errortype", "") or str(document.get("__type", ""))
        code = code.partition(":")[0].rpartition("#")[2]
        message = str(document.get("message") or document.get("Message") or "")[:_LONGEST]
        what = f"endpoint {self.name}"
        if code == "ModelError":
            return self._model_failure(document, message)
        if code in _BUSY or answer.status in _BUSY_STATUSES:
            return ModelNotReadyError(
                f"{what} is busy or not ready ({code or answer.status}: {message}). Send the "
                "request again"
            )
        if answer.status == _TOO_LARGE or _LENGTH_LIMIT in message:
            return PayloadTooLargeError(f"{what} refuses the request's size: {message}")
        if answer.status == _DENIED:
            return ModelNotReadyError(
                f"the function may not call {what} ({code}: {message}). Its role needs the action "
                f"{self._action} on it"
            )
        if answer.status < _SERVER_ERROR:  # such as ValidationError: there is no such endpoint
            hint = (
                "`shearling retry-release` creates it again"
                if self.is_ours
                else "Compare `endpoint_name` with SageMaker's endpoints in the function's region"
            )
            return ModelNotReadyError(
                f"{what} cannot be called ({code or answer.status}: {message}). {hint}"
            )
        return PredictionError(f"{what} failed with status {answer.status}: {message}")

    def _model_failure(self, document: dict[str, Any], message: str) -> InferenceError:
        """Return the error for a failure of the container, whose own status and body it has."""
        status = document.get("OriginalStatusCode", 0)
        original = str(document.get("OriginalMessage") or message)
        error = _object(original.encode(errors="replace")).get("error")
        if self.is_ours and isinstance(error, str) and isinstance(status, int):
            return self._own_failure(status, error)
        original = str(error or original)[:_LONGEST]
        what = f"the model behind endpoint {self.name}"
        if status == _TOO_LARGE:
            return PayloadTooLargeError(f"{what} refuses the request's size: {original}")
        if status in _BUSY_STATUSES - {_SERVER_ERROR}:
            return ModelNotReadyError(f"{what} is busy: {original}. Send the request again")
        if isinstance(status, int) and _BAD_REQUEST <= status < _SERVER_ERROR:
            return InvalidRequestError(f"{what} refused the request: {original}")
        if status == _GATEWAY_TIMEOUT or "timed out" in message:
            return DeadlineError(f"{what} did not answer in time: {original}")
        return PredictionError(f"{what} failed: {original}")

    def _own_failure(self, status: int, message: str) -> InferenceError:
        """Return the error that our container has answered with."""
        if status != _SERVER_ERROR:
            return error_of(status)(message)
        # The caller gets the ID of the function's request, whose log has that of the container's.
        error = PredictionError(message.partition(_IN_LOG)[0])
        error.__cause__ = PredictionError(f"endpoint {self.name}: {message}")
        return error


def _keys() -> Keys:
    """Return the keys of the function's role, which are in the environment."""
    keys = access_keys()
    if not keys:
        raise ModelNotReadyError(
            "no credentials to sign requests to the endpoint with: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, as Lambda does"
        )
    return Keys(
        str(keys["access_key_id"]),
        str(keys["secret_access_key"]),
        str(keys.get("session_token", "")),
    )


def _object(data: bytes) -> dict[str, Any]:
    """Return a JSON object; empty if the bytes are something else."""
    with suppress(ValueError, RecursionError):
        value = json.loads(data)
        if isinstance(value, dict):
            return value
    return {}
