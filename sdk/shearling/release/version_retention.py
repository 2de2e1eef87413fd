"""Delete the published versions of a function that nobody will go back to."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from shearling.errors import ShearlingError
from shearling.release.lambda_function import ConflictError

if TYPE_CHECKING:
    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.alias_state import Target
    from shearling.release.clock import Clock

_LOG = logging.getLogger(__name__)

#: A version this young may be about to be named by somebody.
_YOUNG = timedelta(hours=1)

#: How many successful releases of each alias stay published, so that going back takes seconds.
_KEPT_RELEASES = 2


def retire_versions(target: Target, clock: Clock) -> None:
    """Delete versions of a function that are old, that no alias names, and no late release made.

    A failure is logged and no more: the release that it comes after has succeeded, and the next
    one tries again.
    """
    function = target.function
    try:
        # In this order: what is named after both were read, Lambda refuses to delete.
        versions = function.versions()
        aliases = function.aliases()
        named = {number for alias in aliases.values() for number in alias.versions}
        oldest = clock.date() - _YOUNG
        # Never the newest: Terraform creates new aliases there.
        old = [v.number for v in versions[1:] if v.modified and v.modified < oldest]
        unnamed = [number for number in old if number not in named]
        kept = _released_lately(target.registry, target.deployment) if unnamed else set()
        for number in unnamed:
            if number not in kept:
                # Somebody may have named it, or deleted it, since we looked.
                with suppress(ConflictError):
                    function.delete_version(number)
    except (ShearlingError, ConflictError) as error:
        _LOG.warning("old versions of %s are left: %s", function.name, error)


def _released_lately(registry: Registry, deployment: Deployment) -> set[str]:
    kept: set[str] = set()
    for alias in deployment.aliases:
        lately: set[str] = set()
        for release in registry.release_log.successes(deployment, alias):
            lately.add(release.lambda_version)
            if len(lately) == _KEPT_RELEASES:
                break
        kept |= lately
    return kept
