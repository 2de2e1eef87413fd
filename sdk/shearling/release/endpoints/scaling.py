"""How the number of instances of an endpoint follows its load, by Application Auto Scaling."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from shearling.release.api_calls import ApiCalls, ApiErrors, ResourceMissingError
from shearling.release.endpoints.specification import VARIANT

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient
    from mypy_boto3_cloudwatch import CloudWatchClient

    from shearling.release.clock import Clock
    from shearling.release.endpoints.specification import EndpointSpecification

_ERRORS = ApiErrors(
    api="Application Auto Scaling or CloudWatch",
    # The endpoint was updated or deleted meanwhile.
    conflict=frozenset({"ConcurrentUpdateException"}),
    absent=frozenset({"ObjectNotFoundException", "ResourceNotFound"}),
    denied=frozenset({"AccessDenied", "AccessDeniedException"}),
    busy=frozenset(
        {
            "InternalFailure",
            "InternalServiceException",
            "ServiceUnavailable",
            "Throttling",
            "ThrottlingException",
        }
    ),
)

#: What a synchronous endpoint follows.
_CALLS: dict[str, Any] = {
    "PredefinedMetricSpecification": {
        "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
    }
}

#: An instance takes minutes to start, in which the backlog does not tell how many are needed.
_COOLDOWN_SECONDS = 300


class Scaling:
    """The scalable targets of a function's endpoints.

    Args:
        client: a client of Application Auto Scaling.
        alarms: a client of CloudWatch.
        name: name of the function, for messages.
        clock: time source.
        deadline: time of the clock, in seconds, at which to stop retrying.
    """

    def __init__(
        self,
        client: ApplicationAutoScalingClient,
        alarms: CloudWatchClient,
        name: str,
        clock: Clock,
        deadline: float,
    ) -> None:
        self._client = client
        self._alarms = alarms
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
        metric = _backlog(wanted.name) if instances.min == 0 else _CALLS
        tracking: Any = {"TargetValue": float(instances.target), **metric}
        self._call(
            lambda: self._client.put_scaling_policy(
                **place,
                PolicyName=wanted.name,
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration=tracking,
            )
        )
        if instances.min == 0:
            self._start_from_zero(wanted)

    def remove(self, name: str) -> None:
        """Remove the scalable target of an endpoint, with its policies and their own alarms."""
        with suppress(ResourceMissingError):
            self._call(lambda: self._client.deregister_scalable_target(**_place(name)))

    def remove_alarm(self, name: str) -> None:
        """Delete the alarm that starts the first instance of an asynchronous endpoint."""
        with suppress(ResourceMissingError):
            self._call(lambda: self._alarms.delete_alarms(AlarmNames=[_start(name)]))

    def _start_from_zero(self, wanted: EndpointSpecification) -> None:
        """Start an instance when a call waits and there is none.

        Without instances there is no backlog for each of them, which the other policy follows. The
        alarm of this policy is not made by Application Auto Scaling.
        """
        policy = self._call(
            lambda: self._client.put_scaling_policy(
                **_place(wanted.name),
                PolicyName=_start(wanted.name),
                PolicyType="StepScaling",
                StepScalingPolicyConfiguration={
                    "AdjustmentType": "ChangeInCapacity",
                    "MetricAggregationType": "Maximum",
                    "Cooldown": _COOLDOWN_SECONDS,
                    "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
                },
            )
        )
        self._call(
            lambda: self._alarms.put_metric_alarm(
                AlarmName=_start(wanted.name),
                AlarmDescription="A call waits for an endpoint without instances: one is started.",
                Namespace="AWS/SageMaker",
                MetricName="HasBacklogWithoutCapacity",
                Dimensions=[{"Name": "EndpointName", "Value": wanted.name}],
                Statistic="Maximum",
                Period=60,
                EvaluationPeriods=1,
                Threshold=1,
                ComparisonOperator="GreaterThanOrEqualToThreshold",
                TreatMissingData="missing",
                AlarmActions=[policy["PolicyARN"]],
            )
        )


def _start(name: str) -> str:
    """Return the name of the policy that starts the first instance, and of its alarm."""
    return f"{name}-start"


def _backlog(name: str) -> dict[str, Any]:
    return {
        "CustomizedMetricSpecification": {
            "Namespace": "AWS/SageMaker",
            "MetricName": "ApproximateBacklogSizePerInstance",
            "Dimensions": [{"Name": "EndpointName", "Value": name}],
            "Statistic": "Average",
        },
        "ScaleOutCooldown": _COOLDOWN_SECONDS,
        "ScaleInCooldown": 2 * _COOLDOWN_SECONDS,
    }


def _place(name: str) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/{VARIANT}",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
