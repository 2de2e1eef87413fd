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


def was_released(target: Target, snapshot: AliasSnapshot, version: FunctionConfiguration) -> bool:
    """Return whether a version was released for an alias, and no check has judged it wrong since.

    A published version never changes, so it was released under the same code and configuration.
    Records of earlier releasers do not say which versions failed, so they prove nothing.
    """
    if snapshot.newest is None or snapshot.newest.wrong is None:
        return False
    return any(
        release.lambda_version == version.number and release.wrong is not None
        for release in _successes(target)
    ) and not any(version.number in wrong for wrong in _wrong_on_any_alias(target))


def is_forced(target: Target, snapshot: AliasSnapshot) -> bool:
    """Return whether the newest entry is a rollback that is released without a check.

    Only to a model version that was released for this alias before, and only once: new code is
    checked again afterwards.
    """
    entry = snapshot.entry
    if entry is None or not entry.force:
        return False
    successes = list(_successes(target))
    is_released = any(release.entry == entry.number for release in successes)
    return not is_released and any(release.version == entry.version for release in successes)


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


def _wrong_on_any_alias(target: Target) -> Iterator[tuple[str, ...]]:
    log = target.registry.release_log
    for alias in target.deployment.aliases:
        newest = log.last(target.deployment, alias)
        yield (newest.wrong if newest else None) or ()


def _is_wrong(snapshot: AliasSnapshot, version: FunctionConfiguration) -> bool:
    """Return whether a version failed its last check for the alias, or may have failed it."""
    newest = snapshot.newest
    if newest is None:
        return False
    if newest.wrong is not None:
        return version.number in newest.wrong
    # Earlier releasers did not record which version failed.
    about = (newest.code_sha256, newest.configuration)
    return newest.outcome == FAILED and about == (version.code_sha256, version.sha256)
