"""Calls to SageMaker for models, endpoint configurations and endpoints.

The client is an argument, so that tests can pass one that emulates AWS.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.release.api_calls import (
    AlreadyExistsError,
    ApiCalls,
    ApiErrors,
    ResourceMissingError,
)
from shearling.release.endpoints.specification import VARIANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_sagemaker import SageMakerClient

    from shearling.release.clock import Clock
    from shearling.release.endpoints.specification import EndpointSpecification

_ERRORS = ApiErrors(
    api="SageMaker",
    conflict=frozenset({"ConflictException", "ResourceInUse", "InProgress"}),
    absent=frozenset({"ResourceNotFound", "ResourceNotFoundException"}),
    denied=frozenset({"AccessDenied", "AccessDeniedException"}),
    busy=frozenset(
        {
            "InternalFailure",
            "InternalServerException",
            "RequestLimitExceeded",
            "ServiceUnavailable",
            "Throttling",
            "ThrottlingException",
        }
    ),
    exists=frozenset({"AlreadyExists"}),
    # SageMaker has one code, ValidationException, for all of these.
    texts={
        "Could not find": "ResourceNotFound",
        "does not exist": "ResourceNotFound",
        "already existing": "AlreadyExists",
        "in-progress endpoint": "InProgress",
        "Could not assume role": "AccessDenied",
    },
)


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What SageMaker says of an endpoint.

    Attributes:
        status: such as "Creating" or "InService".
        failure: why it failed; empty otherwise.
        is_asynchronous: whether it takes requests from S3.
        is_asleep: whether it is in service, but without an instance.
    """

    status: str
    failure: str = ""
    is_asynchronous: bool = False
    is_asleep: bool = False

    @property
    def is_failed(self) -> bool:
        """Whether it will never serve."""
        return self.status in ("Failed", "OutOfService", "UpdateRollbackFailed")


class SageMaker:
    """The calls that a release needs. What exists is not created again, nor deleted twice.

    Args:
        client: a SageMaker client.
        name: name of the function, for messages.
        clock: time source.
        deadline: time of the clock, in seconds, at which to stop retrying.
    """

    def __init__(self, client: SageMakerClient, name: str, clock: Clock, deadline: float) -> None:
        self._client = client
        self._call = ApiCalls(_ERRORS, f"the endpoints of {name}", clock, deadline).call

    # Reading

    def endpoint(self, name: str) -> EndpointState | None:
        """Return the state of an endpoint; None if there is none."""
        try:
            found = self._call(lambda: self._client.describe_endpoint(EndpointName=name))
        except ResourceMissingError:
            return None
        status = found["EndpointStatus"]
        counts = [it.get("CurrentInstanceCount") for it in found.get("ProductionVariants", [])]
        return EndpointState(
            status,
            found.get("FailureReason", ""),
            is_asynchronous="AsyncInferenceConfig" in found,
            is_asleep=status == "InService" and counts == [0],
        )

    def tags(self, arn: str) -> dict[str, str]:
        """Return tags by key; empty if there is no such resource."""
        try:
            pages = list(self._pages(lambda more: self._client.list_tags(ResourceArn=arn, **more)))
        except ResourceMissingError:
            return {}
        return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}

    def models(self) -> dict[str, str]:
        """Return the ARNs of all models of the account and region, by name."""
        pages = self._pages(lambda more: self._client.list_models(MaxResults=100, **more))
        return {model["ModelName"]: model["ModelArn"] for page in pages for model in page["Models"]}

    # Writing

    def create_model(self, wanted: EndpointSpecification) -> None:
        """Create the model of an endpoint."""
        self._create(
            lambda: self._client.create_model(
                ModelName=wanted.name, Tags=wanted.tag_list, **wanted.model
            )
        )

    def create_configuration(self, wanted: EndpointSpecification) -> None:
        """Create the configuration of an endpoint.

        Raises:
            ResourceMissingError: the model does not exist.
        """
        request: dict[str, Any] = dict(wanted.configuration)
        variant: Any = {**request.pop("ProductionVariants")[0], "ModelName": wanted.name}
        self._create(
            lambda: self._client.create_endpoint_config(
                EndpointConfigName=wanted.name,
                ProductionVariants=[variant],
                Tags=wanted.tag_list,
                **request,
            )
        )

    def create_endpoint(self, wanted: EndpointSpecification) -> None:
        """Begin to create an endpoint.

        Raises:
            ResourceMissingError: the configuration does not exist.
        """
        self._create(
            lambda: self._client.create_endpoint(
                EndpointName=wanted.name, EndpointConfigName=wanted.name, Tags=wanted.tag_list
            )
        )

    def wake(self, name: str) -> None:
        """Begin to start an instance of an endpoint that has none.

        Raises:
            ConflictError: it is being updated or deleted.
        """
        self._call(
            lambda: self._client.update_endpoint_weights_and_capacities(
                EndpointName=name,
                DesiredWeightsAndCapacities=[{"VariantName": VARIANT, "DesiredInstanceCount": 1}],
            )
        )

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Set tags.

        Raises:
            ResourceMissingError: there is no such resource.
        """
        pairs: list[Any] = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._call(lambda: self._client.add_tags(ResourceArn=arn, Tags=pairs))

    def untag(self, arn: str, *keys: str) -> None:
        """Remove tags."""
        self._delete(lambda: self._client.delete_tags(ResourceArn=arn, TagKeys=list(keys)))

    def delete_endpoint(self, name: str) -> None:
        """Begin to delete an endpoint.

        Raises:
            ConflictError: it is being created, updated or deleted.
        """
        self._delete(lambda: self._client.delete_endpoint(EndpointName=name))

    def delete_configuration(self, name: str) -> None:
        """Delete the configuration of an endpoint."""
        self._delete(lambda: self._client.delete_endpoint_config(EndpointConfigName=name))

    def delete_model(self, name: str) -> None:
        """Delete the model of an endpoint."""
        self._delete(lambda: self._client.delete_model(ModelName=name))

    def _create(self, call: Callable[[], object]) -> None:
        with suppress(AlreadyExistsError):
            self._call(call)

    def _delete(self, call: Callable[[], object]) -> None:
        with suppress(ResourceMissingError):
            self._call(call)

    def _pages(self, call: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
        more: dict[str, Any] = {}
        while True:
            page = self._call(lambda more=more: call(more))  # type: ignore[misc]
            yield page
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}
