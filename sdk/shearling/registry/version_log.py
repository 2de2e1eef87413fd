"""The versions of one model: numbered records, and an index from digest to version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.refs import Pin
from shearling.registry.append_log import Log, create_or_read, read_json
from shearling.registry.records import Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        self._log = Log(store, f"models/{model}/versions")

    def last(self) -> int:
        """Return the number of the newest version; 0 if there is none."""
        return self._log.last()

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of all versions, in ascending order."""
        return self._log.numbers()

    def read(self, number: int) -> Version | None:
        """Return the record of a version; None if there is none."""
        record = self._log.read(number)
        if record is None:
            return None
        details = {k: v for k, v in record.items() if k not in ("id", "digest", "created")}
        pin = Pin(self._model, number, record["digest"])
        return Version(pin=pin, created=record["created"], details=details)

    def commit(self, digest: str, details: Mapping[str, Any]) -> tuple[int, bool]:
        """Create a version for a digest, or return the one that exists.

        A digest never gets two versions, because version n+1 is created only after the digest of
        version n is indexed. A writer that sees n as the last version indexes it and then looks up
        its own digest. If the index does not have the digest, no version up to n is the same
        bundle, and only one writer can create n+1.

        Args:
            digest: digest of the manifest.
            details: fields of the version's record.

        Returns:
            The number of the version, and whether it is new.
        """
        last = self.last()
        if last:
            self._index(last, self._log.read(last) or {})
        if existing := self.find(digest):
            return existing, False
        number = last + 1
        while taken := self._log.create(number, {"digest": digest, **details}):
            self._index(number, taken)
            if taken["digest"] == digest:
                return number, False
            number += 1
        self._index(number, {"digest": digest})
        return number, True

    def find(self, digest: str) -> int | None:
        """Return the version of a digest, or None.

        The index is trusted only if the version's record has the same digest.
        """
        record = read_json(self._store, self._digest_key(digest))
        number = record.get("version") if record else None
        version = self._log.read(number) if isinstance(number, int) else None
        return number if version and version.get("digest") == digest else None

    def _index(self, number: int, record: Mapping[str, Any]) -> None:
        digest = record["digest"]
        if self.find(digest) is None:
            # A concurrent writer would create the same object.
            create_or_read(self._store, self._digest_key(digest), {"version": number})

    def _digest_key(self, digest: str) -> str:
        return f"models/{self._model}/digests/{digest.removeprefix('sha256:')}.json"
