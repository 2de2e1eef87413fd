"""Objects by key that are read and written under conditions: in a bucket, or in a directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shearling.errors import StoreError

if TYPE_CHECKING:
    from datetime import datetime


class ConditionFailedError(StoreError):
    """The object is not the one that the condition names; nothing was read or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectState:
    """What a store says of an object.

    Attributes:
        etag: its ETag, without quotes; another one for other bytes.
        size: its size in bytes.
        modified: when it was written, in UTC.
        version_id: its version; empty in a bucket without versions.
    """

    etag: str
    size: int
    modified: datetime
    version_id: str = ""


class Upload(Protocol):
    """Parts of an object that does not exist until they are complete."""

    def send(self, number: int, part: bytes) -> None:
        """Upload a part; parts may come in any order, and from several threads.

        Args:
            number: place of the part in the object, from 1.
            part: the bytes: at least 5 MiB, but for the last part.
        """
        ...

    def complete(self, replaces: str | None) -> str:
        """Make the parts an object, and return its ETag.

        Args:
            replaces: ETag of the object to replace; None: there must be none.

        Raises:
            ConditionFailedError: there is another object; the parts are deleted.
        """
        ...

    def abort(self) -> None:
        """Delete the parts; a failure is ignored."""
        ...


class ReadableObjects(Protocol):
    """Objects by key. Every method raises StoreError if the store refuses, fails or is away."""

    def state(self, key: str) -> ObjectState | None:
        """Return what the store says of an object; None if there is none."""
        ...

    def read(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        """Return the bytes from `start` up to, but excluding, `stop`; there must be some.

        Raises:
            ConditionFailedError: the object has another ETag, or is gone.
        """
        ...


class ConditionalObjects(ReadableObjects, Protocol):
    """Objects that can be written, too."""

    def put(self, key: str, data: bytes, *, replaces: str | None) -> str:
        """Put bytes under a key, and return their ETag.

        Args:
            key: key of the object.
            data: the bytes.
            replaces: ETag of the object to replace; None: there must be none.

        Raises:
            ConditionFailedError: there is another object; nothing was written.
        """
        ...

    def upload(self, key: str) -> Upload:
        """Begin to upload an object in parts."""
        ...

    def delete(self, key: str, *, etag: str) -> None:
        """Delete an object if it has an ETag."""
        ...
