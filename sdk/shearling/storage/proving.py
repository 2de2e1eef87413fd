"""Prove that blobs in a store are what their names say, and put those that are missing there."""

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

#: Ranges that are read at once, and so are in memory.
_PARALLEL = 8

#: How often a put is tried again when the store refuses and yet nothing is there.
_UNDECIDED_LIMIT = 5


#: How often one put is tried again that fails, and nothing is there. Parts are tried one by one.
_FAILURE_LIMIT = 3


def prove_blob(store: Store, file: Descriptor, advance: Callable[[int], object] = int) -> None:
    """Read all of a blob, and refuse it if it is not what its name says.

    Raises:
        IntegrityError: it has other bytes, or none.
        StoreError: it cannot be read.
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
    """Have a store hold a blob, and return how many bytes were sent for it.

    One that is there is proven, by S3's checksum if there is one. One that is damaged is replaced,
    if the store permits.

    Raises:
        IntegrityError: the file has changed since it was described; or the blob is damaged, and
            the store permits no repair: the message has what the bucket's owner does.
        StoreError: the store failed.
    """
    key = blob_key(file.hex)
    for attempt in range(_UNDECIDED_LIMIT):
        if store.size(key) is None:
            try:
                if store.upload(key, path, file, advance):
                    return file.size
            except StoreError as error:
                # The connection broke, or the store failed: the put may have landed all the same.
                is_over = error.denied or file.size > CHUNK_BYTES or attempt >= _FAILURE_LIMIT
                if is_over and store.size(key) is None:
                    raise
            continue  # refused, or not known: look what is there
        try:
            _check_blob(store, file)
        except IntegrityError as damage:
            _repair(store, file, path, damage, advance)
            return file.size
        advance(file.size)
        return 0
    raise StoreError(f"{key} in {store.uri} is refused, though nothing is there")


def _check_blob(store: Store, file: Descriptor) -> None:
    """As `prove_blob`, without reading what S3 has a checksum of."""
    key = blob_key(file.hex)
    expected = _expected_checksum(file)
    if store.size(key) != file.size or not expected or store.checksum(key) != expected:
        prove_blob(store, file)


def _expected_checksum(file: Descriptor) -> str:
    """Return what S3 has as the checksum of a blob that `upload` put there; empty if none fits."""
    if not file.is_proven_by_ranges:
        return ""  # it would prove the chunks alone
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
    """Return what the owner of a bucket does about a damaged blob."""
    key = blob_key(file.hex)
    if store.objects is None:
        return "the registry does not permit to overwrite it: remove the file and push again"
    place = f"--bucket {store.objects.bucket} --key {store.objects.key(key)}"
    version = store.object_version(key) or "null"
    return (
        f"the bucket does not permit to overwrite it, and its version {version} is wrong. The "
        "bucket's owner removes that version, which brings back the one before: with the "
        "statement RefuseToDeleteModels out of the bucket's policy for that time, `aws s3api "
        f"delete-object {place} --version-id {version}`. Then push again"
    )
