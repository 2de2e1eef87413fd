"""Marks on an endpoint that is unused or about to be deleted: tags of its SageMaker model.

SageMaker's writes are unconditional. So a removal first sets a mark of its own and then reads
everything that could need the endpoint, while a release first names the endpoint and then reads
the marks. Whatever the order, at least one of them sees the other.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Tag with the time at which an endpoint was first seen unused.
UNUSED_TAG = "shearling:unused-since"

_PREFIX = "shearling:removal-"

#: A releaser ends after 15 minutes. The mark of one that was stopped counts no longer than this.
_LEASE = timedelta(minutes=20)


def new_mark() -> str:
    """Return the key of a new mark."""
    return f"{_PREFIX}{secrets.token_hex(8)}"


def time_text(now: datetime) -> str:
    """Return the value of a tag with a time."""
    return now.strftime("%Y-%m-%dT%H:%M:%S+0000")


def time_of(text: str) -> datetime:
    """Return the time in the value of a tag; the earliest one if a person changed it."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def is_being_removed(tags: Mapping[str, str], now: datetime, *, except_by: str = "") -> bool:
    """Return whether a removal is under way.

    Args:
        tags: tags of the model.
        now: the current time.
        except_by: key of the caller's own mark.
    """
    others = [value for key, value in tags.items() if key.startswith(_PREFIX) and key != except_by]
    return any(now - time_of(value) < _LEASE for value in others)


def ended_marks(tags: Mapping[str, str], now: datetime) -> list[str]:
    """Return the keys of the marks of releasers that were stopped."""
    return [
        key
        for key, value in tags.items()
        if key.startswith(_PREFIX) and now - time_of(value) >= _LEASE
    ]
