"""Digests of bytes, and the descriptor of a file: its path, digest, size and chunks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO


#: A file larger than this is fetched in parallel ranges, each proven by a digest of its own.
CHUNK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A file of a bundle: where it stands in the bundle, and which bytes it has.

    Attributes:
        path: relative, with `/` between its parts.
        digest: `sha256:<hex>` of the whole file.
        size: bytes.
        chunk_bytes: size of every chunk but the last, if the file has more than one; else 0.
        chunks: the digest of each chunk, in order.
    """

    path: str
    digest: str
    size: int
    chunk_bytes: int = 0
    chunks: tuple[str, ...] = ()

    @property
    def hex(self) -> str:
        """The digest without its algorithm: the blob's name."""
        return self.digest.removeprefix("sha256:")

    def ranges(self) -> Iterator[tuple[int, int, str]]:
        """Yield (start, end, digest) of each part that can be proven alone."""
        if not self.chunks:
            yield 0, self.size, self.digest
        for i, digest in enumerate(self.chunks):
            start = i * self.chunk_bytes
            yield start, min(start + self.chunk_bytes, self.size), digest


def digest_of(data: bytes | memoryview) -> str:
    """Return the digest of bytes: `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def describe(path: str, stream: BinaryIO, advance: Callable[[int], object] = int) -> Descriptor:
    """Read a file once and describe it, chunk digests included, for the bundle path `path`.

    Args:
        path: where the file stands in the bundle.
        stream: the file, opened for reading in binary.
        advance: told the number of bytes of every chunk read.
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
    if len(chunks) < 2:  # noqa: PLR2004 - one chunk is the file
        return Descriptor(path=path, digest=digest, size=size)
    return Descriptor(
        path=path, digest=digest, size=size, chunk_bytes=CHUNK_BYTES, chunks=tuple(chunks)
    )
