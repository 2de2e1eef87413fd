"""A registry in memory with a model of three versions, deployed as `acme-fraud`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from shearling.bundle import canonical_json
from shearling.registry import Registry

if TYPE_CHECKING:
    from shearling.registry import Deployment, Release
    from shearling.store import Store

DIGESTS = {number: f"sha256:{number:064x}" for number in range(1, 10)}


def pin(number: int, model: str = "fraud") -> str:
    return f"{model}:{number}@{DIGESTS[number]}"


def memory_registry(versions: int = 3, *, store: Store | None = None) -> Registry:
    registry = (
        Registry(f"memory://{secrets.token_hex(8)}") if store is None else Registry(store=store)
    )
    for number in range(1, versions + 1):
        record = {
            "id": str(number),
            "created": "2026-01-01T00:00:00.000+00:00",
            "digest": DIGESTS[number],
        }
        key = f"models/fraud/versions/{number:010d}.json"
        assert registry.store.create(key, canonical_json(record))
    return registry


def deploy(registry: Registry, function: str = "acme-fraud", **changes: Any) -> Deployment:
    record = {
        "model": "fraud",
        "function": function,
        "aliases": ["prod", "staging"],
        "region": "eu-west-1",
        "account": "000000000000",
        "releaser": "acme_releaser",
        "runtime": "python3.13",
        "api_url": None,
        **changes,
    }
    key = f"000000000000-eu-west-1-{function}"
    registry.store.write(f"deployments/{key}.json", canonical_json(record))
    return next(one for one in registry.deployments() if one.key == key)


def record(
    registry: Registry, deployment: Deployment, alias: str, entry: int, version: int, **more: Any
) -> Release:
    """Say that an entry was released, as the releaser does."""
    fields = {"entry": entry, "version": version, "outcome": "released", "lambda_version": "1"}
    return registry.record_release(deployment, alias, {**fields, **more})
