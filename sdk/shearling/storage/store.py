"""An object store below a URI: an S3 bucket, a local directory, or memory."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore.store import LocalStore, MemoryStore, S3Store

from shearling.bundle.digests import CHUNK_BYTES, Proof
from shearling.errors import IntegrityError, StoreError
from shearling.storage.s3 import s3_configuration
from shearling.storage.s3_objects import PARALLEL_PARTS, S3Objects, store_error
from shearling.storage.uris import DirectoryPlace, MemoryPlace, S3Place, parse_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from obstore.store import ObjectStore

    from shearling.bundle.digests import Descriptor

_MEMORIES: dict[str, MemoryStore] = {}

DENIED = "access denied: compare the caller's policy with docs/operations/permissions.md"
_UNAUTHENTICATED = "the credentials are not valid, or have expired"
_NO_BUCKET = "the bucket does not exist"

#: Class of obstore's or Python's error -> text for the user.
_MEANINGS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.PermissionDeniedError, DENIED),
    (exceptions.UnauthenticatedError, _UNAUTHENTICATED),
    (PermissionError, "access denied by the file system"),
)

#: HTTP status -> text for the user; a listing reports its errors by status only.
_STATUS_MEANINGS = {"401": _UNAUTHENTICATED, "403": DENIED, "404": _NO_BUCKET}
_STATUS = re.compile(r"status code: (\d{3})")
_S3_CODE = re.compile(r"<Code>(.*?)</Code>")
_S3_MESSAGE = re.compile(r"<Message>(.*?)</Message>")

#: S3's errors about an object that is archived, or encrypted with a key of its writer's.
UNREADABLE = (
    "InvalidObjectState:",
    "InvalidRequest: The object was stored using a form of Server Side Encryption",
)


class Store:
    """The operations of an object store that the registry uses.

    Args:
        backend: obstore store with the registry's prefix applied.
        uri: URI of the registry for error messages.
        objects: the same objects of S3, for operations that obstore does not have.
    """

    def __init__(self, backend: ObjectStore, uri: str, objects: S3Objects | None = None) -> None:
        self._backend = backend
        self._objects = objects
        self.uri = uri

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    def read(self, key: str, *, limit: int | None = None) -> bytes | None:
        """Return the bytes under a key, or None if there are none.

        Raises:
            TooLargeError: there are more than `limit`; they are not fetched.
        """
        try:
            with self._translated("read", key, missing_is_absent=True):
                found = obstore.get(self._backend, key)
                size = int(found.meta["size"])
                if limit is None or size <= limit:
                    return bytes(found.bytes())
        except _KeyMissingError:
            return None
        raise TooLargeError(f"{key} in {self.uri} has {size:,} bytes, but {limit:,} are allowed")

    def read_range(self, key: str, start: int, end: int) -> memoryview:
        """Return the bytes of a key from offset `start` up to, but excluding, `end`.

        Raises:
            StoreError: the key does not exist.
        """
        with self._translated("read", key):
            return memoryview(obstore.get_range(self._backend, key, start=start, end=end))

    def size(self, key: str) -> int | None:
        """Return the size of a key in bytes, or None if the key does not exist."""
        try:
            with self._translated("read", key, missing_is_absent=True):
                return int(obstore.head(self._backend, key)["size"])
        except _KeyMissingError:
            return None

    def create(self, key: str, data: bytes) -> bool:
        """Put bytes under a key that does not exist.

        Returns:
            True if the key was created. False if the store refused the put, which does not prove
            that another writer created the key: an earlier attempt of this put may have succeeded,
            or a conflict may have left the key absent. Read the key to find out.
        """
        with self._translated("write", key):
            try:
                obstore.put(self._backend, key, data, mode="create", use_multipart=False)
            except exceptions.AlreadyExistsError:
                return False
            return True

    def write(self, key: str, data: bytes, *, content_type: str = "") -> None:
        """Put bytes under a key; an existing object is overwritten."""
        attributes = {"Content-Type": content_type} if content_type and self._objects else None
        with self._translated("write", key):
            obstore.put(self._backend, key, data, use_multipart=False, attributes=attributes)

    def delete(self, key: str) -> None:
        """Delete a key; it need not exist."""
        with self._translated("delete", key), suppress(FileNotFoundError):
            obstore.delete(self._backend, key)

    def upload(
        self, key: str, path: Path, file: Descriptor, advance: Callable[[int], object] = int
    ) -> bool:
        """Upload a file to a key that does not exist, in parts, and complete only if it matches.

        Args:
            key: key of the object.
            path: the file.
            file: descriptor of the bytes that the file must have.
            advance: called with the number of bytes of each part that was read.

        Returns:
            True if the file was stored. False does not say whether it was, as in `create`.

        Raises:
            IntegrityError: the file has changed since it was described; nothing is stored.
        """
        parts = _Parts(path, file, advance)
        with self._translated("write", key):
            if path.stat().st_size <= CHUNK_BYTES:
                return self.create(key, b"".join(parts))
            if self._objects is None:
                self._stream(key, parts)  # a directory or memory, which nobody else may write
                return True
            try:
                return self._objects.create(key, parts)
            except (IntegrityError, OSError):
                raise
            except Exception as error:  # boto3's errors share no class of their own
                raise store_error("write", key, self.uri, error) from error

    def overwrite(
        self, key: str, path: Path, file: Descriptor, advance: Callable[[int], object] = int
    ) -> None:
        """Upload a file to a key and replace an existing object; see `upload`.

        Raises:
            IntegrityError: the file has changed since it was described; nothing is stored.
            StoreError: the store permits no overwriting, among other reasons.
        """
        self._stream(key, _Parts(path, file, advance))

    def checksum(self, key: str) -> str:
        """Return the SHA-256 checksum that S3 keeps of an object; empty if there is none."""
        return self._head("read", key)[0]

    def object_version(self, key: str) -> str:
        """Return S3's own version of an object; empty if there is none."""
        return self._head("read", key)[1]

    @property
    def backend(self) -> ObjectStore:
        """The store of obstore, for operations on S3 alone."""
        return self._backend

    @property
    def objects(self) -> S3Objects | None:
        """The objects of the bucket; None for a directory or memory."""
        return self._objects

    def _head(self, verb: str, key: str) -> tuple[str, str]:
        if self._objects is None:
            return "", ""
        try:
            return self._objects.head(key)
        except Exception as error:  # boto3's errors share no class of their own
            raise store_error(verb, key, self.uri, error) from error

    def _stream(self, key: str, parts: _Parts) -> None:
        try:
            with self._translated("write", key):
                if parts.size <= CHUNK_BYTES:
                    obstore.put(self._backend, key, b"".join(parts), use_multipart=False)
                else:
                    obstore.put(
                        self._backend,
                        key,
                        iter(parts),
                        chunk_size=CHUNK_BYTES,
                        max_concurrency=PARALLEL_PARTS,
                    )
        except StoreError:
            if parts.changed:
                raise parts.changed from None
            raise

    def keys(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """Yield the keys below a prefix in ascending order.

        Args:
            prefix: prefix of the keys.
            after: full key; only greater keys are listed.
        """
        with self._translated("list", prefix):
            # A local directory is listed in arbitrary order.
            yield from sorted(
                entry["path"]
                for page in obstore.list(
                    self._backend, prefix, offset=after or None, chunk_size=1000
                )
                for entry in page
            )

    def names(self, prefix: str) -> list[str]:
        """Return the names of the objects directly below a prefix, in order."""
        return self._directory(prefix)[0]

    def folders(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix that have keys below them, in order."""
        return self._directory(prefix)[1]

    def _directory(self, prefix: str) -> tuple[list[str], list[str]]:
        with self._translated("list", prefix):
            try:
                listing = obstore.list_with_delimiter(self._backend, prefix)
            except (exceptions.InvalidPathError, exceptions.GenericError) as error:
                # S3 allows keys such as `a//b` and `a/../b`, at which obstore's listing fails.
                if self._objects is None or not _is_odd_key(error):
                    raise
                return self._list_any_key(prefix, self._objects)
        paths = [entry["path"] for entry in listing["objects"]]
        return _last_parts(paths), _last_parts(listing["common_prefixes"])

    def _list_any_key(self, prefix: str, objects: S3Objects) -> tuple[list[str], list[str]]:
        try:
            names, folders = objects.list_folder(prefix)
        except Exception as error:  # the errors of boto3 have no common class
            raise store_error("list", prefix, self.uri, error) from error
        return sorted(names), sorted(folders)

    @contextmanager
    def _translated(
        self, verb: str, key: str, *, missing_is_absent: bool = False
    ) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, StoreError):
            raise
        except (exceptions.BaseError, OSError) as error:
            if missing_is_absent and isinstance(
                error, exceptions.NotFoundError | FileNotFoundError
            ):
                raise _KeyMissingError from error
            cause = _meaning(verb, error)
            message = f"cannot {verb} {key} in {self.uri}: {cause}"
            if cause.startswith(UNREADABLE):
                raise UnreadableError(message) from error
            raise StoreError(message, denied=cause == DENIED) from error


class _Parts:
    """The parts of a file; iterating raises at the end if they are not what is described."""

    def __init__(self, path: Path, file: Descriptor, advance: Callable[[int], object]) -> None:
        self._path = path
        self._file = file
        self._advance = advance
        self.size = path.stat().st_size
        #: obstore hides what an iterator raises.
        self.changed: IntegrityError | None = None

    def __iter__(self) -> Iterator[bytes]:
        proof = Proof(self._file)
        with self._path.open("rb") as stream:
            while part := stream.read(CHUNK_BYTES):
                proof.update(part)
                yield part
                self._advance(len(part))
        if (actual := proof.digest()) != self._file.digest:
            # An error after the last part aborts the upload.
            self.changed = IntegrityError(
                str(self._path), expected=self._file.digest, actual=actual
            )
            raise self.changed


class TooLargeError(StoreError):
    """There are more bytes under a key than the reader takes."""


class UnreadableError(StoreError):
    """There is an object under a key that its writer alone can read, or nobody before a restore."""


class _KeyMissingError(Exception):
    """The key does not exist."""


def _last_parts(paths: Iterable[str]) -> list[str]:
    return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in paths)


def open_store(uri: str) -> Store:
    """Open the store at a URI.

    Args:
        uri: `s3://bucket/prefix`, `file:///directory`, a path, or `memory://name`.

    Raises:
        StoreError: the URI has another form, the directory cannot be used, or there are no AWS
            credentials.
    """
    place = parse_uri(uri)
    match place:
        case S3Place(bucket, prefix):
            return Store(_s3(bucket, prefix), str(place), S3Objects(bucket, prefix))
        case MemoryPlace(name):
            return Store(_MEMORIES.setdefault(name, MemoryStore()), str(place))
        case DirectoryPlace(directory):
            try:
                return Store(LocalStore(directory, mkdir=True), str(place))
            except (exceptions.BaseError, OSError) as error:
                raise StoreError(f"cannot use {directory} as a registry: {error}") from error


def _s3(bucket: str, prefix: str) -> S3Store:
    config, credential_provider = s3_configuration(bucket)
    # S3 refuses a put whose bytes changed on the way, and keeps the checksum for later pushes.
    config["checksum_algorithm"] = "sha256"
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        credential_provider=credential_provider,
        # A function in a VPC without a route to S3 must report that well before it times out.
        client_options={
            "connect_timeout": "3s",
            "timeout": "300s",
            "allow_http": str(config.get("endpoint", "")).startswith("http://"),
        },
        retry_config={
            "max_retries": 4,
            "retry_timeout": timedelta(seconds=60),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=3),
                "base": 2,
            },
        },
    )


def _is_odd_key(error: Exception) -> bool:
    """Return whether a listing failed at a key that obstore refuses."""
    is_path = isinstance(error, exceptions.InvalidPathError)
    return is_path or "invalid list response" in str(error).lower()


def _meaning(verb: str, error: Exception) -> str:
    """Return one line for the user about an error of obstore or Python."""
    if isinstance(error, exceptions.NotFoundError | FileNotFoundError):
        return "it does not exist" if verb == "read" else _NO_BUCKET
    text = str(error).strip()
    code, message = _S3_CODE.search(text), _S3_MESSAGE.search(text)
    answer = f"{code[1]}: {message[1]}" if code and message else ""
    if answer.startswith(UNREADABLE):
        return answer
    status = _STATUS.search(text)
    known = next((meaning for kind, meaning in _MEANINGS if isinstance(error, kind)), None)
    known = known or _STATUS_MEANINGS.get(status[1] if status else "")
    if known:
        return known
    if answer:
        return answer
    return text.splitlines()[0] if text else type(error).__name__
