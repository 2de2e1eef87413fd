"""What every deployed model is to its caller, by whatever way it is reached."""

from __future__ import annotations

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
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

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

#: What Lambda takes as the payload of an invocation.
REQUEST_LIMIT = 6 * 1024 * 1024


def check_request(body: bytes, *, is_binary: bool = False) -> None:
    """Refuse what Lambda would: the connection may break before it has said so.

    Args:
        body: of the request.
        is_binary: whether an API hands it over as base64.

    Raises:
        PayloadTooLargeError: the body is too large.
    """
    limit = REQUEST_LIMIT * 3 // 4 if is_binary else REQUEST_LIMIT
    if len(body) > limit:
        raise PayloadTooLargeError(
            f"the request is {len(body):,} bytes, and Lambda takes {limit:,}: send fewer "
            "rows at a time, as `infer_many` does"
        )


def raise_error(status: int, message: str) -> NoReturn:
    """Raise the class of errors that a status stands for."""
    raise _CLASSES.get(status, InferenceError)(message)


class RemoteModel(ABC):
    """A deployed model.

    Attributes:
        target: where it is reached, for people.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._signature: Signature | None = None
        self._columns: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.target!r})"

    @property
    def signature(self) -> Signature:
        """Its inputs and outputs; asked of the model once."""
        if self._signature is None:
            document = self.metadata()
            self._columns = tuple(document.get("parameters", {}).get("columns", ()))
            self._signature = Signature(
                inputs=_specs(document["inputs"]), outputs=_specs(document["outputs"])
            )
        return self._signature

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of its only input, if it was pushed with a DataFrame that had."""
        _ = self.signature  # with which they are asked for
        return self._columns

    def request(self, value: Any) -> dict[str, Any]:
        """Return the document of the request that `infer` makes of a value, all of it JSON."""
        from shearling.protocol.requests import request_document

        return request_document(self._tensors(value))

    def infer(self, value: Any) -> dict[str, NDArray[Any]]:
        """Return the outputs by name; tensors are sent as bytes where that is shorter than JSON.

        Args:
            value: an array, a DataFrame, or a dict of arrays by input name.

        Raises:
            InvalidRequestError: it does not fit the model's signature.
            UnknownModelError: there is no such model, version or alias.
            ModelNotReadyError: no model is released there yet.
            PayloadTooLargeError: Lambda does not carry that many rows at once, or their answer.
            InferenceError: the model or the way to it failed.
        """
        return self._infer(self._tensors(value))

    def infer_many(
        self, value: Any, *, rows_per_call: int | None = None, max_concurrency: int = 8
    ) -> dict[str, NDArray[Any]]:
        """Return what `infer` does, for any number of rows, by several calls at once.

        All rows are checked before the first is sent. A call that is too large, or whose answer is,
        is made again as two. What fails is told when all else is answered; only if ten calls in
        succession fail, and not for their rows, the rest is not sent. Progress is shown in a
        terminal or a notebook.

        Args:
            value: as of `infer`: of n rows, in arrays of shape [n, ...].
            rows_per_call: by default about a megabyte of them.
            max_concurrency: calls at once; a new AWS account runs ten, all functions together.

        Returns:
            The outputs by name, in the order of the rows, of shape [n, ...].

        Raises:
            InvalidRequestError: it does not fit the model's signature, or the model does not take
                any number of rows.
            RowsFailedError: some rows have no answer: it has which and why, and all other answers.
            InferenceError: the model cannot be asked for its signature.
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
        """Return name, version, inputs and outputs of what is served now."""

    @abstractmethod
    def ready(self) -> bool:
        """Say whether requests can be answered; raises if the way there fails."""

    @abstractmethod
    def call(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request's document, and return the answer's.

        Raises:
            InferenceError: as of `infer`.
        """

    @abstractmethod
    def _exchange(self, body: bytes, length: int | None) -> tuple[dict[str, Any], bytes]:
        """Send a body whose JSON has a length if bytes follow; return the same of the answer."""


def _specs(documents: list[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=one["name"], datatype=one["datatype"], shape=tuple(one["shape"]))
        for one in documents
    )
