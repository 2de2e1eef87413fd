"""The image that ours is built on: fetch it, and find the Python in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shearling.bundle.digests import digest_of
from shearling.errors import IntegrityError, PackageError
from shearling.package.image.documents import (
    PLATFORMS,
    Manifest,
    choose_platform,
    is_index,
    naming,
)
from shearling.package.image.layout import LayoutDirectory
from shearling.package.image.reference import ImageReference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shearling.package.build_target import Architecture
    from shearling.package.image.documents import Descriptor
    from shearling.package.image.repository import Repository

#: Directories that are searched for Python if the image does not set PATH.
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"

#: The file of the C library that says its version, which it does not from 2.34 on. Wheels may need
#: up to 2.34, as Amazon Linux 2023 has it.
_OLD_GLIBC = re.compile(r"libc-(2\.\d+)\.so")
_MUSL = re.compile(r"ld-musl-\w+\.so\.1")

_WHITEOUT = ".wh."

#: Indexes in indexes that are followed.
_LEVELS = 3

Progress = Callable[[str], None]


class ImageSource(Protocol):
    """Where images are read from: a repository, or a directory."""

    def manifest(self, selector: str) -> bytes:
        """Return a manifest or an index by digest or tag."""
        ...

    def download(self, blob: Descriptor, path: Path) -> None:
        """Write a blob to a file."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """An image that was fetched.

    Attributes:
        name: its name as given, for messages.
        reference: its name in a registry; None if it is from a directory.
        digest: digest of its manifest.
        manifest: its manifest.
        config: its configuration.
        layers: the file of each layer by digest.
    """

    name: str
    reference: ImageReference | None
    digest: str
    manifest: Manifest
    config: dict[str, Any]
    layers: dict[str, Path]

    def python(self, version: str | None) -> tuple[str, str]:
        """Return version and path of the image's Python, as in `3.13` and `/usr/bin/python3.13`.

        Args:
            version: version to look for; None takes the newest.

        Raises:
            PackageError: the image has no such Python, or a C library that wheels do not run on.
        """
        files = self._files_of_interest()
        self._check_c_library(files)
        found: dict[str, str] = {}
        for directory in reversed(_path_of(self.config).split(":")):
            for name in files:
                parent, _, file = name.rpartition("/")
                match = re.fullmatch(r"python(3\.\d+)", file)
                if match and f"/{parent}" == directory.rstrip("/"):
                    found[match[1]] = f"/{name}"
        wanted = version or max(found, key=lambda text: int(text.partition(".")[2]), default="")
        if wanted not in found:
            have = ", ".join(sorted(found)) or "none"
            raise PackageError(
                f"{self.name} has no Python {wanted or '3'} on its PATH (it has {have}). Choose "
                "another --base, or another --python"
            )
        return wanted, found[wanted]

    def _files_of_interest(self) -> set[str]:
        """Return the paths of executables and C libraries, after all layers."""
        names: set[str] = set()
        for layer in self.manifest.layers:
            added, removed = _names_in(self.layers[layer.digest], self.name)
            names -= {
                name
                for name in names
                for gone in removed
                if name == gone or name.startswith(f"{gone}/")
            }
            names |= added
        return names

    def _check_c_library(self, files: Iterable[str]) -> None:
        for name in files:
            file = name.rpartition("/")[2]
            if _MUSL.fullmatch(file):
                raise PackageError(
                    f"{self.name} has the C library musl, which wheels for manylinux do not run "
                    "on. Choose a --base with glibc, such as Debian's or Amazon Linux's"
                )
            if (old := _OLD_GLIBC.fullmatch(file)) and int(old[1].partition(".")[2]) < 34:  # noqa: PLR2004
                raise PackageError(
                    f"{self.name} has glibc {old[1]}, and wheels may need 2.34. Choose a newer "
                    "--base, such as Debian 12 or Amazon Linux 2023"
                )


def fetch_base(
    name: str,
    architecture: Architecture,
    *,
    open_repository: Callable[[ImageReference], Repository],
) -> BaseImage:
    """Fetch an image for an architecture, with its layers.

    Args:
        name: name of an image in a registry, or a directory in OCI's layout; both may end in
            `@sha256:...`.
        architecture: architecture of the image.
        open_repository: returns the repository of a reference.

    Raises:
        PackageError: there is no such image, or it cannot be used.
        IntegrityError: its bytes are not what its digests name.
    """
    source, reference, selector = _source(name, open_repository)
    data = source.manifest(selector)
    for _ in range(_LEVELS):
        if not is_index(data, name):
            break
        data = source.manifest(choose_platform(data, architecture, name).digest)
    manifest = Manifest.read(data, name)
    config = _config(_cached(source, manifest.config).read_bytes(), manifest, name)
    if (has := config.get("architecture")) != PLATFORMS[architecture]:
        raise PackageError(f"{name} is for {has!s:.40}, not for {PLATFORMS[architecture]}")
    layers = {layer.digest: _cached(source, layer) for layer in manifest.layers}
    return BaseImage(
        name=name,
        reference=reference,
        digest=digest_of(data),
        manifest=manifest,
        config=config,
        layers=layers,
    )


def _source(
    name: str, open_repository: Callable[[ImageReference], Repository]
) -> tuple[ImageSource, ImageReference | None, str]:
    directory, _, digest = name.partition("@")
    if Path(directory).is_dir() or name.startswith((".", "/")):
        return LayoutDirectory(Path(directory)), None, digest or "latest"
    reference = ImageReference.parse(name)
    return open_repository(reference), reference, reference.selector


def _cached(source: ImageSource, blob: Descriptor) -> Path:
    """Return the file of a blob in the cache, after fetching it if it is missing."""
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    directory = Path(root, "shearling", "images", "sha256")
    path = directory / blob.hex
    if path.is_file() and _digest_of_file(path) == blob.digest:
        return path
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f".{blob.hex}.{os.getpid()}"
    try:
        source.download(blob, partial)
        if (digest := _digest_of_file(partial)) != blob.digest:
            raise IntegrityError(f"blob {blob.hex}", expected=blob.digest, actual=digest)
        partial.replace(path)  # under its name only after it was verified
    finally:
        partial.unlink(missing_ok=True)
    return path


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _config(data: bytes, manifest: Manifest, name: str) -> dict[str, Any]:
    """Return an image's configuration, whose list of layers has the length of the manifest's."""
    from shearling.bundle.json_reader import Field, read_json

    with naming(name):
        field = read_json(data, "the configuration")
        document: dict[str, Any] = field.expect(dict, "an object")
        ids = [each.digest() for each in field["rootfs"]["diff_ids"].items()]
        # Builders write null where there is nothing.
        settings = Field(document.get("config") or {}, "config").expect(dict, "an object")
        Field(settings.get("Labels") or {}, "config.Labels").expect(dict, "an object")
        for variable in Field(settings.get("Env") or [], "config.Env").items():
            variable.text()
    if len(ids) != len(manifest.layers):
        raise PackageError(
            f"{name}: {len(manifest.layers)} layers, but {len(ids)} in its configuration"
        )
    return document


def _path_of(config: dict[str, Any]) -> str:
    environment = (config.get("config") or {}).get("Env") or []
    paths = [entry.partition("=")[2] for entry in environment if entry.startswith("PATH=")]
    return paths[-1] if paths else _DEFAULT_PATH


def _names_in(layer: Path, image: str) -> tuple[set[str], set[str]]:
    """Return the names of interest that a layer adds, and the paths that it removes."""
    added, removed = set(), set()
    try:
        with tarfile.open(layer, "r:*") as archive:
            for entry in archive:
                name = entry.name.removeprefix("./").strip("/")
                parent, _, file = name.rpartition("/")
                if file.startswith(_WHITEOUT):
                    # `.wh..wh..opq` hides all that lower layers have in the directory.
                    hidden = file.removeprefix(_WHITEOUT)
                    removed.add(parent if hidden == ".wh..opq" else f"{parent}/{hidden}".strip("/"))
                elif file.startswith(("python3.", "libc-2.", "ld-musl-")):
                    added.add(name)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise PackageError(
            f"a layer of {image} is not a tar: {json.dumps(str(error))[:200]}"
        ) from error
    return added, removed
