"""Verify blobs in a store, upload missing ones and replace damaged ones."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from shearling.bundle.digests import CHUNK_BYTES, Proof
from shearling.errors import IntegrityError, StoreError
from shearling.storage.blobs import blob_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shearling.bundle.digests import Descriptor
    from shearling.storage.store import Store

#: Number of ranges that are read in parallel, and so are in memory.
_PARALLEL = 8

#: Number of attempts while the store refuses a put although the key does not exist.
_UNDECIDED_LIMIT = 5

#: Number of retries of a put in one request that fails. Multipart uploads retry single parts.
_FAILURE_LIMIT = 3


def prove_blob(store: Store, file: Descriptor, advance: Callable[[int], object] = int) -> None:
    """Read a whole blob and compare its digest.

    Raises:
        IntegrityError: the blob is damaged or missing.
        StoreError: the blob cannot be read.
    """
    key = blob_key(file.hex)
    what = f"{file.path} ({key} in {store.uri})"
    size = store.size(key)
    if size != file.size:
        actual = "no such object" if size is None else f"{size} bytes"
        raise IntegrityError(what, expected=f"{file.size} bytes", actual=actual)
    proof = Proof(file)
    starts = range(0, size, CHUNK_BYTES)

    def read(start: int) -> memoryview:
        return store.read_range(key, start, min(start + CHUNK_BYTES, file.size))

    with ThreadPoolExecutor(_PARALLEL, "prove") as pool:
        for first in range(0, len(starts), _PARALLEL):
            for data in pool.map(read, starts[first : first + _PARALLEL]):
                proof.update(data)
                advance(len(data))
    if (digest := proof.digest()) != file.digest:
        raise IntegrityError(what, expected=file.digest, actual=digest)


def put_blob(
    store: Store, file: Descriptor, path: Path, advance: Callable[[int], object] = int
) -> int:
    """Upload a blob unless the store has it, and return the number of bytes sent.

    An existing blob is verified, by S3's checksum if it has one. A damaged blob is replaced if the
    store permits that.

    Raises:
        IntegrityError: the file has changed since it was described; or the blob is damaged and the
            store does not permit a replacement, and the message has the steps of the bucket's
            owner.
        StoreError: the store failed.
    """
    key = blob_key(file.hex)
    for attempt in range(_UNDECIDED_LIMIT):
        if store.size(key) is None:
            try:
                if store.upload(key, path, file, advance):
                    return file.size
            except StoreError as error:
                # The put may have succeeded although the connection broke or the store failed.
                is_over = error.denied or file.size > CHUNK_BYTES or attempt >= _FAILURE_LIMIT
                if is_over and store.size(key) is None:
                    raise
            continue  # refused or unknown: check which blob exists now
        try:
            _check_blob(store, file)
        except IntegrityError as damage:
            _repair(store, file, path, damage, advance)
            return file.size
        advance(file.size)
        return 0
    raise StoreError(
        f"cannot write {key} in {store.uri}: the store refused {_UNDECIDED_LIMIT} attempts "
        "although the key does not exist"
    )


def _check_blob(store: Store, file: Descriptor) -> None:
    """Verify a blob by S3's checksum if it has one, else by reading it."""
    key = blob_key(file.hex)
    expected = _expected_checksum(file)
    if store.size(key) != file.size or not expected or store.checksum(key) != expected:
        prove_blob(store, file)


def _expected_checksum(file: Descriptor) -> str:
    """Return the checksum that S3 has of a blob from `upload`; empty if it would prove nothing."""
    if not file.is_proven_by_ranges:
        return ""  # the checksum would prove only the chunks
    if not file.chunks:
        return base64.b64encode(bytes.fromhex(file.hex)).decode()
    if file.chunk_bytes != CHUNK_BYTES:
        return ""
    parts = b"".join(bytes.fromhex(chunk.removeprefix("sha256:")) for chunk in file.chunks)
    return f"{base64.b64encode(hashlib.sha256(parts).digest()).decode()}-{len(file.chunks)}"


def _repair(
    store: Store,
    file: Descriptor,
    path: Path,
    damage: IntegrityError,
    advance: Callable[[int], object],
) -> None:
    try:
        store.overwrite(blob_key(file.hex), path, file, advance)
    except StoreError as error:
        if not error.denied:
            raise
        raise damage.advised(_steps(store, file)) from error


def _steps(store: Store, file: Descriptor) -> str:
    """Return the steps with which the owner of a bucket restores a damaged blob."""
    key = blob_key(file.hex)
    if store.objects is None:
        return "the registry does not permit overwriting it: delete the file and push again"
    place = f"--bucket {store.objects.bucket} --key {store.objects.key(key)}"
    version = store.object_version(key) or "null"
    return (
        f"the bucket does not permit overwriting it, and its version {version} is damaged. The "
        "bucket's owner deletes that version, which restores the previous one: remove the "
        "statement RefuseToDeleteModels from the bucket's policy, run `aws s3api "
        f"delete-object {place} --version-id {version}`, and restore the policy. Then push again"
    )
