"""Find the endpoints that nothing uses any more, and remove them after a while."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shearling.errors import ReleaseError, ShearlingError
from shearling.registry.endpoint_settings import KEEP_MINUTES
from shearling.release.api_calls import ConflictError, RetryLaterError
from shearling.release.endpoints.clients import endpoints_behind
from shearling.release.endpoints.removal import Removal, delete_parts
from shearling.release.endpoints.removal_mark import UNUSED_TAG, time_of, time_text
from shearling.release.endpoints.sagemaker import SageMaker
from shearling.release.endpoints.scaling import Scaling
from shearling.release.endpoints.specification import (
    DEPLOYMENT_TAG,
    FUNCTION_TAG,
    RELEASER_TAG,
    endpoint_prefix,
)
from shearling.release.endpoints.use import EndpointUse
from shearling.release.lambda_function import LambdaFunction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_lambda import LambdaClient

    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.clock import Clock, Pace
    from shearling.release.endpoints.clients import EndpointClients

_LOG = logging.getLogger(__name__)

#: Time that Terraform gets to destroy the functions whose endpoints it removes, or to release their
#: aliases without endpoints, which it does at the same time.
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSweep:
    """Removes the endpoints of one releaser.

    Attributes:
        lambda_client: client of Lambda.
        clients: clients for endpoints.
        registry: the registry with the deployments.
        deployments: all deployments of this releaser.
        releaser: name of the releaser, with which it tags what it makes.
        clock: time source.
        deadline: time of the clock, in seconds, at which to stop.
        pace: limits the calls to Lambda a second.
        foreign: ARNs of models of others, as earlier sweeps found them.
    """

    lambda_client: LambdaClient
    clients: EndpointClients
    registry: Registry
    deployments: Sequence[Deployment]
    releaser: str
    clock: Clock
    deadline: float
    pace: Pace | None = None
    foreign: set[str]

    def run(self) -> None:
        """Mark endpoints that are unused, and remove those that have been for a while.

        That includes endpoints of deployments that are gone. A failure is only logged: the next
        sweep tries again.
        """
        try:
            for name, arn, tags in self._made():
                self._try_to_visit(name, arn, tags)
        except (ShearlingError, ConflictError) as error:
            _LOG.warning("could not remove unused endpoints: %s", error)

    def remove_all(self) -> None:
        """Remove all endpoints before Terraform takes the permissions for that, and wait for it.

        Terraform meanwhile destroys the deployments, or lets their functions serve the models: an
        endpoint is removed when its deployment is gone, or has no endpoints any more and no alias
        needs this one.

        Raises:
            ReleaseError: an endpoint is left.
        """
        start, attempt = self.clock.now(), 0
        while made := [(name, tags) for name, _, tags in self._made()]:
            known = {it.key: it for it in self.registry.release_log.deployments()}
            needed = {
                name for name, tags in made if self._is_needed(name, tags, known.get(_key(tags)))
            }
            for name in (name for name, _ in made if name not in needed):
                delete_parts(self._sagemaker, self._scaling, name)
            now = self.clock.now()
            if needed and now >= min(self.deadline, start + _PATIENCE_SECONDS):
                raise ReleaseError(
                    f"these endpoints are still needed: {', '.join(sorted(needed))}. Read in "
                    "`shearling status` why an alias still serves from one, release a version that "
                    "passes, and apply again"
                )
            if now >= self.deadline:
                names = ", ".join(name for name, _ in made)
                raise ReleaseError(
                    f"these endpoints are not deleted yet: {names}. SageMaker deletes none that "
                    "it is still creating. Apply again in some minutes"
                )
            self.clock.pause(attempt, longest=10)
            attempt += 1

    def _is_needed(self, name: str, tags: Mapping[str, str], deployment: Deployment | None) -> bool:
        """Return whether a deployment needs an endpoint as long as Terraform leaves it as it is."""
        if deployment is None:
            return False
        return deployment.sagemaker is not None or self._use(tags, deployment).is_used(name)

    @property
    def _sagemaker(self) -> SageMaker:
        return SageMaker(self.clients.sagemaker, self.releaser, self.clock, self.deadline)

    @property
    def _scaling(self) -> Scaling:
        clients = self.clients
        return Scaling(clients.scaling, clients.alarms, self.releaser, self.clock, self.deadline)

    def _made(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield the name, the model's ARN and its tags of all endpoints that this releaser made."""
        for name, arn in self._sagemaker.models().items():
            if not endpoint_prefix(name) or arn in self.foreign:
                continue
            tags = self._sagemaker.tags(arn)
            if tags.get(RELEASER_TAG) == self.releaser:
                yield name, arn, tags
            elif tags:
                self.foreign.add(arn)

    def _try_to_visit(self, name: str, arn: str, tags: Mapping[str, str]) -> None:
        """Visit an endpoint; a failure does not stop the sweep, unless there is no time left."""
        known = {deployment.key: deployment for deployment in self.deployments}
        try:
            self._visit(name, arn, tags, known.get(_key(tags)))
        except RetryLaterError:
            raise
        except ConflictError:
            pass  # another releaser has removed it
        except ShearlingError as error:
            _LOG.warning("could not tell whether endpoint %s is used: %s", name, error)

    def _visit(
        self, name: str, arn: str, tags: Mapping[str, str], deployment: Deployment | None
    ) -> None:
        use, now = self._use(tags, deployment), self.clock.date()
        since = tags.get(UNUSED_TAG)
        if use.is_used(name):
            if since is not None:
                self._sagemaker.untag(arn, UNUSED_TAG)
        elif since is None:
            self._sagemaker.tag(arn, {UNUSED_TAG: time_text(now)})
        elif now - time_of(since) >= _keep(deployment):
            Removal(self._sagemaker, self._scaling, self.clock).run(name, arn, use)

    def _use(self, tags: Mapping[str, str], deployment: Deployment | None) -> EndpointUse:
        function = LambdaFunction(
            self.lambda_client, tags.get(FUNCTION_TAG, ""), self.clock, self.deadline, self.pace
        )
        endpoints = (
            endpoints_behind(deployment, self.clients, self.registry, self.clock, self.deadline)
            if deployment
            else None
        )
        return EndpointUse(function, self.registry, deployment, endpoints, self.clock)


def _key(tags: Mapping[str, str]) -> str:
    """Return the key of the deployment that an endpoint is of."""
    return tags.get(DEPLOYMENT_TAG, "")


def _keep(deployment: Deployment | None) -> timedelta:
    settings = deployment and deployment.sagemaker
    return timedelta(minutes=settings.keep_minutes if settings else KEEP_MINUTES)
