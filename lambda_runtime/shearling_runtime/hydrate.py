"""Discover the bundle: on the mounted file system, in the package, or fetched to /tmp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.bundle import Manifest, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.ref import Pin
    from shearling_runtime.settings import Settings
    from shearling_runtime.telemetry import Ledger

#: Where blobs lie below any root: the same as in the registry.
BLOBS = "blobs/sha256"


def hydrate(settings: Settings, pin: Pin, ledger: Ledger) -> tuple[Manifest, Path]:
    """Return the bundle's manifest and a directory in which its proven blobs lie.

    Raises:
        BundleError: it is not the bundle that is pinned, or one that this version cannot read.
        StoreError: it cannot be fetched.
    """
    for root in (settings.mount, settings.package):
        if root and (manifest := staged_manifest(root / BLOBS, pin)):
            ledger.note(source=str(root))
            return manifest, root / BLOBS
    return _fetch(settings, pin, ledger)


def staged_manifest(directory: Path, pin: Pin) -> Manifest | None:
    """Return the manifest of a bundle that lies whole in a directory, or None.

    Its bytes were proven when they were put there; its sizes are checked now.
    """
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
        from shearling.fetch import NoRoomError
        from shearling.registry import Registry

        registry = Registry(settings.registry)
        manifest = registry.manifest(pin)
    directory = settings.scratch / "shearling" / BLOBS
    with ledger.step("fetch") as step:
        try:
            fetched = registry.fetch(manifest, directory, durable=False)
        except NoRoomError as error:
            raise NoRoomError(f"{error}: give the function more `ephemeral_storage_mb`") from error
        # Hashing happens in the fetching threads, while others wait for the network.
        step |= {"bytes": fetched.size_bytes, "verify_ms": round(fetched.verify_seconds * 1000, 1)}
    ledger.note(source=settings.registry)
    return manifest, directory
