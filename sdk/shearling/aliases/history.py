"""Show every entry of an alias: version, author, time, reason, and the outcome on each function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.aliases.waiting import serving_deployments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.registry.records import AliasEntry, Release
    from shearling.registry.registry import Registry

#: Outcome of the newest entry on a function that has no record of it yet.
PENDING = "pending"

#: Outcome of an older entry on a function that has no record of it.
NOT_RELEASED = "not released"


@dataclass(frozen=True, slots=True)
class PastEntry:
    """An entry of an alias, and what became of it.

    Attributes:
        entry: the entry.
        outcomes: by function, the outcome: "released", "failed", "staging", "pending", or
            "not released" if a newer entry came first or the function did not exist.
        reasons: by function, why the release failed, for those on which it failed.
    """

    entry: AliasEntry
    outcomes: Mapping[str, str]
    reasons: Mapping[str, str]


def history(registry: Registry, model: str, alias: str) -> list[PastEntry]:
    """Return every entry of an alias, newest first.

    Raises:
        ModelNotFoundError: the model does not exist, or the alias was never set.
    """
    entries = registry.history(model, alias)[::-1]
    if not entries:
        registry.resolve(f"{model}:{alias}")  # raises an error with the names that exist
    serving = serving_deployments(registry, model, alias)
    functions = [deployment.function for deployment in serving]
    releases = {}
    for deployment in serving:
        is_unique = functions.count(deployment.function) == 1
        name = deployment.function if is_unique else f"{deployment.function} ({deployment.region})"
        # The last release of an entry decides, since a failed one may be retried.
        found = registry.release_log.entries(deployment, alias)
        releases[name] = {release.entry: release for release in found}
    return [_past(entry, releases, is_newest=entry is entries[0]) for entry in entries]


def _past(
    entry: AliasEntry, releases: Mapping[str, Mapping[int, Release]], *, is_newest: bool
) -> PastEntry:
    without = PENDING if is_newest else NOT_RELEASED
    found = {function: by_entry.get(entry.number) for function, by_entry in releases.items()}
    return PastEntry(
        entry,
        {function: release.outcome if release else without for function, release in found.items()},
        {function: it.reason for function, it in found.items() if it and it.reason},
    )
