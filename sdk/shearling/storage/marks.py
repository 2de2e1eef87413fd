"""Marks for the files in a shared directory of blobs whose digests were verified.

The name and the size of a file do not prove its bytes: version 0.1 gave a file its name after it
had verified only the chunks that a manifest listed. Files of 0.1 look like any other file. A mark
is an empty file whose name contains the blob, the inode and the modification time of the verified
file. So a mark is not valid for a file that replaces the verified one, and checking it takes one
request to a network file system.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from pathlib import Path

#: Errors of a directory that cannot be written. Its files are not marked, and verified each time.
_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def is_marked(path: Path, status: os.stat_result) -> bool:
    """Return whether the file with this path and status has a mark."""
    return _mark(path, status).exists()


def mark(path: Path, status: os.stat_result) -> None:
    """Mark a file whose digest was verified.

    Raises:
        OSError: the mark cannot be written, although the directory is writable.
    """
    place = _mark(path, status)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise


def forget(path: Path) -> None:
    """Remove all marks of a file that was deleted."""
    for place in _directory(path).glob(f"{path.name}.*"):
        place.unlink(missing_ok=True)


def _mark(path: Path, status: os.stat_result) -> Path:
    return _directory(path) / f"{path.name}.{status.st_ino}-{status.st_mtime_ns}"


def _directory(path: Path) -> Path:
    # Not in the directory of blobs, because 0.1 prunes unknown files there.
    return path.parent.with_name(f"{path.parent.name}-proven")
