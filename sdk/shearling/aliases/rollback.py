"""Roll an alias back to the version that it served before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.aliases.waiting import require_served, serving_deployments, wait_for_release
from shearling.errors import ModelNotFoundError, ReleaseError
from shearling.registry.records import FAILED
from shearling.registry.registry import Registry

if TYPE_CHECKING:
    import os

    from shearling.registry.records import AliasEntry


def rollback(
    model: str,
    alias: str,
    *,
    wait: bool = False,
    timeout_seconds: float = 900,
    reason: str = "rollback",
    registry: Registry | str | os.PathLike[str] | None = None,
) -> AliasEntry:
    """Name the version that served before the one that serves now.

    That is the version of the newest successful release that differs from it; if a part of the
    requests goes to a canary, it is the same version without the canary. If what is named is not
    served, as its release failed or is under way, it is the version that serves now. If nothing is
    deployed, the alias's own history decides. Two people who roll back at once go back one step,
    not two.

    Args:
        model: the model.
        alias: such as `prod`.
        wait: return only when every function that serves the alias serves that version.
        timeout_seconds: how long to wait.
        reason: a note for the alias's history.
        registry: the registry or its URI; by default what SHEARLING_REGISTRY says.

    Raises:
        ModelNotFoundError: the alias was never set.
        ReleaseError: there is nothing to go back to; or, with `wait`, as for `set_alias`.
    """
    target = Registry.at(registry)
    if wait:
        require_served(target, model, alias)
    entry = _roll_back(target, model, alias, reason)
    if wait:
        wait_for_release(target, entry, timeout_seconds=timeout_seconds)
    return entry


def _roll_back(registry: Registry, model: str, alias: str, reason: str) -> AliasEntry:
    first: AliasEntry | None = None
    while True:
        current = registry.alias_entry(model, alias)
        if current is None:
            raise ModelNotFoundError(f"alias {alias!r} of model {model!r} was never set")
        first = first or current
        version = _before(registry, first)
        is_named = current.version == version and not current.canary
        if is_named and not _has_failed(registry, current):
            return current  # somebody else has just rolled back
        if entry := registry.replace_entry(current, version, reason):
            return entry


def _before(registry: Registry, first: AliasEntry) -> int:
    """Return the version to go back to from the entry that was newest when the rollback began."""
    deployments = serving_deployments(registry, first.model, first.alias)
    released = sorted(
        it.entry for one in deployments for it in registry.release_log.successes(one, first.alias)
    )
    log = registry.history(first.model, first.alias)
    if deployments:
        entries = {entry.number: entry for entry in log}
        log = [entries[number] for number in released]
    served = log[-1] if log and deployments else first
    others = [it.version for it in log if it.version != served.version]
    before = served.version if served.canary else others[-1] if others else None
    if log and first.number > served.number and first.version != before:
        return served.version  # what is named was not released, and is no rollback either
    if not log or before is None:
        raise ReleaseError(
            f"there is nothing to roll {first.model}:{first.alias} back to: no other version was "
            "ever released there; name one with set_alias"
        )
    return before


def _has_failed(registry: Registry, entry: AliasEntry) -> bool:
    lasts = (
        registry.release_log.last(one, entry.alias)
        for one in serving_deployments(registry, entry.model, entry.alias)
    )
    return any(last and (last.entry, last.outcome) == (entry.number, FAILED) for last in lasts)
