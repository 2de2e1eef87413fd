"""Which endpoints of a function are in use: by aliases, by batch runs, and by releases to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.registry.records import FAILED
from shearling.registry.run_log import RunLog
from shearling.release.alias_state import Target
from shearling.release.api_calls import DeniedError, ResourceMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.registry.run_log import StartedRun
    from shearling.release.clock import Clock
    from shearling.release.endpoints.in_service import Endpoints
    from shearling.release.lambda_function import LambdaFunction

#: What Lambda says of a function that Terraform destroyed: a releaser has no permissions on a
#: function that its stack no longer has.
_GONE = (ResourceMissingError, DeniedError)


@dataclass(frozen=True, slots=True)
class EndpointUse:
    """The use of the endpoints of one function.

    Attributes:
        function: the function.
        registry: the registry that names its models.
        deployment: its deployment; None if that is no longer in the registry.
        endpoints: what its endpoints are like now; None if it has none any more.
        clock: time source.
    """

    function: LambdaFunction
    registry: Registry
    deployment: Deployment | None
    endpoints: Endpoints | None
    clock: Clock

    def is_used(self, name: str) -> bool:
        """Return whether an endpoint serves an alias or a batch run, or is to serve one."""
        runs = self._runs()
        return name in self._named_by_registry(runs) or name in self._named_by_versions(runs)

    def versions_of(self, name: str) -> list[str]:
        """Return the numbers of the Lambda versions that name an endpoint."""
        try:
            versions = self.function.versions()
        except _GONE:
            if self.deployment:
                raise
            return []
        return [version.number for version in versions if version.endpoint == name]

    def _runs(self) -> list[StartedRun]:
        if self.deployment is None:
            return []
        return list(RunLog(self.registry.store, self.deployment).unfinished(self.clock.date()))

    def _named_by_registry(self, runs: Sequence[StartedRun]) -> set[str]:
        """Return the endpoints of what the registry names, unless its release failed."""
        if not (self.deployment and self.endpoints):
            return set()
        pins = {str(run.pin) for run in runs}
        for alias in self.deployment.aliases:
            target = Target(self.function, self.registry, self.deployment, alias)
            entry = target.entry()
            last = self.registry.release_log.last(self.deployment, alias)
            if entry and last and (last.entry, last.outcome) == (entry.number, FAILED):
                continue
            desired = target.desired_state(entry)
            pins |= {desired.pin, desired.canary} - {""}
        return {self.endpoints.name(pin) for pin in pins}

    def _named_by_versions(self, runs: Sequence[StartedRun]) -> set[str]:
        """Return the endpoints of the Lambda versions that aliases and runs name."""
        try:
            aliases = self.function.aliases().values()
            versions = {version.number: version for version in self.function.versions()}
        except _GONE:
            if self.deployment:
                raise
            return set()
        named = {number for alias in aliases for number in alias.versions}
        named |= {run.lambda_version for run in runs}
        return {versions[number].endpoint for number in named & versions.keys()} - {""}
