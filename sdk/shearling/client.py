"""Call a deployed model: a function's alias, through the Lambda API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shearling.bundle import Signature, TensorSpec
from shearling.errors import (
    DeadlineError,
    InferenceError,
    InvalidRefError,
    InvalidRequestError,
    ModelNotReadyError,
    PayloadTooLargeError,
    PredictionError,
    UnknownModelError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_lambda import LambdaClient
    from numpy.typing import NDArray

#: The runtime answers with a status, and the caller sees the class that the runtime raised.
_CLASSES: dict[int, type[InferenceError]] = {
    kind.status: kind
    for kind in (
        DeadlineError,
        InvalidRequestError,
        ModelNotReadyError,
        PayloadTooLargeError,
        PredictionError,
        UnknownModelError,
    )
}

#: What Lambda's own refusals mean; any other is an InferenceError.
_REFUSALS: dict[str, type[InferenceError]] = {
    "RequestTooLargeException": PayloadTooLargeError,
    "ResourceNotFoundException": UnknownModelError,
}

#: A function's longest run, and the way there and back.
_READ_SECONDS = 900 + 10

#: Lambda may refuse for want of capacity, and then another try helps.
_TRIES = 5

_ARN_PARTS = 7  # of a function's ARN, without an alias


class LambdaModel:
    """A model behind an alias of a Lambda function.

    Args:
        target: `<function>:<alias>`, or the alias's ARN.
        client: a Lambda client; by default boto3's, which tries again when Lambda throttles.

    Raises:
        InvalidRefError: the target has no alias.
    """

    def __init__(self, target: str, *, client: LambdaClient | None = None) -> None:
        self.target = target
        self._function, self._alias, region = _split(target)
        self._client = client or _lambda_client(region)
        self._signature: Signature | None = None
        self._columns: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"LambdaModel({self.target!r})"

    @property
    def signature(self) -> Signature:
        """Its inputs and outputs; asked of the function once."""
        if self._signature is None:
            document = self.metadata()
            self._columns = tuple(document.get("parameters", {}).get("columns", ()))
            self._signature = Signature(
                inputs=_specs(document["inputs"]), outputs=_specs(document["outputs"])
            )
        return self._signature

    def metadata(self) -> dict[str, Any]:
        """Return name, version, inputs and outputs of what the alias serves now."""
        return self.call({"shearling": "metadata"}, expected="inputs")

    def request(self, value: Any) -> dict[str, Any]:
        """Return the document of the request that `infer` makes of a value."""
        from shearling.inputs import to_tensors
        from shearling.protocol import request_document

        inputs = self.signature.inputs  # which asks for the columns too
        return request_document(to_tensors(value, inputs, self._columns))

    def infer(self, value: Any) -> dict[str, NDArray[Any]]:
        """Return the outputs by name.

        Args:
            value: an array, a DataFrame, or a dict of arrays by input name.

        Raises:
            InvalidRequestError: it does not fit the model's signature.
            UnknownModelError: there is no such function or alias.
            ModelNotReadyError: no model is released there yet.
            InferenceError: the function or the way to it failed.
        """
        from shearling.protocol import read_answer

        return read_answer(self.call(self.request(value)))

    def call(self, event: Mapping[str, Any], *, expected: str = "outputs") -> dict[str, Any]:
        """Invoke the function with an event, and return its answer's document.

        Args:
            event: a request of the Open Inference Protocol.
            expected: what a model's answer has.

        Raises:
            InferenceError: as of `infer`.
        """
        document, failure = self._invoke(json.dumps(event).encode())
        if failure:
            said = document.get("errorMessage") if isinstance(document, dict) else document
            raise InferenceError(f"{self.target} failed: {said}")
        if isinstance(document, dict) and "error" in document:
            kind = _CLASSES.get(document.get("status", 500), InferenceError)
            raise kind(str(document["error"]))
        if not isinstance(document, dict) or expected not in document:
            raise InferenceError(f"{self.target} is no model: it answered {document!r:.200}")
        return document

    def _invoke(self, payload: bytes) -> tuple[Any, str]:
        """Return the function's answer, and the kind of its failure."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.invoke(
                FunctionName=self._function, Qualifier=self._alias, Payload=payload
            )
            data = answer["Payload"].read()
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            kind = _REFUSALS.get(code, InferenceError)
            raise kind(f"cannot invoke {self.target}: {code}: {message}") from error
        except BotoCoreError as error:
            raise InferenceError(f"cannot invoke {self.target}: {error}") from error
        try:
            return json.loads(data), answer.get("FunctionError", "")
        except ValueError:
            return data.decode(errors="replace"), answer.get("FunctionError", "")


def connect(target: str, *, client: LambdaClient | None = None) -> LambdaModel:
    """Return a deployed model, to call by `infer`.

    Args:
        target: `<function>:<alias>`, as in `acme-fraud:prod`, or the alias's ARN.
        client: a Lambda client, instead of boto3's own for the ARN's or the default region.

    Raises:
        InvalidRefError: the target has no alias.
    """
    return LambdaModel(target, client=client)


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
        raise InvalidRefError(
            f"target {target!r}: expected <function>:<alias>, as in acme-fraud:prod"
        )
    return function, alias, parts[3] if is_arn else None


def _specs(documents: list[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=one["name"], datatype=one["datatype"], shape=tuple(one["shape"]))
        for one in documents
    )


def _lambda_client(region: str | None) -> LambdaClient:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=5,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        tcp_keepalive=True,
    )
    return boto3.client("lambda", region_name=region, config=config)
