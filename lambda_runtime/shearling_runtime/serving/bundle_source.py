"""Discover the bundle: on the mounted file system, in the package, or fetched to /tmp."""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from shearling.storage.blobs import BLOBS, staged_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle.manifest import Manifest
    from shearling.refs import Pin
    from shearling_runtime.settings import Settings
    from shearling_runtime.telemetry import StartupTimings

#: How much is read at once, and by how many.
_PART_BYTES = 8 * 2**20
_READERS = 2


def locate_bundle(settings: Settings, pin: Pin, startup: StartupTimings) -> tuple[Manifest, Path]:
    """Return the bundle's manifest and a directory in which its proven blobs lie.

    Raises:
        BundleError: it is not the bundle that is pinned, or one that this version cannot read.
        StoreError: it cannot be fetched.
    """
    for root in (settings.mount, settings.package):
        if root and (manifest := staged_manifest(root / BLOBS, pin)):
            startup.note(source=str(root))
            if root == settings.mount:
                read_ahead(root / BLOBS, manifest, settings.memory_mb)
            return manifest, root / BLOBS
    return _fetch(settings, pin, startup)


def read_ahead(directory: Path, manifest: Manifest, memory_mb: int) -> list[Thread]:
    """Begin to read a bundle's files into the page cache; return the threads that do.

    Left to the page faults, mapped weights come over the network in small reads, one after the
    other: with 1 ms for each read, the first answer of a 500 MB model takes 2.7 times as long as
    with two threads that read ahead; asking the kernel (WILLNEED) changes nothing. On a local disk
    it makes no difference. Files that fill memory would only drive each other out.
    """
    if 2 * manifest.size > memory_mb * 2**20:
        return []
    paths = [directory / file.hex for file in manifest.files]
    largest = max(file.size for file in manifest.files)
    part_bytes = min(_PART_BYTES, largest)
    firsts = range(0, largest, _PART_BYTES)[:_READERS]
    threads = [Thread(target=_read, args=(paths, i, part_bytes), daemon=True) for i in firsts]
    for thread in threads:
        thread.start()
    return threads


def _read(paths: list[Path], first: int, part_bytes: int) -> None:
    buffer = bytearray(part_bytes)
    for path in paths:
        # Whatever is wrong, the model's own reads will tell.
        with suppress(OSError), path.open("rb", buffering=0) as stream:
            # In turns, so that all threads are just ahead of the page faults.
            start = first
            while os.preadv(stream.fileno(), [buffer], start):
                start += _READERS * _PART_BYTES


def _fetch(settings: Settings, pin: Pin, startup: StartupTimings) -> tuple[Manifest, Path]:
    with startup.step("resolve"):
        from shearling.registry.registry import Registry
        from shearling.storage.blobs import NoRoomError

        registry = Registry(settings.registry)
        manifest = registry.manifest(pin)
    directory = settings.scratch / "shearling" / BLOBS
    with startup.step("fetch") as step:
        try:
            fetched = registry.fetch(manifest, directory, durable=False)
        except NoRoomError as error:
            raise NoRoomError(f"{error}: give the function more `ephemeral_storage_mb`") from error
        # Hashing happens in the fetching threads, while others wait for the network.
        step |= {"bytes": fetched.size_bytes, "verify_ms": round(fetched.verify_seconds * 1000, 1)}
    startup.note(source=settings.registry)
    return manifest, directory
