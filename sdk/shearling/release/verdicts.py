"""Which Lambda versions passed or failed their checks, according to the release log of an alias."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from shearling.registry.records import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shearling.registry.records import Release
    from shearling.release.alias_state import AliasSnapshot, Target
    from shearling.release.function_configuration import FunctionConfiguration

#: How many successful releases are read. The log only grows, and older versions are deleted.
_SUCCESSES_READ = 20

#: How many wrong versions a record names, newest first. Older versions are deleted.
_WRONG_KEPT = 100


def is_proven(target: Target, snapshot: AliasSnapshot, version: FunctionConfiguration) -> bool:
    """Return whether a version that an alias serves passed its last check for this alias.

    It did not if Terraform set the alias, if a releaser was stopped after it moved the alias, or if
    the version failed a later check.
    """
    if _is_wrong(snapshot, version):
        return False
    if version.number != snapshot.alias.version:
        return True  # a canary: only releases set weights, after a check
    return any(release.lambda_version == version.number for release in _successes(target))


def passed_versions(
    target: Target, snapshot: AliasSnapshot, published: Mapping[str, FunctionConfiguration]
) -> Iterator[tuple[FunctionConfiguration, bool]]:
    """Yield the published versions that passed for an alias, the last one first.

    Yields:
        A version, and whether it failed a later check.
    """
    for number in dict.fromkeys(release.lambda_version for release in _successes(target)):
        if version := published.get(number):
            yield version, _is_wrong(snapshot, version)


def wrong_versions(
    snapshot: AliasSnapshot, wrong: Iterable[str], passed: Iterable[str]
) -> tuple[str, ...]:
    """Return the numbers of the Lambda versions that failed their last check for an alias.

    Args:
        snapshot: its newest record names those that failed before.
        wrong: versions that failed now.
        passed: versions that passed now.
    """
    before = snapshot.newest.wrong if snapshot.newest else None
    found = {*(before or ()), *wrong}.difference(passed)
    return tuple(sorted(found, key=int)[-_WRONG_KEPT:])


def _successes(target: Target) -> Iterator[Release]:
    log = target.registry.release_log.successes(target.deployment, target.alias)
    return islice(log, _SUCCESSES_READ)


def _is_wrong(snapshot: AliasSnapshot, version: FunctionConfiguration) -> bool:
    """Return whether a version failed its last check for the alias, or may have failed it."""
    newest = snapshot.newest
    if newest is None or newest.wrong is not None:
        return newest is not None and version.number in (newest.wrong or ())
    # Earlier releasers did not record which version failed.
    about = (newest.code_sha256, newest.configuration)
    return newest.outcome == FAILED and about == (version.code_sha256, version.sha256)
