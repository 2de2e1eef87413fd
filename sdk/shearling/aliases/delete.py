"""End an alias that no function serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.aliases.waiting import serving_deployments
from shearling.errors import ReleaseError
from shearling.registry.registry import Registry

if TYPE_CHECKING:
    import os

    from shearling.registry.records import AliasEntry


def delete_alias(
    model: str,
    alias: str,
    *,
    reason: str = "",
    registry: Registry | str | os.PathLike[str] | None = None,
) -> AliasEntry:
    """End an alias: it names no version any more. Its history stays, and `rollback` restores it.

    Args:
        model: the model's name.
        alias: the alias, such as `prod`.
        reason: a note for the alias's history.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        ModelNotFoundError: the alias names no version.
        ReleaseError: a function serves the alias.
    """
    target = Registry.existing(registry)
    target.resolve(f"{model}:{alias}")
    if serving := serving_deployments(target, model, alias):
        functions = ", ".join(deployment.function for deployment in serving)
        raise ReleaseError(
            f"{model}:{alias} is not deleted, because it is served by {functions}: remove the "
            "alias from the function's `aliases` and run terraform apply first"
        )
    return target.set_alias(model, alias, None, reason=reason)
