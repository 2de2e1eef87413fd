"""What became of the last attempt to stage a bundle, as the stager itself noted it.

Lambda takes the stager's answer to the releaser, but whoever may invoke the releaser can send it
the same event. So the releaser asks the stager, and the stager answers from these notes.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from shearling.release.staging import STAGED, UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FOLDER = "attempts"
_CUT_OFF = "the stager was cut off; its log says by what"


def begin(mount: Path, name: str) -> None:
    """Note that an attempt begins: should it be cut off, this is what stays."""
    path = mount / _FOLDER / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"outcome": UNFINISHED, "reason": _CUT_OFF, "is_begun": True}))


def end(mount: Path, name: str, answer: Mapping[str, Any]) -> None:
    """Note how an attempt ended; what is staged speaks for itself."""
    path = mount / _FOLDER / name
    with suppress(OSError):  # a full disk: the note that it began stays
        if answer["outcome"] == STAGED:
            path.unlink(missing_ok=True)
        else:
            path.write_text(json.dumps(answer))


def last(mount: Path, name: str, lock: Path) -> dict[str, Any] | None:
    """Return how the last attempt ended, or None if none is known.

    Args:
        mount: where the file system is mounted.
        name: of the bundle's manifest.
        lock: held by a stager that is at it.
    """
    try:
        note = json.loads((mount / _FOLDER / name).read_text())
    except (FileNotFoundError, ValueError):  # none, or one whose stager was cut off
        return None
    if note.pop("is_begun", False):
        note["is_running"] = _is_held(lock)
    return dict(note)


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
