"""SHA-256 digests, and descriptors of files: path, digest, size and chunk digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO


#: A larger file is fetched in parallel ranges of this size, each verified by its own digest.
CHUNK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Path, size and digests of one file of a bundle.

    Attributes:
        path: path relative to the bundle, with `/` as separator.
        digest: `sha256:<hex>` of the whole file.
        size: size in bytes.
        chunk_bytes: size in bytes of every chunk except the last; 0 for a file of one chunk.
        chunks: digest of each chunk, in order; empty for a file of one chunk.
    """

    path: str
    digest: str
    size: int
    chunk_bytes: int = 0
    chunks: tuple[str, ...] = ()

    @property
    def hex(self) -> str:
        """The digest without its algorithm, which is the blob's name."""
        return self.digest.removeprefix("sha256:")

    def ranges(self) -> Iterator[tuple[int, int, str]]:
        """Yield (start, end, digest) of each part of the file that has its own digest."""
        if not self.chunks:
            yield 0, self.size, self.digest
        for i, digest in enumerate(self.chunks):
            start = i * self.chunk_bytes
            yield start, min(start + self.chunk_bytes, self.size), digest


def digest_of(data: bytes | memoryview) -> str:
    """Return the digest of bytes as `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def describe(path: str, stream: BinaryIO, advance: Callable[[int], object] = int) -> Descriptor:
    """Read a file once and return its descriptor, with chunk digests.

    Args:
        path: path of the file in the bundle.
        stream: the file, opened in binary mode.
        advance: called with the number of bytes of each chunk after it is read.
    """
    whole = hashlib.sha256()
    chunks = []
    size = 0
    while chunk := stream.read(CHUNK_BYTES):
        whole.update(chunk)
        chunks.append(digest_of(chunk))
        size += len(chunk)
        advance(len(chunk))
    digest = f"sha256:{whole.hexdigest()}"
    if len(chunks) < 2:  # noqa: PLR2004 - a single chunk has the file's own digest
        return Descriptor(path=path, digest=digest, size=size)
    return Descriptor(
        path=path, digest=digest, size=size, chunk_bytes=CHUNK_BYTES, chunks=tuple(chunks)
    )
