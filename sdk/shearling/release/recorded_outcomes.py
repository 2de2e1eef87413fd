"""Tell from the registry alone whether an alias needs a release, for scheduled reconciliations.

An alias that is up to date costs two HEAD requests to S3, and none to Lambda. If its newest release
is not known yet, a LIST, a GET and, for a long log, a few more HEAD requests find it. A change of
the Lambda alias or of the function is not visible here, so scheduled reconciliations also compare
every alias with Lambda from time to time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.errors import StoreError
from shearling.registry.records import FAILED, RELEASED
from shearling.release.outcome import UNCHANGED, Outcome

if TYPE_CHECKING:
    from shearling.registry.records import Deployment, Release
    from shearling.registry.registry import Registry

#: The newest known release of an alias, by URI of the registry, key of the deployment, and alias.
KnownReleases = dict[tuple[str, str, str], "Release"]


class RecordedOutcomes:
    """The outcomes that the release logs of a registry record.

    Args:
        registry: the registry.
        known: releases that earlier calls read; records never change, so they are not read again.
    """

    def __init__(self, registry: Registry, known: KnownReleases) -> None:
        self._registry = registry
        self._known = known

    def of(self, deployment: Deployment, alias: str) -> Outcome | None:
        """Return the recorded outcome of an alias; None if a release must be attempted.

        A recorded failure is an outcome too, if it depends on the function's configuration. Other
        failures, such as a missing permission, are tried again. If the registry cannot be read, the
        attempt reports it.
        """
        try:
            return self._recorded(deployment, alias)
        except StoreError:
            return None

    def _recorded(self, deployment: Deployment, alias: str) -> Outcome | None:
        last = self._newest_release(deployment, alias)
        log = self._registry.alias_log(deployment.model, alias)
        if log.has_after(last.entry if last else 0):
            return None
        if last is None:
            return Outcome(
                function=deployment.function, alias=alias, outcome=UNCHANGED, is_compared=False
            )
        is_failed = last.outcome == FAILED and bool(last.configuration)
        if not (is_failed or last.outcome == RELEASED):
            return None
        return Outcome(
            function=deployment.function,
            alias=alias,
            outcome=FAILED if is_failed else UNCHANGED,
            version=last.version,
            lambda_version=last.lambda_version,
            reason=last.reason,
            is_recorded=is_failed,
            is_compared=False,
        )

    def _newest_release(self, deployment: Deployment, alias: str) -> Release | None:
        key = (self._registry.store.uri, deployment.key, alias)
        log = self._registry.release_log
        newest = log.newest(deployment, alias, known=self._known.get(key))
        if newest:
            self._known[key] = newest
        return newest
