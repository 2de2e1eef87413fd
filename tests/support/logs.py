"""A log of records of which nothing is required, for tests of the log itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.registry.append_log import Log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.bundle.json_reader import Field
    from shearling.storage.store import Store


def plain_log(store: Store, prefix: str) -> Log[dict[str, Any]]:
    """Return a log whose records are read as they are."""
    return Log(store, prefix, _plain)


def _plain(_: int, root: Field) -> dict[str, Any]:
    return root.expect(dict, "an object")


def append(log: Log[Any], fields: Mapping[str, Any]) -> int:
    """Create the next record, as the registry's logs do, and return its number."""
    number = log.last() + 1
    while not log.create(number, fields):
        number += 1
    return number
