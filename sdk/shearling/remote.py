"""What every deployed model is to its caller, by whatever way it is reached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NoReturn

from shearling.bundle import Signature, TensorSpec
from shearling.errors import (
    DeadlineError,
    InferenceError,
    InvalidRequestError,
    ModelNotReadyError,
    PayloadTooLargeError,
    PredictionError,
    UnknownModelError,
)

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


def check_request(body: bytes) -> None:
    """Refuse what Lambda would: the connection may break before it has said so.

    Raises:
        PayloadTooLargeError: the body is too large.
    """
    if len(body) > REQUEST_LIMIT:
        raise PayloadTooLargeError(
            f"the request is {len(body):,} bytes, and Lambda takes {REQUEST_LIMIT:,}: send fewer "
            "rows at a time"
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

    def request(self, value: Any) -> dict[str, Any]:
        """Return the document of the request that `infer` makes of a value, all of it JSON."""
        from shearling.protocol import request_document

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
        from shearling.binary import request_body
        from shearling.protocol import read_answer

        body, length = request_body(self._tensors(value))
        return read_answer(*self._exchange(body, length))

    def _tensors(self, value: Any) -> dict[str, NDArray[Any]]:
        from shearling.inputs import to_tensors

        inputs = self.signature.inputs  # which asks for the columns too
        return to_tensors(value, inputs, self._columns)

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
