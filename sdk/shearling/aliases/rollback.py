"""Roll an alias back to the version that it served before the current one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from shearling.aliases.promotion import compare
from shearling.aliases.waiting import require_served, wait_for_release
from shearling.errors import ModelNotFoundError, ReleaseError, StoreError
from shearling.registry.alias_log import ROLLBACK
from shearling.registry.registry import Registry

if TYPE_CHECKING:
    import os

    from shearling.aliases.promotion import Comparison
    from shearling.registry.alias_log import AliasLog
    from shearling.registry.records import AliasEntry


def rollback(
    model: str,
    alias: str,
    *,
    wait: bool = False,
    timeout_seconds: float = 900,
    reason: str = ROLLBACK,
    force: bool = False,
    registry: Registry | str | os.PathLike[str] | None = None,
) -> AliasEntry:
    """Set an alias to the version that it served before the current one.

    Each entry of the alias records the entry that served before it. Three cases differ:

    - If a canary is served, the rollback keeps the version and removes the canary.
    - If the newest entry was not released, because its release failed or is under way, the rollback
      returns to the version served now.
    - If no function serves the alias, the alias's own history decides.

    A second rollback, after the first one is released, goes further back. It never returns to a
    version that was rolled back from; only `set_alias` does. Two people who roll back at the same
    time go back one step, not two.

    A rollback is never refused because it breaks callers: what changes for them is logged as a
    warning of the logger `shearling`, which Python shows on standard error by default.

    Args:
        model: the model's name.
        alias: the alias, such as `prod`.
        wait: whether to wait until every function that serves the alias serves that version.
        timeout_seconds: seconds to wait at most.
        reason: a note for the alias's history.
        force: release the version without a check. This is for an emergency in which the check
            cannot pass. A version that was released before under the same code and configuration is
            never checked again, unless a check has judged it wrong since.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        ModelNotFoundError: the alias was never set.
        ReleaseError: no earlier version was released; or, with `wait`, as for `set_alias`.
    """
    entry, comparisons = append_rollback(
        model, alias, wait=wait, reason=reason, force=force, registry=registry
    )
    for comparison in comparisons:
        if comparison.changes:
            logging.getLogger(__name__).warning("%s", comparison)
    if wait:
        wait_for_release(Registry.existing(registry), entry, timeout_seconds=timeout_seconds)
    return entry


def append_rollback(
    model: str,
    alias: str,
    *,
    wait: bool,
    reason: str,
    force: bool,
    registry: Registry | str | os.PathLike[str] | None = None,
) -> tuple[AliasEntry, list[Comparison]]:
    """Write the entry of a rollback, and return it with the changes of the contract.

    With `wait`, requires a function that serves the alias, but does not wait yet.
    """
    target = Registry.existing(registry)
    if wait:
        require_served(target, model, alias)
    left = target.alias_entry(model, alias)
    entry = _append(target, model, alias, reason, force=force)
    try:
        return entry, compare(target, model, left.versions if left else (), entry.versions)
    except StoreError:
        return entry, []  # the alias is rolled back, whatever can be said of it


def _append(registry: Registry, model: str, alias: str, reason: str, *, force: bool) -> AliasEntry:
    first: AliasEntry | None = None
    while True:
        current = registry.alias_entry(model, alias)
        if current is None:
            registry.resolve(f"{model}:{alias}")  # raises, with the names that exist
            raise ModelNotFoundError(f"alias {alias!r} of model {model!r} names no version")
        first = first or current
        log = registry.alias_log(model, alias)
        served = log.served(first)
        target = served and _target(log, first, served)
        if served is None or target is None or target.version is None:
            raise _nothing(first)
        version = target.version
        is_named = current.version == version and not current.canary
        if is_named and (current.force or not force) and not log.has_failed(current):
            return current  # another rollback was faster
        left = [*(current.rolled_back or ()), *served.versions, *first.versions, *current.versions]
        entry = registry.replace_entry(
            current,
            version,
            reason,
            before=log.before(target),
            force=force,
            rolled_back=[number for number in left if number != version],
        )
        if entry:
            return entry


def _target(log: AliasLog, first: AliasEntry, served: AliasEntry) -> AliasEntry | None:
    """Return the entry to go back to; None if there is none.

    Args:
        log: log of the alias.
        first: the entry that was newest when the rollback began.
        served: the entry that is served.
    """
    excluded = set(first.rolled_back or ())
    is_pending = first.number > served.number
    is_rollback = is_pending and _is_rollback(log, first, served)
    if served.version is not None and served.version not in excluded:
        if served.canary or (is_pending and not is_rollback):
            return served
        excluded.add(served.version)
    if is_pending and not is_rollback:
        excluded.update(first.versions)
    earlier = log.back_from(served)
    return next((it for it in earlier if it.version not in {None, *excluded}), None)


def _is_rollback(log: AliasLog, pending: AliasEntry, served: AliasEntry) -> bool:
    """Return whether an entry that is not released yet rolls back from the one that is served."""
    if pending.rolled_back is not None:
        return served.version in pending.rolled_back
    before = log.at(log.before(served))
    return before is not None and pending.version == before.version


def _nothing(entry: AliasEntry) -> ReleaseError:
    return ReleaseError(
        f"there is no version to roll {entry.model}:{entry.alias} back to: no other version was "
        "released on this alias, or all were rolled back from. Choose a version with set_alias"
    )
