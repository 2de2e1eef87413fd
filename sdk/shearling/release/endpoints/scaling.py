"""How the number of instances of an endpoint follows its load, by Application Auto Scaling."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from shearling.release.api_calls import ApiCalls, ApiErrors, ResourceMissingError
from shearling.release.endpoints.specification import VARIANT

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient

    from shearling.release.clock import Clock
    from shearling.release.endpoints.specification import EndpointSpecification

_ERRORS = ApiErrors(
    api="Application Auto Scaling",
    # The endpoint was updated or deleted meanwhile.
    conflict=frozenset({"ConcurrentUpdateException"}),
    absent=frozenset({"ObjectNotFoundException"}),
    denied=frozenset({"AccessDenied", "AccessDeniedException"}),
    busy=frozenset(
        {"InternalFailure", "InternalServiceException", "ServiceUnavailable", "ThrottlingException"}
    ),
)


class Scaling:
    """The scalable targets of a function's endpoints.

    Args:
        client: a client of Application Auto Scaling.
        name: name of the function, for messages.
        clock: time source.
        deadline: time of the clock, in seconds, at which to stop retrying.
    """

    def __init__(
        self, client: ApplicationAutoScalingClient, name: str, clock: Clock, deadline: float
    ) -> None:
        self._client = client
        self._call = ApiCalls(_ERRORS, f"the endpoints of {name}", clock, deadline).call

    def apply(self, wanted: EndpointSpecification) -> None:
        """Let the number of instances of an endpoint in service follow its load.

        Repeating it changes nothing. An endpoint with a fixed number of instances stays as it is.
        """
        instances = wanted.settings.instances
        if instances is None or instances.min == instances.max:
            return
        place = _place(wanted.name)
        self._call(
            lambda: self._client.register_scalable_target(
                **place, MinCapacity=instances.min, MaxCapacity=instances.max
            )
        )
        self._call(
            lambda: self._client.put_scaling_policy(
                **place,
                PolicyName=wanted.name,
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration={
                    "TargetValue": float(instances.target),
                    "PredefinedMetricSpecification": {
                        "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                    },
                },
            )
        )

    def remove(self, name: str) -> None:
        """Remove the scalable target of an endpoint, with its policies and alarms."""
        with suppress(ResourceMissingError):
            self._call(lambda: self._client.deregister_scalable_target(**_place(name)))


def _place(name: str) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
