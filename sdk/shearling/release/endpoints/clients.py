"""Clients of the AWS APIs that endpoints need, and what is built on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.release.endpoints.in_service import Endpoints
from shearling.release.endpoints.log_group import LogGroups
from shearling.release.endpoints.sagemaker import SageMaker
from shearling.release.endpoints.scaling import Scaling

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sagemaker import SageMakerClient

    from shearling.registry.records import Deployment
    from shearling.registry.registry import Registry
    from shearling.release.clock import Clock


@dataclass(frozen=True, slots=True)
class EndpointClients:
    """The clients of boto3, which tests replace.

    Attributes:
        sagemaker: client of SageMaker.
        scaling: client of Application Auto Scaling.
        alarms: client of CloudWatch.
        logs: client of CloudWatch Logs.
    """

    sagemaker: SageMakerClient
    scaling: ApplicationAutoScalingClient
    alarms: CloudWatchClient
    logs: CloudWatchLogsClient


def endpoints_behind(
    deployment: Deployment,
    clients: EndpointClients | None,
    registry: Registry,
    clock: Clock,
    deadline: float,
) -> Endpoints | None:
    """Return the endpoints of a function; None if it has none.

    Args:
        deployment: the function.
        clients: clients to make endpoints with; may be None if the function has none.
        registry: the registry that its containers read.
        clock: time source.
        deadline: time of the clock, in seconds, at which to stop retrying.
    """
    if deployment.sagemaker is None:
        return None
    if clients is None:
        raise ValueError(f"{deployment.function} has endpoints: clients are missing")
    name = deployment.function
    return Endpoints(
        sagemaker=SageMaker(clients.sagemaker, name, clock, deadline),
        scaling=Scaling(clients.scaling, clients.alarms, name, clock, deadline),
        log_groups=LogGroups(clients.logs, name, clock, deadline),
        deployment=deployment,
        settings=deployment.sagemaker,
        registry_uri=registry.store.uri,
        clock=clock,
    )


def endpoint_clients(region: str) -> EndpointClients:
    """Return clients for an AWS region that do not repeat a request: a release does."""
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
    return EndpointClients(
        boto3.client("sagemaker", region_name=region, config=config),
        boto3.client("application-autoscaling", region_name=region, config=config),
        boto3.client("cloudwatch", region_name=region, config=config),
        boto3.client("logs", region_name=region, config=config),
    )
