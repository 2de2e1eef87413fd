"""Append-only logs of small JSON records; the record with the highest number is current."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from shearling.bundle.canonical_json import canonical_json
from shearling.errors import BundleError, RegistryError, StoreError
from shearling.registry.record_reader import InvalidRecordError, parse_record, read_record
from shearling.storage.store import TooLargeError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from shearling.bundle.json_reader import Field
    from shearling.storage.store import Store

#: Number of attempts at most while the store refuses a put although the key does not exist.
_UNDECIDED_LIMIT = 20

#: Number of retries at most while a put fails and the key does not exist.
_FAILURE_LIMIT = 3

#: Number of keys that S3 lists by one request.
_PAGE = 1000

_RECORD = re.compile(r"[0-9]{10}\.json")

Record = TypeVar("Record")


class Log(Generic[Record]):
    """The records below one prefix of a store, numbered from 1 without gaps.

    Concurrent writers are safe because a put fails if the key exists. The store's response alone
    does not decide: a put that is retried after its first attempt succeeded is refused too, and a
    conflict can leave the key absent. So every record has a random id. After a refused put, the
    writer reads the key: its own id means success, no object means retry, another id means that
    another writer has the number.

    Others may be allowed to write below the prefix. A record after a gap in the numbers does not
    count. An invalid record uses up its number and is otherwise ignored.

    Args:
        store: store of the registry.
        prefix: prefix of the log's keys, without a slash at the end.
        parse: reads the record of a number.
    """

    def __init__(self, store: Store, prefix: str, parse: Callable[[int, Field], Record]) -> None:
        self._store = store
        self._prefix = prefix
        self._parse = parse

    def last(self) -> int:
        """Return the last number of the unbroken sequence from 1; 0 if there is no record."""
        return _unbroken(self._store.names(self._prefix))

    def exists(self, number: int) -> bool:
        """Return whether there is an object under the key of a record, by one request."""
        return self._store.size(self._key(number)) is not None

    def last_from(self, known: int = 0) -> int:
        """Return the last number of a log by few requests, however long it is.

        This is only for a log of which all writers are trusted: gaps before the last page of keys
        are not noticed.

        Args:
            known: number of an existing record; 0 if none is known.
        """
        if known and not self.exists(known + 1):
            return known
        floor = known or self._last_page()
        if not floor:
            return self.last()
        keys = self._store.keys(self._prefix, after=self._key(floor))
        return _unbroken((key.removeprefix(f"{self._prefix}/") for key in keys), after=floor)

    def _last_page(self) -> int:
        """Return the number after which at most a page of records follows, from doubled steps."""
        floor, step = 0, _PAGE
        while self.exists(floor + step):
            floor, step = floor + step, step * 2
        while step > _PAGE:
            step //= 2
            if self.exists(floor + step):
                floor += step
        return floor

    def numbers(self, *, after: int = 0) -> Iterator[int]:
        """Yield the numbers of the records greater than `after`, in ascending order."""
        yield from range(after + 1, self.last() + 1)

    def read(self, number: int) -> Record | None:
        """Return a record, or None if it does not exist.

        Raises:
            InvalidRecordError: the record is invalid.
        """
        return read_record(self._store, self._key(number), lambda root: self._parse(number, root))

    def find(self, number: int) -> Record | None:
        """Return a record, or None if it does not exist or is invalid."""
        try:
            return self.read(number)
        except InvalidRecordError:
            return None

    def down_from(self, number: int) -> Iterator[Record]:
        """Yield the valid records from a number down to 1."""
        for each in range(number, 0, -1):
            if (record := self.find(each)) is not None:
                yield record

    def newest(self) -> Record | None:
        """Return the newest valid record."""
        return next(self.down_from(self.last()), None)

    def create(self, number: int, fields: Mapping[str, Any]) -> bool:
        """Create a record under a number; return False if another writer has the number.

        Raises:
            RegistryError: the record is invalid.
        """
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"id": secrets.token_hex(16), "created": created, **fields}
        data = canonical_json(record, floats=True)
        key = self._key(number)
        try:
            parse_record(data, lambda root: self._parse(number, root))
        except BundleError as error:
            raise RegistryError(f"{key} cannot be written: {error}") from error
        return create(self._store, key, data)

    def _key(self, number: int) -> str:
        # Ten digits, so that keys sort by number.
        return f"{self._prefix}/{number:010d}.json"


def _unbroken(names: Iterable[str], *, after: int = 0) -> int:
    """Return the last number of the sequence without gaps that begins after a number."""
    numbers = {int(name[:10]) for name in names if _RECORD.fullmatch(name)}
    while after + 1 in numbers:
        after += 1
    return after


def create(store: Store, key: str, data: bytes) -> bool:
    """Create an object under a key; return whether the key has these bytes afterwards.

    Raises:
        StoreError: every attempt failed or was refused, and the key does not exist.
    """
    for attempt in range(_UNDECIDED_LIMIT):
        try:
            if store.create(key, data):
                return True
        except StoreError:
            # The put may have succeeded although the connection broke or the store failed.
            there = _peek(store, key, len(data))
            if there is None and attempt >= _FAILURE_LIMIT:
                raise
        else:
            there = _peek(store, key, len(data))
        if there is not None:
            return there == data
    raise StoreError(
        f"cannot write {key} in {store.uri}: the store refused {_UNDECIDED_LIMIT} attempts "
        "although the key does not exist"
    )


def _peek(store: Store, key: str, limit: int) -> bytes | None:
    try:
        return store.read(key, limit=limit)
    except (TooLargeError, UnreadableError):
        return b""
