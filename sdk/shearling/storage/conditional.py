"""Objects by key that are read and written under conditions: in a bucket, or in a directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shearling.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: Attempts to replace an object that others replace, too.
_ATTEMPTS = 5


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


class ListedObjects(ConditionalObjects, Protocol):
    """Objects that can be listed, too."""

    def list(self, prefix: str) -> Iterator[tuple[str, ObjectState]]:
        """Yield the objects whose keys begin with a prefix, each with its state, in order of keys.

        The state of an object that is listed lacks its version.
        """
        ...


def replace_object(objects: ConditionalObjects, key: str, data: bytes) -> None:
    """Put bytes under a key, whatever is there.

    Raises:
        StoreError: the store refuses or fails, or others keep replacing the object.
    """
    for _ in range(_ATTEMPTS):
        state = objects.state(key)
        try:
            objects.put(key, data, replaces=state.etag if state else None)
        except ConditionFailedError:
            continue
        return
    raise StoreError(f"{key} keeps changing")


def discard_object(objects: ConditionalObjects, key: str) -> None:
    """Delete an object, if there is one.

    Raises:
        StoreError: the store refuses or fails.
    """
    if state := objects.state(key):
        objects.delete(key, etag=state.etag)
