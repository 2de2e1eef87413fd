"""Discover the bundle: on the mounted file system, in the package, or fetched to /tmp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.bundle import Manifest, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.ref import Pin
    from shearling_runtime.settings import Settings
    from shearling_runtime.telemetry import Ledger

_BLOBS = "blobs/sha256"


def hydrate(settings: Settings, pin: Pin, ledger: Ledger) -> tuple[Manifest, Path]:
    """Return the bundle's manifest and a directory in which its proven blobs lie.

    Raises:
        BundleError: it is not the bundle that is pinned, or one that this version cannot read.
        StoreError: it cannot be fetched.
    """
    for root in (settings.mount, settings.package):
        if root and (manifest := _staged(root / _BLOBS, pin)):
            ledger.note(source=str(root))
            return manifest, root / _BLOBS
    return _fetch(settings, pin, ledger)


def _staged(directory: Path, pin: Pin) -> Manifest | None:
    """Read a bundle that was staged: its bytes were proven then, its sizes are checked now."""
    try:
        data = (directory / pin.digest.removeprefix("sha256:")).read_bytes()
    except OSError:
        return None
    if digest_of(data) != pin.digest:
        return None
    manifest = Manifest.from_bytes(data)
    whole = all(_size(directory / file.hex) == file.size for file in manifest.files)
    return manifest if whole else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _fetch(settings: Settings, pin: Pin, ledger: Ledger) -> tuple[Manifest, Path]:
    with ledger.step("resolve"):
        from shearling.registry import Registry

        registry = Registry(settings.registry)
        manifest = registry.manifest(pin)
    directory = settings.scratch / "shearling" / _BLOBS
    with ledger.step("fetch") as step:
        fetched = registry.fetch(manifest, directory, durable=False)
        # Hashing happens in the fetching threads, while others wait for the network.
        step |= {"bytes": fetched.size_bytes, "verify_ms": round(fetched.verify_seconds * 1000, 1)}
    ledger.note(source=settings.registry)
    return manifest, directory
