"""What Terraform asks of the SageMaker endpoints of one function, in its deployment record."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shearling.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.bundle.json_reader import Field

#: Minutes that an endpoint is kept after no alias names it any more.
KEEP_MINUTES = 30

#: A name for SageMaker. An endpoint's has at most 63 characters: this, a hyphen and eight more.
_PREFIX = re.compile(r"(?=.{1,54}\Z)[A-Za-z0-9](-*[A-Za-z0-9])*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instances:
    """How many instances serve an endpoint.

    Attributes:
        min: smallest number; 0 for an asynchronous endpoint, which starts with one.
        max: largest number.
        target: calls that the number follows: those a minute and instance, or those that wait for
            an instance of an asynchronous endpoint.
    """

    min: int
    max: int
    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Serverless:
    """The capacity of a serverless endpoint.

    Attributes:
        memory_mb: memory in MB.
        max_concurrency: largest number of calls at once.
    """

    memory_mb: int
    max_concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """The endpoints of one function. The releaser makes one for each model version that it serves.

    Either `instance_type` and `instances`, or `serverless` is set.

    Attributes:
        endpoint_prefix: what the names of the endpoints begin with.
        role_arn: execution role of the containers.
        image_uri: container image.
        instance_type: as in `ml.m5.large`; empty if the endpoints are serverless.
        instances: how many instances; None if the endpoints are serverless.
        serverless: capacity of serverless endpoints; None if they have instances.
        keep_minutes: minutes that an endpoint is kept after no alias names it any more.
        startup_seconds: seconds that a container may take to start; 0 for SageMaker's default.
        calls_uri: URI of the folder with the calls of asynchronous endpoints; empty for synchronous
            ones.
        subnet_ids: subnets of the containers; empty outside a VPC.
        security_group_ids: security groups of the containers; empty outside a VPC.
        kms_key_arn: key that encrypts the volumes of the instances; empty for SageMaker's own.
        log_retention_days: days after which log events of the containers are deleted; 0 for never.
        log_key_arn: key that encrypts these logs; empty for CloudWatch's own.
        environment: environment variables of the container.
        tags: tags of all that the releaser makes.
    """

    endpoint_prefix: str
    role_arn: str
    image_uri: str
    instance_type: str = ""
    instances: Instances | None = None
    serverless: Serverless | None = None
    keep_minutes: int = KEEP_MINUTES
    startup_seconds: int = 0
    calls_uri: str = ""
    subnet_ids: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    kms_key_arn: str = ""
    log_retention_days: int = 0
    log_key_arn: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def read_endpoint_settings(place: Field) -> EndpointSettings | None:
    """Read the field `sagemaker` of a deployment record; None for a function without endpoints.

    Raises:
        BundleError: a field is missing or not allowed.
    """
    if place.value is None:
        return None
    instance_type = place.get("instance_type", "").text()
    instances = _instances(place.get("instances", None))
    serverless = _serverless(place.get("serverless", None))
    calls_uri = place.get("calls_uri", "").text().rstrip("/")
    has_instances = [bool(instance_type), instances is not None]
    if has_instances != [serverless is None] * 2:
        raise BundleError(
            "expected either `instance_type` and `instances`, or `serverless`", field=place.path
        )
    if bool(calls_uri) != (instances is not None and instances.min == 0):
        raise BundleError(
            "`calls_uri` and `instances.min` = 0 go together", field=f"{place.path}.calls_uri"
        )
    return EndpointSettings(
        endpoint_prefix=_prefix(place["endpoint_prefix"]),
        role_arn=_filled(place["role_arn"]),
        image_uri=_filled(place["image_uri"]),
        instance_type=instance_type,
        instances=instances,
        serverless=serverless,
        keep_minutes=place.get("keep_minutes", KEEP_MINUTES).count(),
        startup_seconds=place.get("startup_seconds", 0).count(),
        calls_uri=calls_uri,
        subnet_ids=_texts(place.get("subnet_ids", [])),
        security_group_ids=_texts(place.get("security_group_ids", [])),
        kms_key_arn=place.get("kms_key_arn", "").text(),
        log_retention_days=place.get("log_retention_days", 0).count(),
        log_key_arn=place.get("log_key_arn", "").text(),
        environment=_text_by_name(place.get("environment", {})),
        tags=_text_by_name(place.get("tags", {})),
    )


def _instances(place: Field) -> Instances | None:
    if place.value is None:
        return None
    least, most = place["min"].count(), _positive(place["max"])
    if most < least:
        raise BundleError(f"{most} is below {least}", field=f"{place.path}.max")
    return Instances(min=least, max=most, target=_positive(place["target"]))


def _serverless(place: Field) -> Serverless | None:
    if place.value is None:
        return None
    return Serverless(
        memory_mb=_positive(place["memory_mb"]),
        max_concurrency=_positive(place["max_concurrency"]),
    )


def _prefix(place: Field) -> str:
    text = place.text()
    if not _PREFIX.fullmatch(text):
        raise BundleError(
            f"{text!r:.80} is not the beginning of an endpoint's name: expected at most 54 "
            "letters, digits and hyphens, with a letter or digit at both ends",
            field=place.path,
        )
    return text


def _filled(place: Field) -> str:
    text = place.text()
    if not text:
        raise BundleError("it is empty", field=place.path)
    return text


def _positive(place: Field) -> int:
    number = place.count()
    if number < 1:
        raise BundleError(f"{number} is not positive", field=place.path)
    return number


def _texts(place: Field) -> tuple[str, ...]:
    return tuple(_filled(item) for item in place.items())


def _text_by_name(place: Field) -> dict[str, str]:
    return {name: place[name].text() for name in place.expect(dict, "an object")}
