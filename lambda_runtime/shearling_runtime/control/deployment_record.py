"""Write the record of a deployment for Terraform, whose provider writes in one region only."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from shearling.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.storage.store import Store

_KEY = re.compile(r"deployments/[A-Za-z0-9_-]+\.json")


def record_deployment(store: Store, event: Mapping[str, Any]) -> None:
    """Write the record that Terraform plans, or delete it.

    Args:
        store: objects of the registry.
        event: `{"key", "record"}`, and in `tf` what Terraform does with them: `action` is `create`,
            `update` or `delete`, and `prev_input` the event before an update.

    Raises:
        ReleaseError: the key is not one of a record.
        StoreError: the store refused.
    """
    terraform = event["tf"]
    key = _checked(event["key"])
    previous = (terraform.get("prev_input") or {}).get("key", key)
    if terraform["action"] == "delete":
        store.delete(key)
        return
    store.write(key, json.dumps(event["record"], sort_keys=True).encode())
    if previous != key:
        store.delete(_checked(previous))


def _checked(key: object) -> str:
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise ReleaseError(
            f"{key!s:.100} is not the key of a deployment record: expected deployments/<name>.json"
        )
    return key
