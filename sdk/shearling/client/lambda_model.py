"""Call a deployed model by function alias, through the Lambda API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shearling.client.base import CONFLICT, RemoteModel, check_request, json_body, raise_error
from shearling.client.deployments import function_hint, local_hint
from shearling.errors import (
    InferenceError,
    InvalidRefError,
    ModelNotReadyError,
    PayloadTooLargeError,
    UnknownModelError,
)
from shearling.lambda_api import failure_message
from shearling.protocol.constants import LENGTH_HEADER
from shearling.protocol.http_events import base64_body, http_event, read_http_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient


#: Error class for each error code of Lambda itself; InferenceError for any other.
_ERRORS_BY_CODE: dict[str, type[InferenceError]] = {
    "RequestEntityTooLargeException": PayloadTooLargeError,
    "RequestTooLargeException": PayloadTooLargeError,
    "ResourceNotFoundException": UnknownModelError,
}

#: Number of tries of an invocation that Lambda throttles.
_ATTEMPTS = 5

#: Maximum number of connections: the default limit of concurrent invocations of an account.
#: Connections are opened when they are needed.
_CONNECTIONS = 1000

_TARGETS = "expected <function>:<alias>, as in acme-fraud:prod, or the URL of an API"

_ARN_PARTS = 7  # of a function's ARN, without an alias


class LambdaModel(RemoteModel):
    """A model behind an alias of a Lambda function.

    Args:
        target: `<function>:<alias>`, or the alias's ARN.
        client: boto3 client for Lambda; by default a new one that retries when Lambda throttles.

    Raises:
        InvalidRefError: the target is not a function with an alias.
    """

    def __init__(self, target: str, *, client: LambdaClient | None = None) -> None:
        super().__init__(target)
        self._function, self._alias, region = _split(target)
        self._client = client or lambda_client(region, target=target)
        self._name = ""

    def metadata(self) -> dict[str, Any]:
        """Return name, version, inputs and outputs of the version that the alias serves now."""
        document = self.call({"shearling": "metadata"}, expected="inputs")
        self._name = str(document["name"])
        return document

    def ready(self) -> bool:
        """Return whether the model can answer requests.

        Raises:
            InferenceError: the function cannot be invoked, or the model cannot be loaded.
        """
        try:
            self.metadata()
        except ModelNotReadyError:
            return False
        return True

    def call(self, event: Mapping[str, Any], *, expected: str = "outputs") -> dict[str, Any]:
        """Invoke the function with an event, and return the response's document.

        Args:
            event: request of the Open Inference Protocol.
            expected: key that a model's response has.

        Raises:
            InferenceError: as for `infer`.
        """
        return self._checked(self._invoke(json_body(event)), expected)

    def _only(self, version: int) -> LambdaModel:
        """Return the Lambda version of the alias that has a version of the model."""
        answering = list[str]()
        for number in self._lambda_versions():
            model = LambdaModel(f"{self._function}:{number}", client=self._client)
            try:
                named = model._contracts.current().version  # which `infer_many` reads then
            except InferenceError as error:
                if not _is_denied(error):
                    raise
                raise InferenceError(
                    f"cannot ask {self.target} for one version: this needs the right to invoke "
                    f"version {number} of the function (lambda:InvokeFunction on its versions, not "
                    f"only on the alias): {error}"
                ) from error
            if named == str(version):
                return model
            answering.append(named)
        raise UnknownModelError(
            f"{self.target} is not answered by version {version!r:.20}; it is answered by "
            f"{', '.join(answering)}"
        )

    def _lambda_versions(self) -> list[str]:
        """Return the Lambda versions that the alias names: its own, and that of a canary."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            alias = self._client.get_alias(FunctionName=self._function, Name=self._alias)
        except (ClientError, BotoCoreError) as error:
            needs = "this needs the right to read the alias (lambda:GetAlias): "
            reason = f"{needs if _is_denied(error) else ''}{error}"
            raise InferenceError(f"cannot ask {self.target} for one version: {reason}") from error
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        return [alias["FunctionVersion"], *weights]

    def _exchange(self, body: bytes, length: int | None) -> tuple[dict[str, Any], bytes]:
        if length is None:
            return self._checked(self._invoke(body), "outputs"), b""
        # The function accepts bytes only in the event of an HTTP API.
        _, headers, data = self.send("POST", "/infer", body, {LENGTH_HEADER: str(length)})
        end = int(headers.get(LENGTH_HEADER, len(data)))
        return self._checked(json.loads(data[:end]), "outputs"), data[end:]

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send an HTTP request as the event of an HTTP API; see `RemoteModel.send`."""
        if not self._name:
            self.metadata()
        event = http_event(
            method,
            f"/v2/models/{self._name}{path}",
            {name.lower(): value for name, value in headers.items()},
            base64_body(body) if body else {},
        )
        answer = self._checked(self._invoke(json.dumps(event).encode()), "body")
        status, returned, data = read_http_answer(answer)
        if status >= 400 and status != CONFLICT:  # noqa: PLR2004 - the first error status of HTTP
            document = json.loads(data)
            raise_error(status, str(document.get("error", document)))
        return status, returned, data

    def _checked(self, document: Any, expected: str) -> dict[str, Any]:
        if isinstance(document, dict) and "error" in document:
            raise_error(document.get("status", 500), str(document["error"]))
        if not isinstance(document, dict) or expected not in document:
            raise InferenceError(
                f"the response of {self.target} is not a model's, since it has no {expected!r}: "
                f"{document!r:.200}"
            )
        return document

    def _invoke(self, payload: bytes) -> Any:
        """Invoke the function and return its response's document."""
        from botocore.exceptions import BotoCoreError, ClientError

        check_request(payload)
        try:
            answer = self._client.invoke(
                FunctionName=self._function, Qualifier=self._alias, Payload=payload
            )
            data = answer["Payload"].read()
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            kind = _ERRORS_BY_CODE.get(code, InferenceError)
            text = f"cannot invoke {self.target}: {code}: {message}"
            if kind is UnknownModelError:
                text = f"{text}. {function_hint(self._function, self._alias)}"
            raise kind(text) from error
        except BotoCoreError as error:
            text = f"cannot invoke {self.target}: {error}"
            raise InferenceError(text + local_hint(self._function, self._alias)) from error
        try:
            document = json.loads(data)
        except ValueError:
            document = data.decode(errors="replace")
        if answer.get("FunctionError"):
            raise InferenceError(f"{self.target} failed: {failure_message(document)}")
        return document


