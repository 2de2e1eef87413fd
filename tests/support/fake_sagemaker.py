"""SageMaker's endpoints and their scaling in memory, with the states and refusals of AWS.

An endpoint is Creating before it is InService or Failed, and Deleting before it is gone. Meanwhile
nothing may change it. Every request is validated against botocore's model of its API.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from botocore import xform_name

from shearling.release.endpoints.clients import EndpointClients
from tests.support.fake_lambda import api_model, check_request, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.exceptions import ClientError


@dataclass
class FakeSageMaker:
    """The models, configurations and endpoints of an account.

    Attributes:
        settle: number of reads until an endpoint is created or deleted.
        failure: returns why the endpoint of a pin fails; empty if it comes into service.
        before: called with the name of each operation before it runs.
        on_deletion: called with an endpoint's name when its deletion begins.
        refusals: errors to raise, one for each call, by the operation's name.
    """

    settle: int = 1
    failure: Callable[[str], str] = field(default=lambda _: "")
    before: Callable[[str], object] = len
    on_deletion: Callable[[str], object] = len
    refusals: dict[str, list[ClientError]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    configurations: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)
    log_groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    page_size: int = 2
    region: str = "eu-west-1"

    @property
    def clients(self) -> EndpointClients:
        services = ("sagemaker", "application-autoscaling", "cloudwatch", "logs")
        return EndpointClients(*(cast("Any", _Client(self, service)) for service in services))

    # State for tests

    @property
    def names(self) -> set[str]:
        """The names of all that exists."""
        return {*self.models, *self.configurations, *self.endpoints}

    def status(self, name: str) -> str:
        """Return the status of an endpoint; empty if there is none."""
        return str(self.endpoints.get(name, {}).get("EndpointStatus", ""))

    def pin(self, name: str) -> str:
        """Return the pin in a model's environment."""
        environment = self.models[name]["PrimaryContainer"]["Environment"]
        return str(environment["SHEARLING_MODEL"])

    def finish(self) -> None:
        """Let SageMaker finish all that it is doing."""
        for name in list(self.endpoints):
            self._finish(name)

    # Models and configurations

    def create_model(self, **request: Any) -> dict[str, Any]:
        return self._create("model", "model", self.models, request["ModelName"], request)

    def list_models(self, **request: Any) -> dict[str, Any]:
        start = int(request.get("NextToken", 0))
        names = list(self.models)[start : start + self.page_size]
        page: dict[str, Any] = {
            "Models": [{"ModelName": it, "ModelArn": self._arn("model", it)} for it in names]
        }
        if start + self.page_size < len(self.models):
            page["NextToken"] = str(start + self.page_size)
        return page

    def delete_model(self, **request: Any) -> None:
        self._delete("model", "model", self.models, request["ModelName"])

    def create_endpoint_config(self, **request: Any) -> dict[str, Any]:
        for variant in request["ProductionVariants"]:
            self._find("model", self.models, variant["ModelName"])
        name = request["EndpointConfigName"]
        kind = "endpoint configuration"
        return self._create("endpoint-config", kind, self.configurations, name, request)

    def delete_endpoint_config(self, **request: Any) -> None:
        name = request["EndpointConfigName"]
        self._delete("endpoint-config", "endpoint configuration", self.configurations, name)

    # Endpoints

    def create_endpoint(self, **request: Any) -> dict[str, Any]:
        configured = request["EndpointConfigName"]
        found = self._find("endpoint configuration", self.configurations, configured)
        name = request["EndpointName"]
        answer = self._create("endpoint", "endpoint", self.endpoints, name, request)
        (variant,) = found["ProductionVariants"]
        self.endpoints[name] |= {
            "EndpointStatus": "Creating",
            "reads": self.settle,
            "failure": self.failure(self.pin(variant["ModelName"])),
            "instances": variant.get("InitialInstanceCount"),
        }
        if "AsyncInferenceConfig" in found:
            self.endpoints[name]["calls"] = found["AsyncInferenceConfig"]
        return answer

    def describe_endpoint(self, **request: Any) -> dict[str, Any]:
        name = request["EndpointName"]
        if name in self.endpoints:
            self.endpoints[name]["reads"] -= 1
            if self.endpoints[name]["reads"] < 0:
                self._finish(name)
        found = self._find("endpoint", self.endpoints, name)
        answer = {"EndpointName": name, "EndpointStatus": found["EndpointStatus"]}
        if found["instances"] is not None:
            counted = {"VariantName": "AllTraffic", "CurrentInstanceCount": found["instances"]}
            answer["ProductionVariants"] = [counted]
        if "calls" in found:
            answer["AsyncInferenceConfig"] = found["calls"]
        if found["EndpointStatus"] == "Failed":
            answer["FailureReason"] = found["failure"]
        return answer

    def update_endpoint_weights_and_capacities(self, **request: Any) -> None:
        found = self._find("endpoint", self.endpoints, request["EndpointName"])
        if found["EndpointStatus"] != "InService":
            raise _invalid(f"Cannot update in-progress endpoint {request['EndpointName']!r}.")
        (wanted,) = request["DesiredWeightsAndCapacities"]
        found |= {"EndpointStatus": "Updating", "reads": self.settle}
        found["instances"] = wanted["DesiredInstanceCount"]

    def delete_endpoint(self, **request: Any) -> None:
        found = self._find("endpoint", self.endpoints, request["EndpointName"])
        if found["EndpointStatus"] in ("Creating", "Updating", "Deleting"):
            raise _invalid(f"Cannot update in-progress endpoint {request['EndpointName']!r}.")
        self.on_deletion(request["EndpointName"])
        found |= {"EndpointStatus": "Deleting", "reads": self.settle}

    # Tags

    def list_tags(self, **request: Any) -> dict[str, Any]:
        tags = self.tags.get(request["ResourceArn"], {})
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def add_tags(self, **request: Any) -> None:
        if request["ResourceArn"] not in self.tags:
            raise _invalid(f"Could not find {request['ResourceArn']}.")
        self.tags[request["ResourceArn"]] |= {it["Key"]: it["Value"] for it in request["Tags"]}

    def delete_tags(self, **request: Any) -> None:
        for key in request["TagKeys"]:
            self.tags.get(request["ResourceArn"], {}).pop(key, None)

    # Scaling

    def register_scalable_target(self, **request: Any) -> None:
        name = request["ResourceId"].split("/")[1]
        if self.status(name) != "InService":
            raise refusal("ValidationException", f"endpoint {name} is not in service")
        self.targets[request["ResourceId"]] = request

    def put_scaling_policy(self, **request: Any) -> dict[str, Any]:
        assert request["ResourceId"] in self.targets
        self.policies[request["PolicyName"]] = request
        return {"PolicyARN": f"arn:aws:autoscaling:{self.region}:000:{request['PolicyName']}"}

    def deregister_scalable_target(self, **request: Any) -> None:
        if request["ResourceId"] not in self.targets:
            raise refusal("ObjectNotFoundException", "no scalable target")
        del self.targets[request["ResourceId"]]
        for name in [*self.policies]:
            if self.policies[name]["ResourceId"] == request["ResourceId"]:
                del self.policies[name]

    def put_metric_alarm(self, **request: Any) -> None:
        self.alarms[request["AlarmName"]] = request

    def delete_alarms(self, **request: Any) -> None:
        for name in request["AlarmNames"]:
            self.alarms.pop(name, None)

    # Logs

    def create_log_group(self, **request: Any) -> None:
        if request["logGroupName"] in self.log_groups:
            raise refusal("ResourceAlreadyExistsException", "The specified log group exists")
        self.log_groups[request["logGroupName"]] = request

    def put_retention_policy(self, **request: Any) -> None:
        self.log_groups[request["logGroupName"]] |= request

    # Internals

    def _create(
        self,
        folder: str,
        kind: str,
        kept: dict[str, dict[str, Any]],
        name: str,
        request: dict[str, Any],
    ) -> dict[str, Any]:
        if name in kept:
            raise _invalid(f"Cannot create already existing {kind} {name!r}.")
        kept[name] = copy.deepcopy(request)
        self.tags[self._arn(folder, name)] = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        return {}

    def _delete(self, folder: str, kind: str, kept: dict[str, dict[str, Any]], name: str) -> None:
        self._find(kind, kept, name)
        del kept[name]
        del self.tags[self._arn(folder, name)]

    def _find(self, kind: str, kept: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
        if name not in kept:
            raise _invalid(f"Could not find {kind} {name!r}.")
        return kept[name]

    def _arn(self, folder: str, name: str) -> str:
        return f"arn:aws:sagemaker:{self.region}:000000000000:{folder}/{name.lower()}"

    def _finish(self, name: str) -> None:
        found = self.endpoints[name]
        if found["EndpointStatus"] == "Deleting":
            self._delete("endpoint", "endpoint", self.endpoints, name)
        elif found["EndpointStatus"] in ("Creating", "Updating"):
            found["EndpointStatus"] = "Failed" if found["failure"] else "InService"


class _Client:
    """A client of boto3 whose requests go to the fake."""

    def __init__(self, fake: FakeSageMaker, service: str) -> None:
        self._fake = fake
        self._service = service
        names = api_model(service).operation_names
        self._operations = {xform_name(name): name for name in names}

    def __getattr__(self, method: str) -> Callable[..., Any]:
        operation = self._operations[method]

        def call(**request: Any) -> Any:
            check_request(self._service, operation, request)
            self._fake.before(operation)
            self._fake.calls.append(operation)
            if self._fake.refusals.get(operation):
                raise self._fake.refusals[operation].pop(0)
            return getattr(self._fake, method)(**request)

        return call


def _invalid(message: str) -> ClientError:
    return refusal("ValidationException", message)
