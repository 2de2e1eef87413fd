"""The place that the URI of a registry names.

Nothing of a URI is dropped: `#` and `?` are parts of names, and two URIs never name one place by
accident.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from shearling.errors import StoreError

_EXPECTED = "expected s3://bucket/prefix, a directory, or memory://name"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(.*)", re.IGNORECASE | re.DOTALL)
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

#: Characters that a `file:` URI encodes, lest another reader of it takes them for more than a name.
_ENCODED = {"%": "%25", "#": "%23", "?": "%3F"}


@dataclass(frozen=True, slots=True)
class S3Place:
    """A prefix in a bucket; the prefix has no slash at its ends, and may be empty."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class MemoryPlace:
    """A store of this process, by name."""

    name: str

    def __str__(self) -> str:
        return f"memory://{self.name}"


@dataclass(frozen=True, slots=True)
class DirectoryPlace:
    """A local directory, as an absolute path."""

    path: Path

    def __str__(self) -> str:
        return "file://" + "".join(_ENCODED.get(char, char) for char in str(self.path))


def parse_uri(uri: str) -> S3Place | MemoryPlace | DirectoryPlace:
    """Return the place that a URI or the path of a directory names.

    Args:
        uri: `s3://bucket/prefix`, `file:///directory`, a path, or `memory://name`.

    Raises:
        StoreError: the URI has another form, or names no place.
    """
    if _CONTROL.search(uri):
        raise StoreError(
            f"registry {uri!r:.80}: has a line break or another control character: remove it"
        )
    scheme, rest = _split(uri)
    _check_encoding(uri, scheme)
    if scheme == "s3" and rest.startswith("//"):
        return _s3_place(uri, rest[2:])
    if scheme == "memory" and rest.startswith("//"):
        return MemoryPlace(rest[2:])
    if scheme == "file" and rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise StoreError(
                f"registry {uri!r:.80}: {host!r} is read as a host: for a directory, write its "
                "path, or file:/// and its absolute path"
            )
        rest = slash + path
    if scheme not in ("", "file") or not rest:
        raise StoreError(f"registry {uri!r:.80}: {_EXPECTED}")
    try:
        return DirectoryPlace(Path(unquote(rest) if scheme else rest).expanduser().absolute())
    except (OSError, RuntimeError) as error:  # there is no such user, or no working directory
        raise StoreError(f"cannot use {uri!r:.80} as a registry: {error}") from error


def _split(uri: str) -> tuple[str, str]:
    """Return the scheme in lower case, empty for a path, and what follows it."""
    match = _SCHEME.fullmatch(uri)
    return (match[1].lower(), match[2]) if match else ("", uri)


def _check_encoding(uri: str, scheme: str) -> None:
    """Refuse a URI that is not Unicode; only the path of a directory may have any bytes.

    Raises:
        StoreError: a character cannot be encoded.
    """
    try:
        uri.encode() if scheme else os.fsencode(uri)
    except UnicodeEncodeError as error:
        character = uri[error.start]
        raise StoreError(
            f"registry {uri!a:.80}: {character!a} is half of a surrogate pair, which UTF-8 cannot "
            f"encode: {_EXPECTED}"
        ) from error


def _s3_place(uri: str, rest: str) -> S3Place:
    bucket, _, path = rest.partition("/")
    if not bucket:
        raise StoreError(f"registry {uri!r:.80}: {_EXPECTED}")
    if not _BUCKET.fullmatch(bucket):
        raise StoreError(
            f"registry {uri!r:.80}: {bucket!r} is not the name of a bucket: it has letters, "
            "digits, '.', '-' and '_'"
        )
    prefix = path.strip("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise StoreError(f"registry {uri!r:.80}: a part of the prefix is empty, '.' or '..'")
    return S3Place(bucket, prefix)
