"""The versions of one model: numbered records, and an index from digest to version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import canonical_json
from shearling.registry.append_log import Log, create
from shearling.registry.record_reader import (
    InvalidRecordError,
    read_indexed_version,
    read_record,
    read_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shearling.registry.records import Version
    from shearling.storage.store import Store


class VersionLog:
    """The versions of one model.

    Args:
        store: store of the registry.
        model: name of the model.
    """

    def __init__(self, store: Store, model: str) -> None:
        self._store = store
        self._model = model
        self._log = Log(store, f"models/{model}/versions", partial(read_version, model))

    def last(self) -> int:
        """Return the number of the newest version; 0 if there is none."""
        return self._log.last()

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of all versions, in ascending order."""
        return self._log.numbers()

    def read(self, number: int) -> Version | None:
        """Return the record of a version; None if there is none.

        Raises:
            InvalidRecordError: the record is invalid.
        """
        return self._log.read(number)

    def all(self) -> list[Version]:
        """Return every version whose record can be read, oldest first."""
        return list(self._log.down_from(self.last()))[::-1]

    def newest(self) -> Version | None:
        """Return the newest version whose record can be read."""
        return self._log.newest()

    def commit(self, digest: str, details: Mapping[str, Any]) -> tuple[int, bool]:
        """Create a version for a digest, or return the one that exists.

        A digest never gets two versions, because version n+1 is created only after the digest of
        version n, the newest valid one, is indexed. A writer that sees n indexes it and looks up
        its own digest. If the index does not have the digest, no version up to n is the same
        bundle, and only one writer can create n+1.

        Args:
            digest: digest of the manifest.
            details: fields of the version's record.

        Returns:
            The number of the version, and whether it is new.
        """
        last = self.last()
        if newest := next(self._log.down_from(last), None):
            self._index(newest.pin.version, newest.pin.digest)
        if found := self.find(digest):
            return found, False
        number = last + 1
        while not self._log.create(number, {"digest": digest, **details}):
            if taken := self._log.find(number):
                self._index(number, taken.pin.digest)
                if taken.pin.digest == digest:
                    return number, False
            number += 1
        self._index(number, digest)
        return number, True

    def find(self, digest: str) -> int | None:
        """Return the version of a digest, if the index has it and the version agrees."""
        try:
            number = read_record(self._store, self._digest_key(digest), read_indexed_version)
        except InvalidRecordError:
            return None
        version = self._log.find(number) if number else None
        if number is None or version is None or version.pin.digest != digest:
            return None
        # Everyone who may push can write a record of any number, and an index that names it.
        return number if number <= self.last() else None

    def _index(self, number: int, digest: str) -> None:
        if self.find(digest) is None:
            # Concurrent writers write the same bytes.
            create(self._store, self._digest_key(digest), canonical_json({"version": number}))

    def _digest_key(self, digest: str) -> str:
        return f"models/{self._model}/digests/{digest.removeprefix('sha256:')}.json"
