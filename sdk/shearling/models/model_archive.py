"""Unpack a training job's archive of unknown content, and find the one model in it."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from shearling.errors import FormatError
from shearling.progress import human_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import WriteableBuffer

#: Bytes and members that an archive may unpack to: more than any function can load.
MOST_BYTES = 20 * 1024**3
MOST_MEMBERS = 10_000

#: tarfile reads the content of members in smaller parts, and each header at once.
_MOST_HEADER_BYTES = 1024 * 1024

_ONNX = frozenset({".onnx"})
PICKLES = frozenset({".joblib", ".pickle", ".pkl"})

#: Names in messages are cut to this length, and so many of them are listed.
_LONGEST, _LISTED = 80, 5


def unpack(archive: Path, directory: Path) -> list[Path]:
    """Unpack a `.tar.gz` file into an empty directory, and return its files' relative paths.

    Raises:
        FormatError: it is damaged or too large, or has a member that is neither a file nor a
            directory below the target.
    """
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=_Limited(stream), mode="r:") as tar:
            files = _checked(tar)
            # The filter refuses again what is not a file or directory below the target.
            tar.extractall(directory, files, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(
            f"{archive.name} is damaged, or is no tar archive compressed with gzip: {error}"
        ) from error
    except OSError as error:  # the disk is full, or a file is also a directory
        raise FormatError(f"{archive.name} cannot be unpacked: {error!s:.300}") from error
    return [Path(file.name) for file in files]


def only_model(files: Sequence[Path], *, allow_pickle: bool) -> Path:
    """Return the path of the only model among the files of an archive.

    Raises:
        FormatError: there is no model, are several, or is only a pickle, which is not allowed.
    """
    pickles = [file for file in files if file.suffix.lower() in PICKLES]
    models = [file for file in files if file.suffix.lower() in _ONNX]
    models += pickles if allow_pickle else []
    if len(models) == 1:
        return models[0]
    if models:
        raise FormatError(
            f"it has {len(models)} models ({_names(models)}), but one is expected: let the job "
            "save a single model, or download the archive and push one of its files"
        )
    if pickles:
        raise FormatError(
            f"it has no .onnx file, only a pickle ({_names(pickles)}), which runs code when it is "
            "loaded: if you trust the job, allow it with allow_pickle=True, or "
            "let the job save ONNX"
        )
    raise FormatError(
        f"it has no model ({_names(files) or 'it is empty'}): let the job save an .onnx file in "
        "the directory that SM_MODEL_DIR names"
    )


def _checked(tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Return the files of an archive, after checking all its members."""
    files: dict[PurePosixPath, tarfile.TarInfo] = {}
    size = 0
    for count, member in enumerate(tar, 1):
        size += member.size
        if size > MOST_BYTES:
            raise FormatError(f"the archive has more than {human_bytes(MOST_BYTES)} unpacked")
        if count > MOST_MEMBERS:
            raise FormatError(f"the archive has more than {MOST_MEMBERS:,} members")
        path = PurePosixPath(member.name)
        if reason := _refusal(member, path):
            raise FormatError(
                f"{member.name!r:.{_LONGEST}} in the archive {reason}: let the job save files and "
                "directories only, below the directory that SM_MODEL_DIR names"
            )
        if member.isfile():
            if path in files:
                raise FormatError(f"the archive has {member.name!r:.{_LONGEST}} twice")
            files[path] = member
    return list(files.values())


def _refusal(member: tarfile.TarInfo, path: PurePosixPath) -> str:
    """Return why a member is not unpacked; empty if it is."""
    reasons = {
        f"is a link to {member.linkname!r:.{_LONGEST}}": member.issym() or member.islnk(),
        "is a device or a pipe": member.ischr() or member.isblk() or member.isfifo(),
        "is of an unknown kind": not (member.isfile() or member.isdir()),
        "has an absolute path": path.is_absolute(),
        "has '..' in its path": ".." in path.parts,
        "has a backslash or NUL in its path": bool({"\\", "\0"} & set(member.name)),
        "has a negative size": member.size < 0,
    }
    return next((reason for reason, is_given in reasons.items() if is_given), "")


def _names(paths: Sequence[Path]) -> str:
    names = ", ".join(f"{str(path)!r:.{_LONGEST}}" for path in paths[:_LISTED])
    more = len(paths) - _LISTED
    return f"{names} and {more} more" if more > 0 else names


class _Limited(io.RawIOBase):
    """A stream whose headers are not larger than memory, and that ends at the size limit.

    Without it, an archive of a few kilobytes can fill the memory: gzip compresses zeros by 1,000.
    """

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MOST_HEADER_BYTES:
            raise FormatError("the archive has a header of more than 1 MB")
        return self._stream.read(size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._stream.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if offset > MOST_BYTES + MOST_MEMBERS * _MOST_HEADER_BYTES:
            raise FormatError(f"the archive has more than {human_bytes(MOST_BYTES)} unpacked")
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
