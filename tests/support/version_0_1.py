"""Requests that version 0.1 sent to a registry, and the files that its stager left on a mount.

0.1 put blobs and manifests without a precondition, and skipped a blob whose size was right. Its
alias entries have neither `by` nor `before`.
"""

from __future__ import annotations

import json
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore

from shearling.bundle.digests import CHUNK_BYTES, digest_of
from shearling.storage.blobs import BLOBS, blob_key

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from tests.support.bundles import Bundle

#: A registry that 0.1 wrote. The entry of its model has chunks.
REGISTRY = Path(__file__).parents[1] / "bundle" / "golden" / "schema-1" / "registry"


def push(store: ObjectStore, bundle: Bundle, number: int) -> None:
    """Push a bundle as 0.1 did."""
    for file in bundle.manifest.files:
        upload(store, file.hex, bundle.files[file.path].read_bytes())
    data = bundle.manifest.to_bytes()
    digest = digest_of(data)
    upload(store, digest.removeprefix("sha256:"), data)
    folder = f"models/{bundle.manifest.model}"
    _create(store, f"{folder}/versions/{number:010d}.json", {"digest": digest})
    index = f"{folder}/digests/{digest.removeprefix('sha256:')}.json"
    obstore.put(store, index, json.dumps({"version": number}).encode(), mode="create")


def upload(store: ObjectStore, hex_digest: str, data: bytes) -> None:
    """Put a blob as 0.1 did: in parts if it is larger than one."""
    key, is_large = blob_key(hex_digest), len(data) > CHUNK_BYTES
    obstore.put(store, key, data, use_multipart=is_large, chunk_size=CHUNK_BYTES)


def set_alias(store: ObjectStore, model: str, alias: str, number: int, version: int) -> None:
    """Append an entry to the log of an alias as 0.1 did."""
    entry = {"version": version, "canary": None, "reason": ""}
    _create(store, f"models/{model}/aliases/{alias}/{number:010d}.json", entry)


def stage(mount: Path) -> list[Path]:
    """Leave the blobs of `REGISTRY` on a mount as 0.1 did, without marks; return their paths."""
    shutil.copytree(REGISTRY / BLOBS, mount / BLOBS, dirs_exist_ok=True)
    return sorted((mount / BLOBS).iterdir())


def _create(store: ObjectStore, key: str, fields: dict[str, Any]) -> None:
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    record = {"id": secrets.token_hex(16), "created": created, **fields}
    obstore.put(store, key, json.dumps(record).encode(), mode="create", use_multipart=False)
