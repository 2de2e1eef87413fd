"""Copy blobs into a flat directory, in parallel ranges, each proven before it is written."""

from __future__ import annotations

import os
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shearling.bundle import digest_of
from shearling.errors import IntegrityError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from shearling.bundle import Descriptor
    from shearling.store import Store

#: Ranges under way at once; eight of 8 MiB reach a function's network limit.
_PARALLEL = 8


def blob_key(hex_digest: str) -> str:
    """Return the key of a blob in the registry."""
    return f"blobs/sha256/{hex_digest}"


def fetch_blobs(
    store: Store,
    files: Iterable[Descriptor],
    directory: Path,
    advance: Callable[[int], object] = int,
) -> int:
    """Bring every file's blob to `directory/<hex>`; what is there already is not fetched.

    A blob appears under its name only once all of its bytes are proven and on disk, so that a name
    is a promise to every process that shares the directory.

    Args:
        store: where the blobs are.
        files: what to bring.
        directory: created if missing.
        advance: told the number of bytes of each range as it arrives.

    Returns:
        Bytes that were fetched.

    Raises:
        IntegrityError: a blob is not the bytes that were pushed.
        StoreError: a blob is missing, or the directory has no room.
    """
    directory.mkdir(parents=True, exist_ok=True)
    missing = {file.hex: file for file in files if not _is_there(directory, file)}
    _check_room(directory, sum(file.size for file in missing.values()))
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch") as pool:
        for file in missing.values():
            _fetch_blob(store, file, directory, pool, advance)
    return sum(file.size for file in missing.values())


def _is_there(directory: Path, file: Descriptor) -> bool:
    try:
        return (directory / file.hex).stat().st_size == file.size
    except FileNotFoundError:
        return False


def _fetch_blob(
    store: Store,
    file: Descriptor,
    directory: Path,
    pool: ThreadPoolExecutor,
    advance: Callable[[int], object],
) -> None:
    key = blob_key(file.hex)
    size = store.size(key)
    if size != file.size:
        raise IntegrityError(
            f"{file.path} ({key} in {store.uri})",
            expected=f"{file.size} bytes",
            actual="no such blob" if size is None else f"{size} bytes",
        )

    with _whole_or_nothing(directory / file.hex, file.size) as target:

        def bring(part: tuple[int, int, str]) -> None:
            start, end, digest = part
            data = store.read_range(key, start, end) if end > start else memoryview(b"")
            actual = digest_of(data)
            if actual != digest:
                raise IntegrityError(
                    f"{file.path} ({key} in {store.uri}), bytes {start} to {end},",
                    expected=digest,
                    actual=actual,
                )
            _write_at(target, data, start)
            advance(end - start)

        for _ in pool.map(bring, file.ranges()):
            pass


@contextmanager
def _whole_or_nothing(path: Path, size: int) -> Iterator[int]:
    """Yield a descriptor of a preallocated file that takes `path` only if the block succeeds."""
    # The name is unique: locks lie on network file systems, a rename does not.
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    target = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        if size:
            os.posix_fallocate(target, 0, size)
        yield target
        os.fsync(target)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(target)


def _write_at(target: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(target, data, offset)
        data = data[written:]
        offset += written


def _check_room(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise StoreError(
            f"{directory} has {free / 1e6:,.0f} MB free, and the bundle needs "
            f"{needed / 1e6:,.0f} MB more: give the function more `ephemeral_storage_mb`"
        )
