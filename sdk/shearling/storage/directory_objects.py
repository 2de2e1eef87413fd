"""A directory whose files are read and written under conditions, by processes of one machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shearling.errors import StoreError
from shearling.storage.conditional import ConditionFailedError, ObjectState

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Begins the names of files that are being written.
_PARTIAL = ".shearling-"


class DirectoryObjects:
    """The files of a directory by relative path."""

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory).absolute()

    def state(self, key: str) -> ObjectState | None:
        """See `ConditionalObjects`."""
        with _translated("read", self._directory, key):
            try:
                return _state_of(self._path(key).stat())
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read(self, key: str, start: int, stop: int, *, etag: str) -> bytes:
        """See `ConditionalObjects`."""
        with _translated("read", self._directory, key):
            try:
                with self._path(key).open("rb", buffering=0) as stream:
                    data = os.pread(stream.fileno(), stop - start, start)
                    if _state_of(os.fstat(stream.fileno())).etag == etag:
                        return data
            except FileNotFoundError:
                pass
        raise ConditionFailedError(f"{key} in {self._directory} has changed")

    def put(self, key: str, data: bytes, *, replaces: str | None) -> str:
        """See `ConditionalObjects`."""
        upload = self.upload(key)
        upload.send(1, data)
        return upload.complete(replaces)

    def upload(self, key: str) -> DirectoryUpload:
        """See `ConditionalObjects`."""
        path = self._path(key)
        with _translated("write", self._directory, key):
            path.parent.mkdir(parents=True, exist_ok=True)
        return DirectoryUpload(self, key, path)

    def delete(self, key: str, *, etag: str) -> None:
        """See `ConditionalObjects`."""
        path = self._path(key)
        with _translated("delete", self._directory, key):
            if not path.parent.is_dir():
                return
            with locked(path.parent):
                found = self.state(key)
                if found is not None and found.etag == etag:
                    path.unlink()

    def list(self, prefix: str) -> Iterator[tuple[str, ObjectState]]:
        """See `ListedObjects`. Links are followed to files, but not to directories."""
        folder = self._directory / prefix[: prefix.rfind("/") + 1].lstrip("/")
        with _translated("list", self._directory, prefix):
            found = [path for path in _files(folder) if not path.name.startswith(_PARTIAL)]
        for key in sorted(str(path.relative_to(self._directory)) for path in found):
            if key.startswith(prefix) and (state := self.state(key)):
                yield key, state

    def _path(self, key: str) -> Path:
        path = Path(os.path.normpath(self._directory / key.lstrip("/")))
        if not path.is_relative_to(self._directory) or path == self._directory:
            raise StoreError(f"{key!r:.200} is not in {self._directory}")
        return path


class DirectoryUpload:
    """Parts in files of their own, which one rename makes a file; see `Upload`."""

    def __init__(self, objects: DirectoryObjects, key: str, path: Path) -> None:
        self._objects = objects
        self._key = key
        self._path = path
        self._partial = path.with_name(f"{_PARTIAL}{uuid.uuid4().hex}")
        self._parts: dict[int, Path] = {}

    def send(self, number: int, part: bytes) -> None:
        """See `Upload`."""
        with _translated("write", self._path.parent, self._key):
            path = self._partial.with_suffix(f".{number}")
            path.write_bytes(part)
            self._parts[number] = path

    def complete(self, replaces: str | None) -> str:
        """See `Upload`."""
        with _translated("write", self._path.parent, self._key):
            try:
                return self._complete(replaces)
            finally:
                self.abort()

    def _complete(self, replaces: str | None) -> str:
        (_, whole), *others = sorted(self._parts.items())
        with whole.open("ab") as stream:
            for _, part in others:
                stream.write(part.read_bytes())
                part.unlink()
            stream.flush()
            os.fsync(stream.fileno())
        with locked(self._path.parent):
            found = self._objects.state(self._key)
            if (found and found.etag) != replaces:
                raise ConditionFailedError(f"{self._key} has changed")
            whole.replace(self._path)
            return _state_of(self._path.stat()).etag

    def abort(self) -> None:
        """See `Upload`."""
        for path in self._parts.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, so that a condition on a file in it holds until its write."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder; none if there is no such folder."""

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for root, _, names in os.walk(folder, onerror=fail):
        yield from (path for path in map(Path(root).joinpath, names) if path.is_file())


def _state_of(found: os.stat_result) -> ObjectState:
    """Return the state of a file: one that replaces it has another inode, or a later time."""
    identity = f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
    return ObjectState(
        etag=hashlib.sha256(identity.encode()).hexdigest()[:32],
        size=found.st_size,
        modified=datetime.fromtimestamp(found.st_mtime, UTC),
    )


@contextmanager
def _translated(verb: str, directory: Path, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cause = error.strerror or type(error).__name__
        denied = isinstance(error, PermissionError)
        raise StoreError(f"cannot {verb} {key} in {directory}: {cause}", denied=denied) from error
