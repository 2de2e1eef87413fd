"""Publish a Lambda version for a pin again, for a batch run whose version is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shearling.errors import ReleaseError
from shearling.release.alias_state import Target
from shearling.release.api_calls import ConflictError, RetryLaterError
from shearling.release.clock import Clock, Stopwatch
from shearling.release.endpoints.clients import endpoints_behind
from shearling.release.lambda_function import LambdaFunction
from shearling.release.publisher import Publisher
from shearling.release.trigger import Trigger

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

    from shearling.refs import Pin
    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.endpoints.clients import EndpointClients

#: The planner's request to the releaser: the value of "shearling" in its event.
PUBLISH = "publish"

#: Conflicts in a row with releases of the same function, each of which needs some seconds.
_CONFLICT_LIMIT = 20


def publish_pin(
    client: LambdaClient,
    registry: Registry,
    deployment: Deployment,
    pin: Pin,
    *,
    patience_seconds: float,
    endpoint_clients: EndpointClients | None = None,
    clock: Clock | None = None,
) -> str:
    """Return the number of a Lambda version with a pin that passes its check.

    No alias moves. A version with the same pin, code and configuration is used again.

    Args:
        client: a client from `lambda_client`.
        registry: the registry with the model.
        deployment: the function.
        pin: the model.
        patience_seconds: seconds after which to stop waiting for Lambda.
        endpoint_clients: clients to make endpoints with; needed if the deployment has endpoints.
        clock: time source; the system's clock by default.

    Raises:
        ReleaseError: the registry has no such version of the function's model, or the function
            cannot serve it. A BeingStagedError if it cannot yet.
    """
    if pin.model != deployment.model or registry.resolve(f"{pin.model}:{pin.version}") != pin:
        raise ReleaseError(f"{pin} is no version of {deployment.model} in {registry.store.uri}")
    clock = clock or Clock()
    deadline = clock.now() + patience_seconds
    function, stager = (
        LambdaFunction(client, name, clock, deadline)
        for name in (deployment.function, deployment.stager)
    )
    target = Target(function, registry, deployment, deployment.aliases[0])
    endpoints = endpoints_behind(deployment, endpoint_clients, registry, clock, deadline)
    publisher = Publisher(target, stager, clock, Stopwatch(clock), None, endpoints=endpoints)
    for attempt in range(_CONFLICT_LIMIT):
        try:
            version = publisher.ensure_version(str(pin), Trigger.REQUEST)
            publisher.check(version, str(pin))
        except ConflictError:
            clock.pause(attempt)
        else:
            return version.number
    raise RetryLaterError(f"other processes keep changing {deployment.function}")
