"""The description of a Lambda alias, which names the registry that the alias is released from.

A registry without an entry for an alias looks the same whether the alias is new or the registry was
moved to another bucket or prefix. The description tells them apart: a new alias has no mark and is
emptied, and a marked alias stays as it is.
"""

from __future__ import annotations

_PREFIX = "Released by Shearling from "

#: Lambda's limit for a description.
_LENGTH = 256


def mark(registry_uri: str) -> str:
    """Return the description of an alias that is released from a registry."""
    return f"{_PREFIX}{registry_uri}"[:_LENGTH]


def marked_registry(description: str) -> str:
    """Return the URI of the registry that a description names; empty if it names none."""
    return description.removeprefix(_PREFIX) if description.startswith(_PREFIX) else ""
