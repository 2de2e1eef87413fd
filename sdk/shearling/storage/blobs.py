"""Copy blobs into a flat directory, in parallel ranges, each proven before it is written."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.bundle.digests import digest_of
from shearling.bundle.manifest import Manifest
from shearling.errors import IntegrityError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from shearling.bundle.digests import Descriptor
    from shearling.refs import Pin
    from shearling.storage.store import Store

#: Where blobs lie below the root of a registry, of a cache and of a mounted file system.
BLOBS = "blobs/sha256"

#: Ranges under way at once; eight of 8 MiB reach a function's network limit.
_PARALLEL = 8

#: EFBIG too: an account's limit on the size of one file.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class NoRoomError(StoreError):
    """The directory has no room for a blob, and what was written of it is gone again."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch did.

    Attributes:
        size_bytes: that came over the network; what was there already did not.
        verify_seconds: spent on hashing, summed over the threads.
    """

    size_bytes: int
    verify_seconds: float


def blob_key(hex_digest: str) -> str:
    """Return the key of a blob in the registry."""
    return f"{BLOBS}/{hex_digest}"


def fetch_blobs(
    store: Store,
    files: Iterable[Descriptor],
    directory: Path,
    advance: Callable[[int], object] = int,
    *,
    durable: bool = True,
) -> Fetched:
    """Bring every file's blob to `directory/<hex>`; what is there already is not fetched.

    A blob appears under its name only once all of its bytes are proven and on disk, so that a name
    is a promise to every process that shares the directory. A fetch that was cut off is resumed:
    the chunks that it left, and that are proven, are kept.

    Args:
        store: where the blobs are.
        files: what to bring.
        directory: created if missing.
        advance: told the number of bytes of each range as it is done.
        durable: whether the directory outlives the machine. A function's /tmp does not, and
            flushing it to disk would cost a large part of the start.

    Raises:
        IntegrityError: a blob is not the bytes that were pushed.
        StoreError: a blob is missing, or the directory has no room.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {directory}: {error.strerror}") from error
    missing = {file.hex: file for file in files if not _is_there(directory, file)}
    with ExitStack() as stack:
        targets = [
            stack.enter_context(_whole_or_nothing(directory / name, file, durable=durable))
            for name, file in missing.items()
        ]
        parts = [_Part(store, target, *part) for target in targets for part in target.file.ranges()]
        # The threads end before the targets are closed.
        with ThreadPoolExecutor(min(_PARALLEL, len(parts) or 1), "fetch") as pool:
            done = [pool.submit(part.bring, advance) for part in parts]
            try:
                fetched = [future.result() for future in done]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return Fetched(
        sum(one.size_bytes for one in fetched), sum(one.verify_seconds for one in fetched)
    )


def staged_manifest(directory: Path, pin: Pin) -> Manifest | None:
    """Return the manifest of a bundle that lies whole in a directory, or None.

    Its bytes were proven when they were put there; its sizes are checked now.
    """
    try:
        data = (directory / pin.hex).read_bytes()
    except OSError:
        return None
    if digest_of(data) != pin.digest:
        return None
    manifest = Manifest.from_bytes(data)
    is_whole = all(_is_there(directory, file) for file in manifest.files)
    return manifest if is_whole else None


def _is_there(directory: Path, file: Descriptor) -> bool:
    try:
        return (directory / file.hex).stat().st_size == file.size
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Target:
    """The file that a blob is written to, until it is whole.

    Attributes:
        is_resumed: whether an earlier fetch may have left chunks in it.
    """

    file: Descriptor
    descriptor: int
    is_resumed: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A range of a blob that can be proven alone."""

    store: Store
    target: _Target
    start: int
    end: int
    digest: str

    def bring(self, advance: Callable[[int], object]) -> Fetched:
        """Fetch, prove and write the range, unless a proven one is there."""
        size = self.end - self.start
        if self.target.is_resumed and self._is_proven(os.pread(*self._place())):
            advance(size)
            return Fetched(0, 0.0)
        data = memoryview(b"")
        if size:
            key = blob_key(self.target.file.hex)
            data = self.store.read_range(key, self.start, self.end)
        started = time.perf_counter()
        self._prove(data)
        seconds = time.perf_counter() - started
        _write_at(self.target.descriptor, data, self.start)
        advance(size)
        return Fetched(size, seconds)

    def _place(self) -> tuple[int, int, int]:
        return self.target.descriptor, self.end - self.start, self.start

    def _is_proven(self, data: bytes) -> bool:
        return len(data) == self.end - self.start and digest_of(data) == self.digest

    def _prove(self, data: memoryview) -> None:
        file = self.target.file
        what = f"{file.path} ({blob_key(file.hex)} in {self.store.uri}), from byte {self.start},"
        if len(data) != self.end - self.start:
            raise IntegrityError(
                what, expected=f"{self.end - self.start} bytes", actual=f"{len(data)} bytes"
            )
        if (actual := digest_of(data)) != self.digest:
            raise IntegrityError(what, expected=self.digest, actual=actual)


@contextmanager
def _whole_or_nothing(path: Path, file: Descriptor, *, durable: bool) -> Iterator[_Target]:
    """Yield a file of the full size that takes the name `path` only if the block succeeds."""
    partial, descriptor = _abandoned(path) or _new(path)
    try:
        # Locked as long as somebody writes it: an abandoned one can be told from a busy one.
        is_resumed = os.fstat(descriptor).st_size == file.size > 0
        if not is_resumed:
            os.ftruncate(descriptor, 0)
            _check_room(path.parent, file.size)
            # Not posix_fallocate: a network file system emulates it, by writing every block.
            os.ftruncate(descriptor, file.size)
        yield _Target(file, descriptor, is_resumed)
        if durable:
            os.fsync(descriptor)
        partial.rename(path)
    except (IntegrityError, NoRoomError):
        # Kept, it could not be resumed, or would take the room that everybody lacks.
        partial.unlink(missing_ok=True)
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            partial.unlink(missing_ok=True)
        kind = NoRoomError if error.errno in _NO_ROOM else StoreError
        raise kind(f"cannot write {file.path} to {path.parent}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _new(path: Path) -> tuple[Path, int]:
    while True:
        # A name of its own: two processes never write one file, whatever locks are worth here.
        name = f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial"
        descriptor = os.open(path.with_name(name), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # taken for abandoned before it was locked: it is theirs now
            os.close(descriptor)
            continue
        except OSError:
            pass  # no locks here: nobody will take it for abandoned
        return path.with_name(name), descriptor


def _abandoned(path: Path) -> tuple[Path, int] | None:
    """Take over what a process that is gone has left of a blob."""
    for partial in path.parent.glob(f"{path.name}.*.partial"):
        try:
            descriptor = os.open(partial, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its writer may have finished, and renamed it, between the listing and the lock.
            if os.fstat(descriptor).st_ino == partial.stat().st_ino:
                return partial, descriptor
        except OSError:
            pass
        os.close(descriptor)
    return None


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written


def _check_room(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise NoRoomError(
            f"{directory} has {free / 1e6:,.0f} MB free, and a file of the bundle needs "
            f"{needed / 1e6:,.0f} MB"
        )
