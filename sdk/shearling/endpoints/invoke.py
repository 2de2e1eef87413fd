"""Call a SageMaker endpoint, and tell its failures apart."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shearling.errors import (
    DeadlineError,
    InferenceError,
    InvalidRequestError,
    ModelNotReadyError,
    PayloadTooLargeError,
    PredictionError,
)
from shearling.sigv4 import Keys, signed_headers
from shearling.storage.s3 import access_keys, aws_domain

if TYPE_CHECKING:
    from shearling.connections import Answer, Connections

#: SageMaker waits 60 s for a container; the rest is for the network.
_MOST_SECONDS = 70.0

_OK, _BAD_REQUEST, _DENIED, _TOO_LARGE, _SERVER_ERROR = 200, 400, 403, 413, 500
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

#: Longest text of others in a message.
_LONGEST = 300


class Endpoint:
    """A SageMaker endpoint in the region of this function.

    Args:
        name: name of the endpoint.
    """

    def __init__(self, name: str) -> None:
        environment = os.environ
        self.name = name
        self._region = environment.get("AWS_REGION", "us-east-1")
        root = environment.get("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME") or environment.get(
            "AWS_ENDPOINT_URL",
            f"https://runtime.sagemaker.{self._region}.{aws_domain(self._region)}",
        )
        self._url = f"{root.rstrip('/')}/endpoints/{name}/invocations"
        self._connections: Connections | None = None

    def invoke(
        self, body: bytes, content_type: str, accept: str, seconds: float = _MOST_SECONDS
    ) -> tuple[bytes, str]:
        """Send a request, and return the body of the response and its content type.

        Args:
            body: the body.
            content_type: the body's type.
            accept: type of the response.
            seconds: seconds to wait at most.

        Raises:
            InvalidRequestError: the model refused the request.
            PayloadTooLargeError: the request is larger than the endpoint accepts.
            ModelNotReadyError: the endpoint does not exist, is busy or out of reach, or the
                function may not call it.
            DeadlineError: there was no response in time.
            PredictionError: the model failed.
        """
        place = urlsplit(self._url)
        signed = signed_headers(
            "POST",
            place.path,
            "",
            {"host": place.netloc, "content-type": content_type, "accept": accept},
            body,
            keys=_keys(),
            region=self._region,
            service="sagemaker",
            now=datetime.now(UTC),
        )
        answer = self._send(body, signed, min(seconds, _MOST_SECONDS))
        if answer.status == _OK:
            return answer.body, answer.headers.get("content-type", "")
        raise self._failure(answer)

    def _send(self, body: bytes, headers: dict[str, str], seconds: float) -> Answer:
        from urllib3.exceptions import HTTPError, NewConnectionError
        from urllib3.exceptions import TimeoutError as NoAnswerError

        from shearling.connections import Connections

        self._connections = self._connections or Connections(self._url)
        try:
            return self._connections.send("POST", self._url, body, headers, seconds)
        except NewConnectionError as error:
            raise ModelNotReadyError(
                f"endpoint {self.name} cannot be reached: {error!s:.{_LONGEST}}. A function in a "
                "VPC needs a VPC endpoint for `sagemaker.runtime`"
            ) from error
        except NoAnswerError as error:
            raise DeadlineError(
                f"endpoint {self.name} did not answer within {seconds:.1f} s"
            ) from error
        except HTTPError as error:
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
        if answer.status == _TOO_LARGE:
            return PayloadTooLargeError(f"{what} refuses the request's size: {message}")
        if answer.status == _DENIED:
            return ModelNotReadyError(
                f"the function may not call {what} ({code}: {message}). Its role needs the action "
                "sagemaker:InvokeEndpoint on it"
            )
        if answer.status < _SERVER_ERROR:  # such as ValidationError: there is no such endpoint
            return ModelNotReadyError(
                f"{what} cannot be called ({code or answer.status}: {message}). Compare "
                "`endpoint_name` with SageMaker's endpoints in the function's region"
            )
        return PredictionError(f"{what} failed with status {answer.status}: {message}")

    def _model_failure(self, document: dict[str, Any], message: str) -> InferenceError:
        """Return the error for a failure of the container, whose own status and body it has."""
        status = document.get("OriginalStatusCode", 0)
        original = str(document.get("OriginalMessage") or message)
        original = str(_object(original.encode(errors="replace")).get("error", original))[:_LONGEST]
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
