"""The formats of scored objects, and how names and content types tell them."""

from __future__ import annotations

from typing import Literal, get_args

from shearling.errors import InvalidRequestError

Format = Literal["csv", "jsonl", "npy", "parquet", "image"]

#: Formats of sources.
SUPPORTED: tuple[Format, ...] = get_args(Format)

#: Formats of outputs.
OUTPUTS: tuple[Format, ...] = ("csv", "jsonl", "npy", "parquet")

#: Suffix of an object's key -> format. The first suffix of a format is that of outputs.
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".npy": "npy",
    ".parquet": "parquet",
    ".jpg": "image",
    ".jpeg": "image",
    ".png": "image",
    ".webp": "image",
}

#: Content type of a body -> format.
CONTENT_TYPES: dict[str, Format] = {
    "text/csv": "csv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/x-npy": "npy",
    "application/vnd.apache.parquet": "parquet",
}

_COMPRESSED = (".gz", ".zip", ".bz2", ".xz", ".zst")


def format_of(key: str) -> Format:
    """Return the format that a key's suffix names, in any case.

    Raises:
        InvalidRequestError: the suffix names none.
    """
    name = key.rsplit("/", 1)[-1].lower()
    for suffix, found in SUFFIXES.items():
        if name.endswith(suffix):
            return found
    if name.endswith(_COMPRESSED):
        raise InvalidRequestError(
            f"{key!r:.200} is compressed, and a compressed object cannot be read in parts: upload "
            f"it uncompressed, as {', '.join(SUFFIXES)}. Parquet is compressed by itself"
        )
    raise InvalidRequestError(
        f"{key!r:.200} has no known suffix: name it {', '.join(SUFFIXES)}, or set "
        f"`source.format` to one of {', '.join(SUPPORTED)}"
    )


def format_of_type(content_type: str) -> Format | None:
    """Return the format of a content type; None for the type of no format."""
    return CONTENT_TYPES.get(content_type.partition(";")[0].strip().lower())


def output_format_of(source: Format) -> Format:
    """Return the format of an output for which none is named: the source's, if it can be."""
    return source if source in OUTPUTS else "jsonl"


def renamed(key: str, new: Format) -> str:
    """Return a key with the suffix of a format; a suffix of another format is replaced.

    That of a picture stays, since a folder may have `cat.jpg` and `cat.png`.
    """
    lowered = key.lower()
    old = next((suffix for suffix in SUFFIXES if lowered.endswith(suffix)), "")
    if old and SUFFIXES[old] == new:
        return key
    if old and SUFFIXES[old] not in OUTPUTS:
        old = ""
    suffix = next(suffix for suffix, of in SUFFIXES.items() if of == new)
    return key[: len(key) - len(old)] + suffix
