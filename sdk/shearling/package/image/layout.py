"""Images on disk, in OCI's layout: read one from a directory, write one to a tar."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import canonical_json
from shearling.bundle.digests import digest_of
from shearling.errors import IntegrityError, PackageError
from shearling.package.image.documents import DOCUMENT_BYTES, INDEX, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shearling.package.image.documents import Descriptor

_BLOBS = "blobs/sha256"
_LAYOUT = {"imageLayoutVersion": "1.0.0"}


class LayoutDirectory:
    """A directory in OCI's layout, as `skopeo copy ... oci:DIRECTORY` writes it.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def manifest(self, selector: str) -> bytes:
        """Return a manifest or an index by digest, or the layout's own index for `latest`.

        Raises:
            PackageError: the directory has none, or is none.
            IntegrityError: it is not what the digest names.
        """
        is_digest = selector.startswith("sha256:")
        path = self._blob(selector) if is_digest else self._path / "index.json"
        try:
            with path.open("rb") as stream:
                data = stream.read(DOCUMENT_BYTES + 1)
        except OSError as error:
            raise PackageError(
                f"{self._path} has no image {selector:.80} ({path.name}: {error.strerror}). "
                "Expected a directory as `skopeo copy docker://... oci:DIRECTORY` writes it"
            ) from error
        if len(data) > DOCUMENT_BYTES:
            raise PackageError(f"{path} has more than {DOCUMENT_BYTES:,} bytes")
        if is_digest and digest_of(data) != selector:
            raise IntegrityError(str(path), expected=selector, actual=digest_of(data))
        return data

    def download(self, blob: Descriptor, path: Path) -> None:
        """Copy a blob to a file; whoever reads it verifies it.

        Raises:
            PackageError: the directory does not have it.
        """
        try:
            shutil.copyfile(self._blob(blob.digest), path)
        except OSError as error:
            raise PackageError(
                f"{self._path} lacks the blob {blob.digest}: {error.strerror}"
            ) from error

    def _blob(self, digest: str) -> Path:
        return self._path / _BLOBS / digest.removeprefix("sha256:")


def write_image_tar(
    output: Path,
    manifest: bytes,
    blobs: Mapping[str, Path | bytes],
    *,
    config: str,
    layers: list[str],
) -> None:
    """Write an image to a tar that `skopeo`, `podman load` and `docker load` read.

    Args:
        output: the tar; it appears whole or not at all.
        manifest: the image's manifest.
        blobs: file or bytes of each blob by digest, of the configuration and the layers.
        config: digest of the configuration.
        layers: digests of the layers, the lowest first.
    """
    digest = digest_of(manifest)
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{"mediaType": MANIFEST, "digest": digest, "size": len(manifest)}],
    }
    # What `docker load` read before it knew OCI's layout.
    docker = [{"Config": _key(config), "RepoTags": None, "Layers": [_key(each) for each in layers]}]
    contents: dict[str, Path | bytes] = {
        "oci-layout": canonical_json(_LAYOUT),
        "index.json": canonical_json(index),
        "manifest.json": json.dumps(docker).encode(),
        _key(digest): manifest,
        **{_key(name): content for name, content in blobs.items()},
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
            for name in ("blobs", _BLOBS):
                directory = tarfile.TarInfo(name)
                directory.type, directory.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(directory)
            for name in sorted(contents):
                _add(archive, name, contents[name])
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def _key(digest: str) -> str:
    return f"{_BLOBS}/{digest.removeprefix('sha256:')}"


def _add(archive: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    entry: Any = tarfile.TarInfo(name)
    if isinstance(content, bytes):
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    else:
        entry.size = content.stat().st_size
        with content.open("rb") as stream:
            archive.addfile(entry, stream)
