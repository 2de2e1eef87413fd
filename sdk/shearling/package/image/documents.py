"""The documents of an image as the OCI specification has them: index, manifest, descriptors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.bundle.json_reader import read_json
from shearling.errors import BundleError, PackageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.bundle.json_reader import Field
    from shearling.package.build_target import Architecture

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

_DOCKER = "application/vnd.docker"
MANIFESTS = (MANIFEST, f"{_DOCKER}.distribution.manifest.v2+json")
INDEXES = (INDEX, f"{_DOCKER}.distribution.manifest.list.v2+json")

#: Types of layers that can be read here, and the type that our manifest gives them: the bytes of
#: Docker's layers are those of OCI's.
LAYERS = {
    LAYER: LAYER,
    f"{_DOCKER}.image.rootfs.diff.tar.gzip": LAYER,
    "application/vnd.oci.image.layer.v1.tar": "application/vnd.oci.image.layer.v1.tar",
}

#: Maximum bytes of a document; registries accept manifests of 4 MiB.
DOCUMENT_BYTES = 4 * 1024 * 1024

#: Go's name of an architecture, as images have it.
PLATFORMS: dict[Architecture, str] = {"x86_64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Type, digest and size of a blob.

    Attributes:
        media_type: type of its content.
        digest: `sha256:<hex>` of its bytes.
        size: number of bytes.
    """

    media_type: str
    digest: str
    size: int

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.digest.removeprefix("sha256:")

    @classmethod
    def read(cls, field: Field) -> Descriptor:
        """Read a descriptor of a document."""
        return cls(
            media_type=field["mediaType"].text(),
            digest=field["digest"].digest(),
            size=field["size"].count(),
        )

    def document(self) -> dict[str, Any]:
        """Return the descriptor as a document has it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Configuration and layers of an image.

    Attributes:
        config: the configuration's blob.
        layers: the layers' blobs, the lowest first.
    """

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @classmethod
    def read(cls, data: bytes, what: str) -> Manifest:
        """Read a manifest, whose layers must be of a type that can be read here.

        Raises:
            PackageError: it is not such a manifest; the message begins with `what`.
        """
        with naming(what):
            document = read_json(data, "the manifest")
            layers = [Descriptor.read(field) for field in document["layers"].items()]
            config = Descriptor.read(document["config"])
        for layer in layers:
            if layer.media_type not in LAYERS:
                raise PackageError(
                    f"{what} has a layer of the type {layer.media_type:.100}, and only tar and "
                    "tar+gzip can be used. Choose another image, or convert this one with skopeo"
                )
        return cls(
            config=config,
            layers=tuple(
                Descriptor(media_type=LAYERS[each.media_type], digest=each.digest, size=each.size)
                for each in layers
            ),
        )

    def document(self) -> dict[str, Any]:
        """Return the manifest as a document."""
        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.config.document(),
            "layers": [layer.document() for layer in self.layers],
        }


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Turn the errors of a document's reader into PackageError, with the document's name."""
    try:
        yield
    except BundleError as error:
        raise PackageError(f"{what} cannot be read: {error}") from error


def is_index(data: bytes, what: str) -> bool:
    """Return whether a document lists the manifests of several platforms."""
    with naming(what):
        return "manifests" in read_json(data, "the manifest").expect(dict, "an object")


def choose_platform(data: bytes, architecture: Architecture, what: str) -> Descriptor:
    """Return the manifest of an architecture in an index.

    Raises:
        PackageError: there is none, or several; the message names those that there are.
    """
    wanted = f"linux/{PLATFORMS[architecture]}"
    found: dict[str, list[Descriptor]] = {}
    with naming(what):
        for field in read_json(data, "the index")["manifests"].items():
            platform = field.get("platform", {})
            names = platform.get("os", "linux").text(), platform.get("architecture", "?").text()
            descriptor = Descriptor.read(field)
            # An index of one image, as skopeo writes it, does not say for which platform it is.
            name = wanted if "?" in names else "/".join(names)
            if descriptor.media_type in (*MANIFESTS, *INDEXES):
                found.setdefault(name, []).append(descriptor)
    match found.get(wanted, []):
        case [descriptor]:
            return descriptor
        case []:
            have = ", ".join(sorted(found)) or "none"
            raise PackageError(f"{what} has no image for {wanted}; it has {have:.200}")
        case several:
            digests = ", ".join(each.digest for each in several[:3])
            raise PackageError(
                f"{what} has {len(several)} images for {wanted}. Choose one by its digest: "
                f"{digests}"
            )
