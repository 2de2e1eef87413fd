"""What a client knows of the versions that answer it: read again when that may have changed.

The alias behind a client moves, and a canary answers a part of the requests. So the signature that
was read first does not hold for ever.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from shearling.errors import InferenceError, InvalidRequestError
from shearling.protocol.metadata import read_columns, read_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature

_Answer = TypeVar("_Answer")

#: Beginning of a refusal that is about the request as the contract describes it, and of those that
#: are the model's own.
_OF_CONTRACT, _OF_MODEL = "inputs", "inputs: the model "


@dataclass(frozen=True, slots=True)
class ServedContract:
    """The contract of a version, as its metadata describe it.

    Attributes:
        version: the version; empty if the metadata do not name exactly one.
        signature: inputs and outputs of the model.
        columns: column names of the only input; empty if there are none.
    """

    version: str
    signature: Signature
    columns: tuple[str, ...]

    def is_like(self, other: ServedContract) -> bool:
        """Return whether two versions have the same contract."""
        return (self.signature, self.columns) == (other.signature, other.columns)

    def tensors(self, value: Any) -> dict[str, NDArray[Any]]:
        """Convert a value to the tensors of a request.

        Raises:
            InvalidRequestError: the value does not fit the signature.
        """
        from shearling.tensors.inputs import to_tensors

        return to_tensors(value, self.signature.inputs, self.columns)


class Contracts:
    """The contracts of the versions that answer a client; safe in several threads.

    Args:
        metadata: requests the metadata of the version that answers now.
    """

    def __init__(self, metadata: Callable[[], dict[str, Any]]) -> None:
        self._metadata = metadata
        self._lock = threading.Lock()
        self._current: ServedContract | None = None
        self._is_outdated = False
        self._known: dict[str, ServedContract] = {}
        #: Versions for which the contract was read. With a canary, the metadata may be another's.
        self._sought: set[str] = set()
        #: Number of times that metadata were read.
        self.reads = 0

    def current(self) -> ServedContract:
        """Return the contract of the version that answered last; reads it if it is not known."""
        with self._lock:
            if self._current is None:
                return self._read()
            if self._is_outdated:
                self._is_outdated = False
                try:
                    return self._read()
                except InferenceError:  # the request itself may succeed all the same
                    self._sought.clear()
            return self._current

    def other_than(self, used: ServedContract) -> ServedContract | None:
        """Return the contract that replaces one that does not hold; None if it still holds.

        Args:
            used: the contract of a request that was refused.
        """
        with self._lock:
            current = self._current
            if current is None or current.is_like(used):
                try:
                    current = self._read()
                except InferenceError:  # the refusal says more
                    return None
            return None if current.is_like(used) else current

    def answered_by(self, version: str) -> None:
        """Note which version has answered a request, so that its contract is used from now on."""
        with self._lock:
            if self._current is None or version in ("", self._current.version):
                return
            if version in self._known:
                self._current = self._known[version]
            elif self._current.version and version not in self._sought:
                self._sought.add(version)
                self._is_outdated = True

    def _read(self) -> ServedContract:
        document = self._metadata()
        self.reads += 1
        read = ServedContract(_version(document), read_signature(document), read_columns(document))
        self._known[read.version] = self._current = read
        return read


class Outgoing:
    """A value that is sent in one or more requests, converted again if the contract changes.

    Args:
        value: an array, a DataFrame, or a dict of arrays by input name.
        contracts: of the versions that answer.

    Raises:
        InvalidRequestError: the value does not fit the signature.
    """

    def __init__(self, value: Any, contracts: Contracts) -> None:
        self._value = value
        self._contracts = contracts
        self._lock = threading.Lock()
        self._was_renewed = False
        reads = contracts.reads
        self.contract = contracts.current()
        try:
            self.tensors = self.contract.tensors(value)
        except InvalidRequestError:
            if contracts.reads > reads or not self._renew():
                raise

    def send(self, infer: Callable[[Mapping[str, NDArray[Any]]], _Answer], rows: slice) -> _Answer:
        """Send rows of the value, and again by the new contract if theirs does not hold any more.

        Args:
            infer: sends tensors.
            rows: the rows to send.

        Raises:
            InferenceError: the request fails.
        """
        contract, part = self.contract, self._part(rows)
        try:
            return infer(part)
        except InvalidRequestError as error:
            if not _is_of_contract(error):
                raise
            with self._lock:
                if self.contract is contract and not self._renew():
                    raise
        return infer(self._part(rows))

    def _part(self, rows: slice) -> dict[str, NDArray[Any]]:
        return {name: array[rows] if array.ndim else array for name, array in self.tensors.items()}

    def _renew(self) -> bool:
        """Convert the value by the contract that holds now; return whether it is another one."""
        if self._was_renewed:
            return False  # once for each value, however many of its rows are refused
        self._was_renewed = True
        newer = self._contracts.other_than(self.contract)
        if newer is None:
            return False
        try:
            self.tensors = newer.tensors(self._value)
        except InvalidRequestError as error:
            raise InvalidRequestError(
                f"{error}. The model's signature has changed since it was read: version "
                f"{newer.version} answers now, and version {self.contract.version} did before"
            ) from error
        self.contract = newer
        return True


def _is_of_contract(error: InvalidRequestError) -> bool:
    text = str(error)
    return text.startswith(_OF_CONTRACT) and not text.startswith(_OF_MODEL)


def _version(document: Mapping[str, Any]) -> str:
    versions = document.get("versions")
    is_one = isinstance(versions, list) and len(versions) == 1
    return str(versions[0]) if is_one else ""  # type: ignore[index]
