"""Marks beside a directory of blobs that bundles share: which files were proven to be their names.

A file's name and size do not prove it. Version 0.1 gave a file its name after proving only the
chunks that a manifest listed, whoever wrote that manifest; what it left in a directory, or still
writes there, looks like any other file. A mark is an empty file whose name says which blob, inode
and time of change were proven. So it does not hold for a file that replaces the one it was made
for, and looking for it takes one request to a network file system.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from pathlib import Path

#: Where nothing can be written nothing is marked; it is proven each time.
_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def is_marked(path: Path, status: os.stat_result) -> bool:
    """Say whether the file at a path, of this status, was proven to be the blob of its name."""
    return _mark(path, status).exists()


def mark(path: Path, status: os.stat_result) -> None:
    """Say of a file that it was proven to be the blob of its name.

    Raises:
        OSError: the mark cannot be made, though something can be written there.
    """
    place = _mark(path, status)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise


def forget(path: Path) -> None:
    """Remove all marks of a file that is removed."""
    for place in _directory(path).glob(f"{path.name}.*"):
        place.unlink(missing_ok=True)


def _mark(path: Path, status: os.stat_result) -> Path:
    return _directory(path) / f"{path.name}.{status.st_ino}-{status.st_mtime_ns}"


def _directory(path: Path) -> Path:
    # Not among the blobs: version 0.1 prunes what it does not know there.
    return path.parent.with_name(f"{path.parent.name}-proven")