def _is_denied(error: Exception) -> bool:
    """Return whether the caller lacks a right, by the error code in the message."""
    return "AccessDenied" in str(error)


def _split(target: str) -> tuple[str, str, str | None]:
    """Return function, alias and region of a target."""
    parts = target.split(":")
    is_arn = parts[0] == "arn"
    function, _, alias = target.rpartition(":")
    if (
        not function
        or not alias
        or "/" in target
        or len(parts) != (_ARN_PARTS + 1 if is_arn else 2)
    ):
        raise InvalidRefError(f"target {target!r}: {_TARGETS}")
    return function, alias, parts[3] if is_arn else None


def lambda_client(region: str | None = None, *, target: str = "") -> LambdaClient:
    """Return a Lambda client for calls to models, with a long read timeout and retries.

    Args:
        region: AWS region; None: the configured one.
        target: what is to be called, for the hint of an error.

    Raises:
        InferenceError: no region is configured, or the AWS configuration is invalid.
    """
    from botocore.exceptions import BotoCoreError, NoRegionError

    from shearling import lambda_api

    function, _, alias = target.rpartition(":")
    try:
        return lambda_api.lambda_client(region, attempts=_ATTEMPTS, connections=_CONNECTIONS)
    except NoRegionError as error:
        raise InferenceError(
            "no AWS region is configured. Set AWS_REGION, or pass the alias's ARN"
            + local_hint(function, alias)
        ) from error
    except BotoCoreError as error:
        raise InferenceError(f"cannot create a Lambda client: {error}") from error
