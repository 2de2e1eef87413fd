"""Append-only logs of small JSON records; the record with the highest number is current."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import canonical_json
from shearling.errors import RegistryError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shearling.storage.store import Store

#: Number of attempts at most while the store refuses a put although the key does not exist.
_UNDECIDED_LIMIT = 20

#: Number of retries at most while a put fails and the key does not exist.
_FAILURE_LIMIT = 3

_RECORD = re.compile(r"[0-9]{10}\.json")


class Log:
    """The records below one prefix of a store, numbered from 1 without gaps.

    Concurrent writers are safe because a put fails if the key exists. The store's response alone
    does not decide: a put that is retried after its first attempt succeeded is refused too, and a
    conflict can leave the key absent. So every record has a random id. After a refused put, the
    writer reads the key: its own id means success, no object means retry, another id means that
    another writer has the number.

    Args:
        store: store of the registry.
        prefix: prefix of the log's keys, without a slash at the end.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def last(self) -> int:
        """Return the highest number, or 0 if there is no record."""
        return max(self.numbers(), default=0)

    def numbers(self, *, after: int = 0) -> Iterator[int]:
        """Yield the numbers of the records greater than `after`, in ascending order."""
        for key in self._store.keys(self._prefix, after=self._key(after)):
            # A caller may be allowed to write other keys below the prefix; they are not records.
            if _RECORD.fullmatch(key.removeprefix(f"{self._prefix}/")):
                yield int(key[-len("0000000000.json") : -len(".json")])

    def read(self, number: int) -> dict[str, Any] | None:
        """Return a record, with `created` as a datetime, or None if it does not exist.

        Raises:
            RegistryError: the record is not a JSON object, or has no valid `created`.
        """
        key = self._key(number)
        record = read_json(self._store, key)
        if record is not None:
            try:
                record["created"] = datetime.fromisoformat(record["created"])
            except (KeyError, TypeError, ValueError) as error:
                raise RegistryError(
                    f"{key} in {self._store.uri} is not a record: `created` is missing or is not "
                    "an ISO 8601 time"
                ) from error
        return record

    def create(self, number: int, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create a record under a number.

        Returns:
            None if the record was created, otherwise the other writer's record.
        """
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"id": secrets.token_hex(16), "created": created, **fields}
        stored = create_or_read(self._store, self._key(number), record)
        return None if stored.get("id") == record["id"] else self.read(number)

    def append(self, fields: Mapping[str, Any]) -> int:
        """Create the next record and return its number; other writers may append concurrently."""
        number = self.last() + 1
        while self.create(number, fields) is not None:
            number += 1
        return number

    def _key(self, number: int) -> str:
        # Ten digits, so that keys sort by number.
        return f"{self._prefix}/{number:010d}.json"


def create_or_read(store: Store, key: str, record: dict[str, Any]) -> dict[str, Any]:
    """Create a JSON object under a key and return the object that the key has afterwards.

    Returns:
        The given record, or the record of another writer that created the key first.

    Raises:
        StoreError: every attempt failed or was refused, and the key does not exist.
    """
    data = canonical_json(record)
    for attempt in range(_UNDECIDED_LIMIT):
        try:
            if store.create(key, data):
                return record
        except StoreError:
            # The put may have succeeded although the connection broke or the store failed.
            stored = read_json(store, key)
            if stored is None and attempt >= _FAILURE_LIMIT:
                raise
        else:
            stored = read_json(store, key)
        if stored is not None:
            return stored
    raise StoreError(
        f"cannot write {key} in {store.uri}: the store refused {_UNDECIDED_LIMIT} attempts "
        "although the key does not exist"
    )


def read_json(store: Store, key: str) -> dict[str, Any] | None:
    """Return the JSON object under a key, or None if the key does not exist.

    Raises:
        RegistryError: the content is not a JSON object.
    """
    data = store.read(key)
    if data is None:
        return None
    try:
        document = json.loads(data)
    except ValueError as error:
        raise RegistryError(f"{key} in {store.uri} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RegistryError(f"{key} in {store.uri} is not a JSON object")
    return document
