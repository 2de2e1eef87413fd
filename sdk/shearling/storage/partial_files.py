"""Remove the files of fetches that were stopped and never resumed."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: A fetch that is stopped can be resumed for a day.
_KEPT_SECONDS = 24 * 3600


def remove_abandoned(directory: Path) -> None:
    """Remove partial files that no process has written to for a day.

    A file that another process has locked stays. So does one that cannot be removed, for example
    because it belongs to another user: no fetch fails because of it.
    """
    oldest = time.time() - _KEPT_SECONDS
    for path in directory.glob("*.partial"):
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    finally:
        os.close(descriptor)
