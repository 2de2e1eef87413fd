"""Fetch blobs into a flat directory in parallel ranges, verifying each range before writing it."""

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

from shearling.bundle.digests import CHUNK_BYTES, Proof, digest_of
from shearling.bundle.manifest import Manifest
from shearling.errors import IntegrityError, StoreError
from shearling.storage.marks import is_marked, mark
from shearling.storage.partial_files import remove_abandoned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from shearling.bundle.digests import Descriptor
    from shearling.refs import Pin
    from shearling.storage.store import Store

#: Folder of the blobs below the root of a registry, a cache and a mounted file system.
BLOBS = "blobs/sha256"

#: Number of parallel requests; eight of 8 MiB each reach a function's network limit.
_PARALLEL = 8

#: Error numbers of a full directory. EFBIG is the file system's limit on the size of one file.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class NoRoomError(StoreError):
    """The directory has no space for a blob; the partly written file was deleted."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of a fetch.

    Attributes:
        size_bytes: number of bytes that were downloaded, without those that were present before.
        verify_seconds: seconds spent on hashing, summed over the threads.
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
    shared: bool = True,
) -> Fetched:
    """Fetch the blob of every file to `directory/<hex>`, except blobs that are present.

    A blob gets its name only after all of its bytes are verified and on disk, so every process
    that shares the directory can trust the name. An interrupted fetch is resumed: chunks of an
    earlier fetch are kept if they pass verification.

    Args:
        store: store to fetch from.
        files: descriptors of the files to fetch.
        directory: target directory; it is created if it is missing.
        advance: called with the number of bytes of each range after it is written.
        durable: whether to flush the files to disk. A function's /tmp is lost with the function,
            and flushing it would take a large part of the cold start.
        shared: whether files of other bundles, or of versions that verify less, can be in the
            directory. If so, a file that is present without a mark is verified, and a file with
            chunks of schema 1 is also hashed as a whole. A directory for one manifest needs
            neither, because the manifest's digest pins the chunks.

    Raises:
        IntegrityError: the bytes of a blob differ from the pushed ones.
        StoreError: a blob is missing, or the directory cannot be written or has no space.
    """
    remove_abandoned(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create {directory}: {error.strerror}") from error
    missing = {
        file.hex: file
        for file in files
        if not _is_present(directory, file, shared=shared)
        and not (shared and _verify_in_place(directory / file.hex, file, advance))
    }
    options = _FetchOptions(store.uri, advance, durable=durable, shared=shared)
    with ExitStack() as stack:
        targets = [
            stack.enter_context(_atomic_file(directory / name, file, options))
            for name, file in missing.items()
        ]
        parts = [_Part(store, target, *part) for target in targets for part in target.file.ranges()]
        # The inner `with` ends the threads before the outer one closes the files.
        with ThreadPoolExecutor(min(_PARALLEL, len(parts) or 1), "fetch") as pool:
            futures = [pool.submit(part.fetch, advance) for part in parts]
            try:
                results = [future.result() for future in futures]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return Fetched(
        sum(result.size_bytes for result in results),
        sum(result.verify_seconds for result in results),
    )


def staged_manifest(directory: Path, pin: Pin, *, verify: bool = False) -> Manifest | None:
    """Return the manifest of a bundle if all of its blobs are in a directory, else None.

    The digest of the manifest and the sizes of the files are checked. The files' digests were
    verified when their marks were written.

    Args:
        directory: directory of blobs.
        pin: the bundle to look for.
        verify: whether to verify files without a mark now, as in a function's package.
    """
    try:
        data = (directory / pin.hex).read_bytes()
    except OSError:
        return None
    if digest_of(data) != pin.digest:
        return None
    manifest = Manifest.from_bytes(data)
    is_complete = all(
        _is_present(directory, file, shared=True)
        or (verify and _verify_in_place(directory / file.hex, file))
        for file in manifest.files
    )
    return manifest if is_complete else None


def _is_present(directory: Path, file: Descriptor, *, shared: bool) -> bool:
    path = directory / file.hex
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_size == file.size and (not shared or is_marked(path, status))


def _verify_in_place(path: Path, file: Descriptor, advance: Callable[[int], object] = int) -> bool:
    """Verify a file without a mark and mark it; it is neither moved nor changed."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        before = os.fstat(descriptor)
        if before.st_size != file.size or _digest_as(file, descriptor, advance) != file.digest:
            return False
        mark(path, before)
    except OSError as error:
        raise StoreError(f"cannot verify {file.path} in {path.parent}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return True


def _digest_as(file: Descriptor, descriptor: int, advance: Callable[[int], object]) -> str:
    """Return the digest of an open file, of the kind that the descriptor has."""
    proof = Proof(file)
    buffer = bytearray(min(CHUNK_BYTES, file.size))
    start = 0
    while size := os.preadv(descriptor, [buffer], start):
        proof.update(memoryview(buffer)[:size])
        start += size
        advance(0)  # may raise to stop
    return proof.digest()


@dataclass(frozen=True, slots=True)
class _FetchOptions:
    """The source of a fetch, and the options of `fetch_blobs`."""

    source: str
    advance: Callable[[int], object]
    durable: bool
    shared: bool


@dataclass(frozen=True, slots=True)
class _Target:
    """The partial file that a blob is written to.

    Attributes:
        file: descriptor of the blob.
        descriptor: file descriptor of the partial file.
        is_resumed: whether the file may contain chunks of an earlier fetch.
    """

    file: Descriptor
    descriptor: int
    is_resumed: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A range of a blob that has its own digest."""

    store: Store
    target: _Target
    start: int
    end: int
    digest: str

    def fetch(self, advance: Callable[[int], object]) -> Fetched:
        """Fetch, verify and write the range, unless the file already has its bytes."""
        size = self.end - self.start
        if self.target.is_resumed and self._is_valid(os.pread(*self._place())):
            advance(size)
            return Fetched(0, 0.0)
        data = memoryview(b"")
        if size:
            key = blob_key(self.target.file.hex)
            data = self.store.read_range(key, self.start, self.end)
        started = time.perf_counter()
        self._verify(data)
        seconds = time.perf_counter() - started
        _write_at(self.target.descriptor, data, self.start)
        advance(size)
        return Fetched(size, seconds)

    def _place(self) -> tuple[int, int, int]:
        return self.target.descriptor, self.end - self.start, self.start

    def _is_valid(self, data: bytes) -> bool:
        return len(data) == self.end - self.start and digest_of(data) == self.digest

    def _verify(self, data: memoryview) -> None:
        file = self.target.file
        what = f"{file.path} ({blob_key(file.hex)} in {self.store.uri}), from byte {self.start},"
        if len(data) != self.end - self.start:
            raise IntegrityError(
                what, expected=f"{self.end - self.start} bytes", actual=f"{len(data)} bytes"
            )
        if (actual := digest_of(data)) != self.digest:
            raise IntegrityError(what, expected=self.digest, actual=actual)


@contextmanager
def _atomic_file(path: Path, file: Descriptor, options: _FetchOptions) -> Iterator[_Target]:
    """Yield a partial file of the full size; rename it to `path` if the block succeeds."""
    # The writer holds a lock on the partial file, so an abandoned file is one without a lock.
    partial, descriptor = _open_abandoned(path) or _open_new(path)
    try:
        is_resumed = os.fstat(descriptor).st_size == file.size > 0
        if not is_resumed:
            os.ftruncate(descriptor, 0)
            _check_room(path.parent, file.size)
            # posix_fallocate would be slow: network file systems emulate it by writing each block.
            os.ftruncate(descriptor, file.size)
        yield _Target(file, descriptor, is_resumed)
        if options.shared and not file.is_proven_by_ranges:
            _verify_whole(file, descriptor, options)
        if options.durable:
            os.fsync(descriptor)
        partial.rename(path)
        if options.shared:
            mark(path, os.fstat(descriptor))
    except (IntegrityError, NoRoomError):
        # Corrupt bytes cannot be resumed, and a full file system needs the space.
        partial.unlink(missing_ok=True)
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            partial.unlink(missing_ok=True)
        kind = NoRoomError if error.errno in _NO_ROOM else StoreError
        raise kind(f"cannot write {file.path} to {path.parent}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _verify_whole(file: Descriptor, descriptor: int, options: _FetchOptions) -> None:
    if (actual := _digest_as(file, descriptor, options.advance)) != file.digest:
        what = f"{file.path} ({blob_key(file.hex)} in {options.source})"
        raise IntegrityError(what, expected=file.digest, actual=actual)


def _open_new(path: Path) -> tuple[Path, int]:
    while True:
        # The name is unique, so two processes never write one file, even where locks do not work.
        name = f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial"
        descriptor = os.open(path.with_name(name), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process took it over before the lock
            os.close(descriptor)
            continue
        except OSError:
            pass  # no locks on this file system, so no process takes over partial files
        return path.with_name(name), descriptor


def _open_abandoned(path: Path) -> tuple[Path, int] | None:
    """Lock and open a partial file of the blob whose writer has ended, if there is one."""
    for partial in path.parent.glob(f"{path.name}.*.partial"):
        try:
            descriptor = os.open(partial, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The writer may have renamed the file between the listing and the lock.
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
            f"{directory} has {free / 1e6:,.0f} MB free, but a file of the bundle needs "
            f"{needed / 1e6:,.0f} MB"
        )
