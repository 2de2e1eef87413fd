"""Write results to standard output, and progress and errors to standard error.

Records and answers are written by others, so no control character in them reaches a terminal.
"""

from __future__ import annotations

import sys
from datetime import UTC
from typing import TYPE_CHECKING

from shearling.text_table import printable

if TYPE_CHECKING:
    from datetime import datetime

    from shearling.registry.records import AliasEntry


def say(text: str) -> None:
    """Write a result to standard output."""
    sys.stdout.write(f"{printable(text)}\n")


def say_json(value: object) -> None:
    """Write a result to standard output as JSON."""
    import json

    say(json.dumps(value, indent=2, ensure_ascii=False))


def note(text: str) -> None:
    """Write progress, a hint or an error to standard error."""
    sys.stderr.write(f"{printable(text)}\n")


def utc(moment: datetime) -> str:
    """Return a time in UTC to the minute; the table's header names the time zone."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def entry_document(entry: AliasEntry) -> dict[str, object]:
    """Return an alias's entry as a document for JSON."""
    return {
        "model": entry.model,
        "alias": entry.alias,
        "entry": entry.number,
        "version": entry.version,
        "canary": dict(entry.canary) if entry.canary else None,
        "reason": entry.reason,
        "by": entry.by,
        "created": entry.created.isoformat(),
    }
