"""SHA-256 digests, and descriptors of files: path, digest, size and chunk digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.bundle.canonical_json import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO


#: A larger file is fetched in parallel ranges of this size, each verified by its own digest.
CHUNK_BYTES = 8 * 1024 * 1024

#: Chunks that name a file are at least this large, and two or more. So the file is larger than the
#: text that its name is the digest of, and no other file has both that name and that size.
SMALLEST_CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Path, size and digests of one file of a bundle.

    Attributes:
        path: path relative to the bundle, with `/` as separator.
        digest: `sha256:<hex>` of the whole file; in schema 2, the `chunked_digest` of a file with
            chunks.
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

    @property
    def is_proven_by_ranges(self) -> bool:
        """Whether the name follows from what `ranges` yields.

        It does not for files with chunks in schema 1: whoever writes a manifest can list the chunks
        of other bytes there.
        """
        if not self.chunks:
            return True
        is_larger_than_name = len(self.chunks) > 1 and self.chunk_bytes >= SMALLEST_CHUNK
        return is_larger_than_name and self.digest == chunked_digest(
            self.size, self.chunk_bytes, self.chunks
        )

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


def chunked_digest(size: int, chunk_bytes: int, chunks: Iterable[str]) -> str:
    """Return the digest of a file in schema 2 that has chunks: it follows from theirs."""
    chunked = {"chunk_bytes": chunk_bytes, "chunks": list(chunks), "size": size}
    return digest_of(canonical_json(chunked))


class Proof:
    """The digest of a file's bytes, which come in order, of the kind that its descriptor has.

    Args:
        file: what the bytes are said to be.
    """

    def __init__(self, file: Descriptor) -> None:
        self._file = file
        self._is_chunked = bool(file.chunks) and file.is_proven_by_ranges
        self._hash = hashlib.sha256()
        self._chunks: list[str] = []
        self._size = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            left = len(view)
            if self._is_chunked:
                left = self._file.chunk_bytes - self._size % self._file.chunk_bytes
            part, view = view[:left], view[left:]
            self._hash.update(part)
            self._size += len(part)
            if self._is_chunked and self._size % self._file.chunk_bytes == 0:
                self._end_chunk()

    def digest(self) -> str:
        """Return the digest of all bytes taken, to be compared with the descriptor's."""
        if not self._is_chunked:
            return f"sha256:{self._hash.hexdigest()}"
        if self._size % self._file.chunk_bytes:
            self._end_chunk()
        return chunked_digest(self._size, self._file.chunk_bytes, self._chunks)

    def _end_chunk(self) -> None:
        self._chunks.append(f"sha256:{self._hash.hexdigest()}")
        self._hash = hashlib.sha256()


def describe(path: str, stream: BinaryIO, advance: Callable[[int], object] = int) -> Descriptor:
    """Read a file once and return its descriptor, with chunk digests.

    Args:
        path: path of the file in the bundle.
        stream: the file, opened in binary mode.
        advance: called with the number of bytes of each chunk after it is read.
    """
    chunks = []
    size = 0
    while chunk := stream.read(CHUNK_BYTES):
        chunks.append(digest_of(chunk))
        size += len(chunk)
        advance(len(chunk))
    if len(chunks) < 2:  # noqa: PLR2004 - a single chunk has the file's own digest
        return Descriptor(path=path, digest=chunks[0] if chunks else digest_of(b""), size=size)
    return Descriptor(
        path=path,
        digest=chunked_digest(size, CHUNK_BYTES, chunks),
        size=size,
        chunk_bytes=CHUNK_BYTES,
        chunks=tuple(chunks),
    )
