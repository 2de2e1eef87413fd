"""Interface of a deployed model, shared by the Lambda and the HTTP client."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

from shearling.client.contracts import Contracts, Outgoing
from shearling.errors import (
    InferenceError,
    InvalidRequestError,
    PayloadTooLargeError,
    RowsFailedError,
    error_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.client.jobs import Job
    from shearling.client.outputs import Outputs
    from shearling.tensors.spec import Signature

#: Maximum payload of a Lambda invocation, in bytes.
REQUEST_LIMIT = 6 * 1024 * 1024

#: Status of a response that is an answer: a job that is done cannot be cancelled.
CONFLICT = 409

_AS_A_JOB = (
    "If the model has `jobs`, `infer_async` has neither this limit nor that of an API's time"
)


def check_request(body: bytes, *, is_binary: bool = False) -> None:
    """Refuse a request above Lambda's limit, since Lambda may close the connection without a reply.

    Args:
        body: bytes of the request's body.
        is_binary: whether API Gateway encodes the body as base64, which needs a third more bytes.

    Raises:
        PayloadTooLargeError: the body is too large.
    """
    limit = REQUEST_LIMIT * 3 // 4 if is_binary else REQUEST_LIMIT
    if len(body) > limit:
        raise PayloadTooLargeError(
            f"the request has {len(body):,} bytes; Lambda accepts {limit:,} at most. Send fewer "
            "rows per call; `infer_many` does so by itself"
        )


def json_body(event: Mapping[str, Any]) -> bytes:
    """Return the JSON of a request's document.

    Raises:
        InvalidRequestError: JSON cannot carry the document.
    """
    try:
        return json.dumps(event, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"the request cannot be written as JSON: {error!s:.200}. Pass lists of numbers and "
            "texts, with None for a missing value, or use `infer`, which also takes arrays"
        ) from error


def raise_error(status: int, message: str) -> NoReturn:
    """Raise the error class for an HTTP status."""
    raise error_of(status)(message)


class RemoteModel(ABC):
    """A deployed model.

    Attributes:
        target: address of the model, for messages.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._contracts = Contracts(self.metadata)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r})"

    @property
    def signature(self) -> Signature:
        """Inputs and outputs of the model; requested once for each version that answers."""
        return self._contracts.current().signature

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names of the only input; empty if the model was pushed without a DataFrame."""
        return self._contracts.current().columns

    def request(self, value: Any) -> dict[str, Any]:
        """Return the request that `infer` sends for a value, as a document for JSON."""
        from shearling.protocol.requests import request_document

        return request_document(Outgoing(value, self._contracts).tensors)

    def infer(self, value: Any) -> dict[str, NDArray[Any]]:
        """Run the model on a value and return the outputs by name.

        Sends tensors as bytes where that is shorter than JSON. If the value or the request is
        refused, reads the model's signature again, and if it has changed, sends the request again.

        Args:
            value: an array, a DataFrame, or a dict of arrays by input name.

        Raises:
            InvalidRequestError: the value does not fit the model's signature.
            UnknownModelError: the model, version or alias does not exist.
            ModelNotReadyError: no version of the model is released yet.
            PayloadTooLargeError: the request or the response is above Lambda's limit of 6 MB.
            InferenceError: the model failed, or the request could not be sent or answered.
        """
        outgoing = Outgoing(value, self._contracts)
        started = time.monotonic()
        try:
            outputs, _ = outgoing.send(self._infer, slice(None))
        except InferenceError as error:
            is_late = self._is_late(error, time.monotonic() - started)
            if is_late or isinstance(error, PayloadTooLargeError):
                raise type(error)(f"{error}. {_AS_A_JOB}") from error
            raise
        return outputs

    def _is_late(self, error: InferenceError, seconds: float) -> bool:  # noqa: ARG002 - see HttpModel
        """Return whether an error after these seconds means that an API waited no longer."""
        return False

    def infer_async(self, value: Any, *, idempotency_key: str | None = None) -> Job:
        """Let the model run on a value as an asynchronous job, and return the job.

        The job may take as long as the function, and its body and its result may be larger than a
        request: a large body is uploaded to the bucket of the jobs. Needs `jobs` of the model in
        Terraform.

        Args:
            value: as for `infer`.
            idempotency_key: calls with the same key and value are one job, so a call may be
                repeated after an error. Behind an API without authentication it needs 128 random
                bits. By default each call is a job of its own.

        Raises:
            InvalidRequestError: the value does not fit the model's signature.
            UnknownModelError: the model has no jobs, or does not exist.
            InferenceError: the job could not be created.
        """
        from shearling.client.jobs import submit

        return Outgoing(value, self._contracts).send(
            lambda tensors: submit(self, tensors, idempotency_key), slice(None)
        )

    def job(self, job_id: str) -> Job:
        """Return an asynchronous job by its ID, such as one that another process has created.

        Sends no request: an unknown ID is an error when the job is asked for its state.

        Raises:
            InvalidRefError: the ID does not have the form of one.
        """
        from shearling.client.jobs import Job

        return Job(self, job_id)

    def infer_many(
        self,
        value: Any,
        *,
        rows_per_call: int | None = None,
        max_concurrency: int = 8,
        version: int | None = None,
    ) -> Outputs:
        """Run the model on any number of rows, by concurrent calls, and return the outputs by name.

        Checks all rows before it sends the first. Splits a call in two if its request or its
        response is too large. Continues after a failed call and reports all failures at the end.
        If ten calls in succession fail for a reason other than their rows, sends no more. Warns if
        several versions of the model have answered, because the alias has a canary or was moved
        meanwhile. Shows progress in a terminal or a notebook.

        Args:
            value: as for `infer`; n rows, in arrays of shape [n, ...].
            rows_per_call: number of rows in a call; by default about one megabyte of rows.
            max_concurrency: number of calls at a time. A new AWS account runs ten invocations at a
                time, over all functions.
            version: asks only this version among those that the alias names. Needs the Lambda API,
                and the rights to read the alias and to invoke any version of the function.

        Returns:
            Outputs by name, a dict of arrays of shape [n, ...] in the order of the rows. Its
            attribute `versions` has the number of the version that answered each row.

        Raises:
            InvalidRequestError: the value does not fit the model's signature, or the model accepts
                only a fixed number of rows, or the answers to rows depend on each other; or
                `version` cannot be chosen.
            UnknownModelError: the alias does not name `version`.
            RowsFailedError: some rows failed. The error holds these rows with the reasons, and the
                outputs of all other rows.
            InferenceError: the model's signature could not be read.
        """
        if version is not None:
            if not str(version).isdecimal():
                raise InvalidRequestError(f"version {version!r:.80}: expected a number such as 8")
            only = self._only(version)
            return only.infer_many(
                value, rows_per_call=rows_per_call, max_concurrency=max_concurrency
            )
        from shearling.client.batch import infer_rows
        from shearling.client.outputs import Outputs, warn_of_several_versions

        outgoing = Outgoing(value, self._contracts)
        try:
            outputs = infer_rows(
                lambda rows: outgoing.send(self._infer, slice(rows.start, rows.stop)),
                outgoing.tensors,
                outgoing.contract.signature,
                title=f"infer {self.target}",
                rows_per_call=rows_per_call,
                max_concurrency=max_concurrency,
            )
        except RowsFailedError as error:
            if isinstance(error.outputs, Outputs):
                warn_of_several_versions(self.target, error.outputs.versions)
            raise
        warn_of_several_versions(self.target, outputs.versions)
        return outputs

    def _infer(self, tensors: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], str]:
        """Send one request, and return its outputs and the version that answered."""
        from shearling.protocol.binary import request_body
        from shearling.protocol.responses import read_answer

        document, tail = self._exchange(*request_body(tensors))
        version = str(document.get("model_version", ""))
        self._contracts.answered_by(version)
        return read_answer(document, tail), version

    def _only(self, version: int) -> RemoteModel:
        """Return one version of the model, whatever the alias names later.

        Raises:
            InvalidRequestError: this kind of model cannot choose a version.
            UnknownModelError: the alias does not name the version.
            InferenceError: the versions of the alias cannot be read.
        """
        del version
        raise InvalidRequestError(
            f"{self.target} cannot be asked for one version: an API sends each request to the "
            "alias, which chooses the version. Connect by <function>:<alias>, as in "
            "sdk.connect('acme-fraud:prod')"
        )

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """Return name, version, inputs and outputs of the version served now."""

    @abstractmethod
    def ready(self) -> bool:
        """Return whether the model can answer requests.

        Raises:
            InferenceError: the model cannot be reached, or the request is refused.
        """

    @abstractmethod
    def call(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request as a document, and return the response's document.

        Args:
            event: request of the Open Inference Protocol.

        Raises:
            InferenceError: as for `infer`.
        """

    @abstractmethod
    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send an HTTP request, and return status, headers (by lower-case name) and body.

        Args:
            method: HTTP method.
            path: path below that of the model, as in `/infer`.
            body: bytes of the body, empty for none.
            headers: headers by name.

        Raises:
            InferenceError: the request failed, or its response is an error other than a 409.
        """

    @abstractmethod
    def _exchange(self, body: bytes, length: int | None) -> tuple[dict[str, Any], bytes]:
        """Send a request's body, and return the document and the bytes of the response.

        Args:
            body: JSON, followed by the bytes of tensors or not.
            length: number of bytes of the JSON; None if nothing follows it.

        Returns:
            The response's JSON document, and the bytes after it.
        """
