"""Bring the endpoints of a function into service, one step at a time.

Each run of the releaser makes what is missing and returns. SageMaker's events and the schedule
start the next run, so the only state is SageMaker's own. A release waits while a removal of its
endpoint is under way: see `removal`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shearling.errors import ReleaseError
from shearling.release.endpoints.log_group import log_group
from shearling.release.endpoints.removal_mark import UNUSED_TAG, is_being_removed
from shearling.release.endpoints.specification import DEPLOYMENT_TAG, specify
from shearling.release.health_check import CheckFailedError
from shearling.release.staging import BeingStagedError

if TYPE_CHECKING:
    from shearling.registry.endpoint_settings import EndpointSettings
    from shearling.registry.records import Deployment
    from shearling.release.clock import Clock
    from shearling.release.endpoints.log_group import LogGroups
    from shearling.release.endpoints.sagemaker import EndpointState, SageMaker
    from shearling.release.endpoints.scaling import Scaling
    from shearling.release.endpoints.specification import EndpointSpecification

#: Time for instances and for the image; the container's time to start is added.
_LIMIT = timedelta(hours=1)

#: Seconds that SageMaker waits for a container unless it is told another number.
_STARTUP_SECONDS = 480

#: Failures of AWS, after which another attempt may succeed without a change.
_PASSING = re.compile("insufficient.{0,20}capacity|internal (server )?error", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints behind one function.

    Attributes:
        sagemaker: calls to SageMaker.
        scaling: calls about the number of instances.
        log_groups: calls about the logs of the containers.
        deployment: the function.
        settings: what Terraform asks of its endpoints.
        registry_uri: registry that the containers read.
        clock: time source.
    """

    sagemaker: SageMaker
    scaling: Scaling
    log_groups: LogGroups
    deployment: Deployment
    settings: EndpointSettings
    registry_uri: str
    clock: Clock

    def name(self, pin: str) -> str:
        """Return the name of a pin's endpoint."""
        return self._specify(pin).name

    def require(self, pin: str, *, is_under_way: bool, is_repetition: bool = False) -> None:
        """Require that a pin's endpoint is in service, and take the next step if it is not.

        Args:
            pin: the model, such as `fraud:7@sha256:...`.
            is_under_way: whether the endpoint is being made for this release. If not, a failed one
                is of an earlier attempt, and made again.
            is_repetition: whether the schedule repeats an attempt that failed. Then a failed one is
                made again only if its failure may pass.

        Raises:
            BeingStagedError: the endpoint is being made.
            ReleaseError: the endpoint failed. A CheckFailedError if another attempt would fail too.
            ConflictError: another process removed a part of it meanwhile.
        """
        wanted = self._specify(pin)
        tags = self._require_unmarked(wanted)
        if UNUSED_TAG in tags:
            self.sagemaker.untag(wanted.model_arn, UNUSED_TAG)
        state = self.sagemaker.endpoint(wanted.name)
        if state is None:
            self._create(wanted)
            raise self._staging(wanted, "Creating")
        if state.is_failed:
            failure = _failure(wanted, state)
            is_final = is_repetition and isinstance(failure, CheckFailedError)
            if is_under_way or is_final:
                raise failure
            self.sagemaker.delete_endpoint(wanted.name)
            raise self._staging(wanted, f"{state.status}: it is made again")
        if state.status != "InService":
            raise self._staging(wanted, state.status)
        self.scaling.apply(wanted)
        self.log_groups.apply(wanted)

    def confirm(self, pin: str) -> None:
        """Require that no removal of an endpoint began before a Lambda version named it.

        A removal that begins later finds the version.

        Raises:
            BeingStagedError: the endpoint is being removed, or it is no longer in service.
        """
        wanted = self._specify(pin)
        # In this order: a removal takes its mark away after it has deleted the endpoint.
        self._require_unmarked(wanted)
        state = self.sagemaker.endpoint(wanted.name)
        if state is None or state.status != "InService":
            raise self._staging(wanted, state.status if state else "deleted")

    def wake(self, pin: str) -> None:
        """Require that a pin's endpoint has an instance, which a check would have to wait for.

        Raises:
            BeingStagedError: an instance is being started.
        """
        wanted = self._specify(pin)
        state = self.sagemaker.endpoint(wanted.name)
        if state and state.is_asleep:
            self.sagemaker.wake(wanted.name)
            raise self._staging(wanted, "starting an instance")

    def _create(self, wanted: EndpointSpecification) -> None:
        self.log_groups.apply(wanted)
        self.sagemaker.create_configuration(wanted)
        # A removal that did not see the configuration has set its mark before.
        self._require_unmarked(wanted)
        self.sagemaker.create_endpoint(wanted)

    def _require_unmarked(self, wanted: EndpointSpecification) -> dict[str, str]:
        """Require that no removal is under way, and create the model if there is none.

        Returns:
            The tags of the model.
        """
        tags = self.sagemaker.tags(wanted.model_arn)
        if DEPLOYMENT_TAG not in tags:
            self.sagemaker.create_model(wanted)
        elif is_being_removed(tags, self.clock.date()):
            raise self._staging(wanted, "being deleted: it is made again afterwards")
        return tags

    def _specify(self, pin: str) -> EndpointSpecification:
        return specify(self.deployment, self.settings, self.registry_uri, pin)

    def _staging(self, wanted: EndpointSpecification, state: str) -> BeingStagedError:
        seconds = self.settings.startup_seconds or _STARTUP_SECONDS
        return BeingStagedError(
            f"endpoint {wanted.name} is {state}",
            goal=f"endpoint {wanted.name} was not in service",
            limit=_LIMIT + timedelta(seconds=seconds),
            log=log_group(wanted.name),
        )


def _failure(wanted: EndpointSpecification, state: EndpointState) -> ReleaseError:
    kind = ReleaseError if _PASSING.search(state.failure) else CheckFailedError
    reason = state.failure or f"its status is {state.status}"
    return kind(
        f"endpoint {wanted.name} failed: {reason[:1000].rstrip('.')}. Its containers log to "
        f"{log_group(wanted.name)}"
    )
