"""The SageMaker model, configuration and endpoint that serve one model version of a function."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.bundle.canonical_json import canonical_json
from shearling.registry.registry import REGISTRY_VARIABLE
from shearling.release.function_configuration import PIN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.registry.endpoint_settings import EndpointSettings
    from shearling.registry.records import Deployment

#: Tags of everything that the releaser makes.
DEPLOYMENT_TAG = "shearling:deployment"
RELEASER_TAG = "shearling:releaser"
FUNCTION_TAG = "shearling:function"
MODEL_TAG = "shearling:model"

#: SageMaker's name for the only variant of an endpoint.
VARIANT = "AllTraffic"

_NAME = re.compile(r"(?P<prefix>.+)-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpecification:
    """What SageMaker is asked for. Another pin, image or setting makes another name.

    Attributes:
        name: name of the model, of the configuration and of the endpoint.
        settings: what Terraform asks of the function's endpoints.
        tags: tags of all three.
        model_arn: ARN of the model.
        model: request to create the model, without name and tags.
        configuration: request to create the configuration, without names and tags.
    """

    name: str
    settings: EndpointSettings
    tags: Mapping[str, str]
    model_arn: str
    model: Mapping[str, Any]
    configuration: Mapping[str, Any]

    @property
    def tag_list(self) -> list[Any]:
        """The tags as SageMaker's API has them."""
        return [{"Key": key, "Value": value} for key, value in sorted(self.tags.items())]


def specify(
    deployment: Deployment, settings: EndpointSettings, registry_uri: str, pin: str
) -> EndpointSpecification:
    """Return the endpoint of a pin behind a function.

    Args:
        deployment: the function.
        settings: what Terraform asks of its endpoints.
        registry_uri: registry that the containers read.
        pin: the model, such as `fraud:7@sha256:...`.
    """
    model = _model_request(settings, {REGISTRY_VARIABLE: registry_uri, PIN_VARIABLE: pin})
    configuration = _configuration_request(settings)
    scaled = settings.instances
    # A function that was created again has another key, and shares nothing with the former one.
    identity: list[Any] = [deployment.key, model, configuration]
    identity += [scaled.min, scaled.max, scaled.target] if scaled else []
    digest = hashlib.sha256(canonical_json(identity)).hexdigest()
    name = f"{settings.endpoint_prefix}-{digest[:8]}"
    partition = settings.role_arn.split(":")[1]
    place = f"arn:{partition}:sagemaker:{deployment.region}:{deployment.account}"
    return EndpointSpecification(
        name=name,
        settings=settings,
        tags={
            **settings.tags,
            DEPLOYMENT_TAG: deployment.key,
            RELEASER_TAG: deployment.releaser,
            FUNCTION_TAG: deployment.function,
            MODEL_TAG: pin,
        },
        model_arn=f"{place}:model/{name.lower()}",  # as SageMaker writes it
        model=model,
        configuration=configuration,
    )


def endpoint_prefix(name: str) -> str:
    """Return what the names of a function's endpoints begin with; empty for a name of others."""
    found = _NAME.fullmatch(name)
    return found["prefix"] if found else ""


def _model_request(settings: EndpointSettings, variables: Mapping[str, str]) -> dict[str, Any]:
    request: dict[str, Any] = {
        "ExecutionRoleArn": settings.role_arn,
        "PrimaryContainer": {
            "Image": settings.image_uri,
            "Environment": {**settings.environment, **variables},
        },
    }
    if settings.subnet_ids:
        request["VpcConfig"] = {
            "Subnets": list(settings.subnet_ids),
            "SecurityGroupIds": list(settings.security_group_ids),
        }
    return request


def _configuration_request(settings: EndpointSettings) -> dict[str, Any]:
    variant: dict[str, Any] = {"VariantName": VARIANT}
    if settings.serverless:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": settings.serverless.memory_mb,
            "MaxConcurrency": settings.serverless.max_concurrency,
        }
    if settings.instances:
        variant["InstanceType"] = settings.instance_type
        variant["InitialInstanceCount"] = max(1, settings.instances.min)
    if settings.startup_seconds:
        variant["ContainerStartupHealthCheckTimeoutInSeconds"] = settings.startup_seconds
    request: dict[str, Any] = {"ProductionVariants": [variant]}
    if settings.calls_uri:
        request["AsyncInferenceConfig"] = {
            "OutputConfig": {
                "S3OutputPath": f"{settings.calls_uri}/answers",
                "S3FailurePath": f"{settings.calls_uri}/failures",
            }
        }
    if settings.kms_key_arn:
        request["KmsKeyId"] = settings.kms_key_arn
    return request
