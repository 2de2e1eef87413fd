"""The outcome of the last attempt to stage each bundle, as recorded by the stager.

Lambda passes the stager's response on to the releaser, but everyone who may invoke the releaser can
send such an event. So the releaser requests the outcome from the stager, which reads these files.
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
_CUT_OFF = "the stager was stopped before it finished; its log has the reason"


def begin(mount: Path, name: str) -> None:
    """Record that an attempt begins; this remains if the stager is stopped."""
    path = mount / _FOLDER / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"outcome": UNFINISHED, "reason": _CUT_OFF, "is_begun": True}))


def end(mount: Path, name: str, answer: Mapping[str, Any]) -> None:
    """Record the outcome of an attempt, or remove the record if the bundle is staged."""
    path = mount / _FOLDER / name
    with suppress(OSError):  # on a full disk, the record of the beginning remains
        if answer["outcome"] == STAGED:
            path.unlink(missing_ok=True)
        else:
            path.write_text(json.dumps(answer))


def last(mount: Path, name: str, lock: Path) -> dict[str, Any] | None:
    """Return the outcome of the last attempt, or None if there is none.

    Args:
        mount: directory of the mounted file system.
        name: hex digest of the bundle's manifest.
        lock: file that a running stager has locked.
    """
    try:
        note = json.loads((mount / _FOLDER / name).read_text())
    except (FileNotFoundError, ValueError):  # no record, or an incomplete one
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
