"""Write a reproducible layer: its bytes depend only on the names and contents of the files."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO

from shearling.package.image.documents import LAYER, Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path, PurePosixPath

_LEVEL = 6  # as for zips
_NO_LINKS: Mapping[PurePosixPath, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of an image in a file.

    Attributes:
        path: the file.
        descriptor: type, digest and size of its compressed bytes.
        diff_id: digest of its uncompressed bytes, which the image's configuration lists.
    """

    path: Path
    descriptor: Descriptor
    diff_id: str


def write_layer(
    path: Path,
    root: Path,
    names: Iterable[PurePosixPath],
    *,
    prefix: PurePosixPath,
    links: Mapping[PurePosixPath, str] = _NO_LINKS,
) -> Layer:
    """Write files to a layer, owned by root and without times, in order of their names.

    Args:
        path: the file to write.
        root: directory of the files.
        names: paths of the files relative to `root`.
        prefix: directory of the files in the image, without a leading slash.
        links: target of each symbolic link below the prefix.
    """
    files = sorted(names)
    directories = {prefix / parent for name in files for parent in name.parents}
    with path.open("wb") as stream:
        zipped = _Hashing(stream)
        with gzip.GzipFile("", "wb", _LEVEL, zipped, mtime=0) as compressor:
            plain = _Hashing(compressor)
            with tarfile.open(mode="w|", fileobj=plain, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
                for directory in sorted(directories):
                    archive.addfile(_entry(directory, tarfile.DIRTYPE, 0o755))
                for name in files:
                    entry = _entry(prefix / name, tarfile.REGTYPE, _mode(name))
                    entry.size = (root / name).stat().st_size
                    with (root / name).open("rb") as content:
                        archive.addfile(entry, content)
                for name in sorted(links):
                    entry = _entry(prefix / name, tarfile.SYMTYPE, 0o777)
                    entry.linkname = links[name]
                    archive.addfile(entry)
    descriptor = Descriptor(media_type=LAYER, digest=zipped.digest, size=zipped.size)
    return Layer(path=path, descriptor=descriptor, diff_id=plain.digest)


class _Hashing:
    """A stream that counts and hashes what is written through it."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()


def _entry(name: PurePosixPath, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name.as_posix())
    entry.type, entry.mode = kind, mode
    return entry


def _mode(name: PurePosixPath) -> int:
    return 0o755 if ".so" in name.suffixes else 0o644
