"""Which endpoints of a function are in use: by its aliases, and by what the registry names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.registry.records import FAILED
from shearling.release.alias_state import Target
from shearling.release.api_calls import DeniedError, ResourceMissingError

if TYPE_CHECKING:
    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.endpoints.in_service import Endpoints
    from shearling.release.lambda_function import LambdaFunction


@dataclass(frozen=True, slots=True)
class EndpointUse:
    """The use of the endpoints of one function.

    Attributes:
        function: the function.
        registry: the registry that names its models.
        deployment: its deployment; None if that is no longer in the registry.
        endpoints: what its endpoints are like now; None if it has none any more.
    """

    function: LambdaFunction
    registry: Registry
    deployment: Deployment | None
    endpoints: Endpoints | None

    def is_used(self, name: str) -> bool:
        """Return whether an endpoint serves an alias, or a release is to make it serve one."""
        return name in self._named_by_registry() or name in self._named_by_aliases()

    def versions_of(self, name: str) -> list[str]:
        """Return the numbers of the Lambda versions that name an endpoint."""
        try:
            versions = self.function.versions()
        except (ResourceMissingError, DeniedError):
            self._require_gone()
            return []
        return [version.number for version in versions if version.endpoint == name]

    def _named_by_registry(self) -> set[str]:
        """Return the endpoints of what the registry names, unless its release failed."""
        if not (self.deployment and self.endpoints):
            return set()
        pins: set[str] = set()
        for alias in self.deployment.aliases:
            target = Target(self.function, self.registry, self.deployment, alias)
            entry = target.entry()
            last = self.registry.release_log.last(self.deployment, alias)
            if entry and last and (last.entry, last.outcome) == (entry.number, FAILED):
                continue
            desired = target.desired_state(entry)
            pins |= {desired.pin, desired.canary} - {""}
        return {self.endpoints.name(pin) for pin in pins}

    def _named_by_aliases(self) -> set[str]:
        try:
            aliases = self.function.aliases().values()
            versions = {version.number: version for version in self.function.versions()}
        except (ResourceMissingError, DeniedError):
            self._require_gone()
            return set()
        named = {number for alias in aliases for number in alias.versions}
        return {versions[number].endpoint for number in named & versions.keys()} - {""}

    def _require_gone(self) -> None:
        """Raise the current error again, unless the function is one that Terraform destroyed.

        A releaser has no permissions on a function that its stack no longer has.
        """
        if self.deployment:
            raise  # noqa: PLE0704 - only called while an error is handled
