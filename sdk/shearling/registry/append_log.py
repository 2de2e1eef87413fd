"""Small JSON objects that are written once under a number; the highest number is current."""

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

#: How often a put is tried again when the store refuses and yet nothing is there.
_UNDECIDED_LIMIT = 20

#: How often a put is tried again when it fails and nothing is there.
_FAILURE_LIMIT = 3

_RECORD = re.compile(r"[0-9]{10}\.json")


class Log:
    """The records below one prefix of a store, numbered from 1 without gaps.

    One primitive makes it safe: a put that fails if the key exists. It is not enough to look at
    its answer: a put that is tried again after its first try landed is refused too, and a conflict
    only means "not decided". So every record carries a random id, and on a refusal the key is
    read: mine - success; absent - the same number again; another's - it is lost.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def last(self) -> int:
        """Return the highest number, or 0 if there is no record."""
        return max(self.numbers(), default=0)

    def numbers(self, *, after: int = 0) -> Iterator[int]:
        """Yield the numbers that exist, in order, from the one after `after`."""
        for key in self._store.keys(self._prefix, after=self._key(after)):
            # Who may write other keys below the prefix must not be able to make records here.
            if _RECORD.fullmatch(key.removeprefix(f"{self._prefix}/")):
                yield int(key[-len("0000000000.json") : -len(".json")])

    def read(self, number: int) -> dict[str, Any] | None:
        """Return a record, `created` as a datetime, or None if it does not exist."""
        key = self._key(number)
        record = read_json(self._store, key)
        if record is not None:
            try:
                record["created"] = datetime.fromisoformat(record["created"])
            except (KeyError, TypeError, ValueError) as error:
                raise RegistryError(f"{key} in {self._store.uri} is not a record") from error
        return record

    def create(self, number: int, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create a record; return None if it is ours now, or else the record that is there."""
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"id": secrets.token_hex(16), "created": created, **fields}
        there = create_or_read(self._store, self._key(number), record)
        return None if there.get("id") == record["id"] else self.read(number)

    def append(self, fields: Mapping[str, Any]) -> int:
        """Create the next record, whatever others append meanwhile; return its number."""
        number = self.last() + 1
        while self.create(number, fields) is not None:
            number += 1
        return number

    def _key(self, number: int) -> str:
        # Ten digits, so that a listing is in order of the numbers.
        return f"{self._prefix}/{number:010d}.json"


def create_or_read(store: Store, key: str, record: dict[str, Any]) -> dict[str, Any]:
    """Create a JSON object under a key; return what is there in the end, this one or another's.

    Raises:
        StoreError: the put fails or is refused again and again, and nothing is there.
    """
    data = canonical_json(record)
    for attempt in range(_UNDECIDED_LIMIT):
        try:
            if store.create(key, data):
                return record
        except StoreError:
            # The connection broke, or the store failed: the put may have landed all the same.
            there = read_json(store, key)
            if there is None and attempt >= _FAILURE_LIMIT:
                raise
        else:
            there = read_json(store, key)
        if there is not None:
            return there
    raise StoreError(f"{key} in {store.uri} is refused, though nothing is there")


def read_json(store: Store, key: str) -> dict[str, Any] | None:
    """Return the JSON object under a key, or None if there is none.

    Raises:
        RegistryError: what is there is not a JSON object.
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
