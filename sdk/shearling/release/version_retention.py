"""Delete published versions of a function that no rollback needs."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from shearling.errors import ShearlingError
from shearling.registry.run_log import RunLog
from shearling.release.api_calls import ConflictError

if TYPE_CHECKING:
    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.alias_state import Target
    from shearling.release.clock import Clock

_LOG = logging.getLogger(__name__)

#: Younger versions are kept, because a release may be about to move an alias to them.
_MINIMUM_AGE = timedelta(hours=1)

#: Successful releases of each alias whose versions are kept, so that a rollback takes seconds.
_KEPT_RELEASES = 2

#: Successful releases that are read at most: many in a row may have the same version.
_READ_RELEASES = 20


def retire_versions(target: Target, clock: Clock) -> None:
    """Delete old versions of a function that nothing needs.

    An alias, a recent release or a batch run that is not over needs a version.

    A failure is only logged. The release itself has succeeded, and the next one tries to delete
    the versions again.
    """
    function = target.function
    try:
        # Read the versions first. Lambda refuses to delete a version that an alias names since.
        versions = function.versions()
        aliases = function.aliases()
        named = {number for alias in aliases.values() for number in alias.versions}
        oldest = clock.date() - _MINIMUM_AGE
        # Keep the newest version, because Terraform creates new aliases there.
        old = [v.number for v in versions[1:] if v.modified and v.modified < oldest]
        unnamed = [number for number in old if number not in named]
        needed = _needed(target.registry, target.deployment, clock) if unnamed else set()
        for number in unnamed:
            if number not in needed:
                # Another process may have named or deleted the version since it was read.
                with suppress(ConflictError):
                    function.delete_version(number)
    except (ShearlingError, ConflictError) as error:
        _LOG.warning("could not delete old versions of %s: %s", function.name, error)


def _needed(registry: Registry, deployment: Deployment, clock: Clock) -> set[str]:
    runs = RunLog(registry.store, deployment).unfinished(clock.date())
    return _recently_released(registry, deployment) | {run.lambda_version for run in runs}


def _recently_released(registry: Registry, deployment: Deployment) -> set[str]:
    recent: set[str] = set()
    for alias in deployment.aliases:
        versions: set[str] = set()
        successes = registry.release_log.successes(deployment, alias)
        for release in islice(successes, _READ_RELEASES):
            versions.add(release.lambda_version)
            if len(versions) == _KEPT_RELEASES:
                break
        recent |= versions
    return recent
