"""What version 0.1 wrote: descriptors of schema 1, and files proven by their chunks alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shearling.bundle.digests import Descriptor, digest_of
from shearling.storage.blobs import blob_key
from tests.support.bundles import Bundle, scaling_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle.manifest import Manifest
    from shearling.refs import Pin
    from shearling.registry.registry import Registry


def in_schema_1(path: str, data: bytes, chunks_of: bytes | None = None) -> Descriptor:
    """Describe data in two chunks, or list the chunks of other bytes of that size."""
    listed = data if chunks_of is None else chunks_of
    half = -(-len(data) // 2)
    return Descriptor(
        path=path,
        digest=digest_of(data),
        size=len(data),
        chunk_bytes=half,
        chunks=(digest_of(listed[:half]), digest_of(listed[half:])),
    )


@dataclass(frozen=True, slots=True)
class Attack:
    """A version 1 that somebody approved, and a version 2 that names other bytes like its entry.

    Attributes:
        entry: of version 1.
        good: the entry's bytes.
        evil: as many bytes, of a model that answers otherwise; they lie under the entry's blob.
    """

    registry: Registry
    approved: Pin
    pushed: Pin
    entry: Descriptor
    good: bytes
    evil: bytes

    @classmethod
    def on(cls, registry: Registry, directory: Path, *, chunked: bool) -> Attack:
        """Push both, and overwrite the blob; the approved one's entry may have chunks itself."""
        bundle = scaling_bundle(directory, factor=2.0)
        good = bundle.files["model.onnx"].read_bytes()
        evil = scaling_bundle(directory, factor=-2.0).files["model.onnx"].read_bytes()
        assert len(good) == len(evil)
        entry = in_schema_1("model.onnx", good) if chunked else bundle.manifest.files[0]
        approved = publish(registry, bundle, entry)
        pushed = publish(registry, bundle, in_schema_1("model.onnx", good, chunks_of=evil))
        attack = cls(registry, approved, pushed, entry, good, evil)
        attack.put(evil)
        return attack

    def put(self, data: bytes) -> None:
        """Overwrite the blob that both versions name."""
        self.registry.store.write(blob_key(self.entry.hex), data)

    def as_version_0_1(self, directory: Path) -> Path:
        """Put the evil bytes under the name in a directory, as 0.1 did: it proved their chunks."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / self.entry.hex
        path.write_bytes(self.evil)
        return path


def publish(registry: Registry, bundle: Bundle, entry: Descriptor) -> Pin:
    """Publish a bundle with another descriptor of its entry, whose blob is there already or put."""
    manifest: Manifest = replace(bundle.manifest, files=(entry, *bundle.manifest.files[1:]))
    return registry.publish(manifest, bundle.files, {}).version.pin
