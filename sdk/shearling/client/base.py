"""Interface of a deployed model, shared by the Lambda and the HTTP client."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

from shearling.errors import (
    DeadlineError,
    InferenceError,
    InvalidRequestError,
    ModelNotReadyError,
    PayloadTooLargeError,
    PredictionError,
    UnknownModelError,
)
from shearling.protocol.metadata import read_columns, read_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature

#: Error class for each status of a response: the class that the runtime raised.
_ERRORS_BY_STATUS: dict[int, type[InferenceError]] = {
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

#: Maximum payload of a Lambda invocation, in bytes.
REQUEST_LIMIT = 6 * 1024 * 1024


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
    raise _ERRORS_BY_STATUS.get(status, InferenceError)(message)


class RemoteModel(ABC):
    """A deployed model.

    Attributes:
        target: address of the model, for messages.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._signature: Signature | None = None
        self._columns: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r})"

    @property
    def signature(self) -> Signature:
        """Inputs and outputs of the model; requested once."""
        if self._signature is None:
            document = self.metadata()
            self._signature = read_signature(document)
            self._columns = read_columns(document)
        return self._signature

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names of the only input; empty if the model was pushed without a DataFrame."""
        _ = self.signature  # reads the columns from the same response
        return self._columns

    def request(self, value: Any) -> dict[str, Any]:
        """Return the request that `infer` sends for a value, as a document for JSON."""
        from shearling.protocol.requests import request_document

        return request_document(self._tensors(value))

    def infer(self, value: Any) -> dict[str, NDArray[Any]]:
        """Run the model on a value and return the outputs by name.

        Sends tensors as bytes where that is shorter than JSON.

        Args:
            value: an array, a DataFrame, or a dict of arrays by input name.

        Raises:
            InvalidRequestError: the value does not fit the model's signature.
            UnknownModelError: the model, version or alias does not exist.
            ModelNotReadyError: no version of the model is released yet.
            PayloadTooLargeError: the request or the response is above Lambda's limit of 6 MB.
            InferenceError: the model failed, or the request could not be sent or answered.
        """
        return self._infer(self._tensors(value))

    def infer_many(
        self, value: Any, *, rows_per_call: int | None = None, max_concurrency: int = 8
    ) -> dict[str, NDArray[Any]]:
        """Run the model on any number of rows, by concurrent calls, and return the outputs by name.

        Checks all rows before it sends the first. Splits a call in two if its request or its
        response is too large. Continues after a failed call and reports all failures at the end.
        If ten calls in succession fail for a reason other than their rows, sends no more. Shows
        progress in a terminal or a notebook.

        Args:
            value: as for `infer`; n rows, in arrays of shape [n, ...].
            rows_per_call: number of rows in a call; by default about one megabyte of rows.
            max_concurrency: number of calls at a time. A new AWS account runs ten invocations at a
                time, over all functions.

        Returns:
            Outputs by name, arrays of shape [n, ...] in the order of the rows.

        Raises:
            InvalidRequestError: the value does not fit the model's signature, or the model accepts
                only a fixed number of rows, or the answers to rows depend on each other.
            RowsFailedError: some rows failed. The error holds these rows with the reasons, and the
                outputs of all other rows.
            InferenceError: the model's signature could not be read.
        """
        from shearling.client.batch import infer_rows

        return infer_rows(
            self._infer,
            self._tensors(value),
            self.signature,
            title=f"infer {self.target}",
            rows_per_call=rows_per_call,
            max_concurrency=max_concurrency,
        )

    def _infer(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        from shearling.protocol.binary import request_body
        from shearling.protocol.responses import read_answer

        return read_answer(*self._exchange(*request_body(tensors)))

    def _tensors(self, value: Any) -> dict[str, NDArray[Any]]:
        from shearling.tensors.inputs import to_tensors

        return to_tensors(value, self.signature.inputs, self.columns)

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
    def _exchange(self, body: bytes, length: int | None) -> tuple[dict[str, Any], bytes]:
        """Send a request's body, and return the document and the bytes of the response.

        Args:
            body: JSON, followed by the bytes of tensors or not.
            length: number of bytes of the JSON; None if nothing follows it.

        Returns:
            The response's JSON document, and the bytes after it.
        """
