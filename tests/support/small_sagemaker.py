"""SageMaker on loopback: its APIs over HTTP, and endpoints whose containers are real processes.

`FakeSageMaker` has the states and refusals. Here an endpoint's container is the server of our
image, started with the environment of the endpoint's model: the endpoint is Creating until `/ping`
answers 200, and Failed if the process ends before, or takes too long.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from shearling.loopback import Reply, Request, serving
from shearling.release.endpoints.clients import endpoint_clients
from tests.support.fake_sagemaker import FakeSageMaker
from tests.support.production_server import request, start_server
from tests.support.sagemaker_runtime import container_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from shearling.release.endpoints.clients import EndpointClients
    from tests.support.production_server import Served

#: Status of an endpoint -> status in the event about it.
_IN_EVENTS = {"Creating": "CREATING", "InService": "IN_SERVICE", "Failed": "FAILED"}

#: Number of reads after which the fake changes a state by itself.
_NEVER = 2**62

_BODY_LIMIT = 25 * 2**20
_INVOCATIONS = re.compile(r"/endpoints/([A-Za-z0-9-]+)/invocations")
_SIGNED = re.compile(r"Credential=[^,]+/(sagemaker|application-autoscaling)/aws4_request")
_NO_PING = (
    "The primary container for production variant AllTraffic did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)


@dataclass
class SmallSageMaker(FakeSageMaker):
    """The models, configurations and endpoints of an account, with a container each endpoint.

    `failure` still lets an endpoint fail without a container, and `refusals` are for any call.

    Attributes:
        directory: directory for files and output of the containers.
        variables: environment of every container besides its model's, such as credentials.
        on_change: called with the detail of each event about an endpoint.
        startup_seconds: seconds that a container may take until it is ready.
        may_serve: containers become ready, but their endpoints are Creating until it is set.
        url: URL of the APIs.
    """

    directory: Path = field(kw_only=True)
    variables: Mapping[str, str] = field(kw_only=True, default_factory=dict)
    on_change: Callable[[dict[str, Any]], object] = field(kw_only=True, default=len)
    startup_seconds: float = field(kw_only=True, default=60)
    may_serve: threading.Event = field(kw_only=True, default_factory=threading.Event)
    url: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.settle = _NEVER
        self.may_serve.set()
        self._containers: dict[str, Served] = {}
        self._started: dict[str, float] = {}
        self._lock = threading.RLock()
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve the APIs while the block runs, then kill the containers."""
        watching = threading.Thread(target=self._watch)
        watching.start()
        try:
            with serving(self._answer, body_limit=_BODY_LIMIT) as port:
                self.url = f"http://127.0.0.1:{port}"
                yield
        finally:
            self._ended.set()
            watching.join()
            for container in self._containers.values():
                container.kill()

    @property
    def clients(self) -> EndpointClients:
        """Clients of boto3, whose requests come over HTTP."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.variables, **self.environment}.items():
                patch.setenv(name, value)
            return endpoint_clients(self.region)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which AWS's clients find these APIs."""
        services = ("SAGEMAKER", "SAGEMAKER_RUNTIME", "APPLICATION_AUTO_SCALING")
        return {f"AWS_ENDPOINT_URL_{service}": self.url for service in services}

    def container(self, name: str) -> Served:
        """Return the container of an endpoint."""
        return self._containers[name]

    def wait_until_no_endpoint_changes(self, seconds: float = 60) -> None:
        """Wait until no endpoint is being created or deleted."""
        deadline = time.monotonic() + seconds
        while any(self.status(name) in ("Creating", "Deleting") for name in [*self.endpoints]):
            assert time.monotonic() < deadline, self.endpoints
            time.sleep(0.05)

    def create_endpoint(self, **request: Any) -> dict[str, Any]:
        answer = super().create_endpoint(**request)
        name = request["EndpointName"]
        if not self.endpoints[name]["failure"]:
            (variant,) = self.configurations[request["EndpointConfigName"]]["ProductionVariants"]
            model = self.models[variant["ModelName"]]["PrimaryContainer"]["Environment"]
            own = {"PATH": os.environ["PATH"], "SHEARLING_WORKERS": "1"}
            environment = {**own, **self.variables, **model}
            self._started[name] = time.monotonic()
            self._containers[name] = start_server(self.directory, environment)
        self._announce(name)
        return answer

    def _announce(self, name: str) -> None:
        status = self.status(name)
        if status in _IN_EVENTS:
            self.on_change({"EndpointName": name, "EndpointStatus": _IN_EVENTS[status]})

    # States

    def _watch(self) -> None:
        """Let endpoints follow their containers until the APIs end."""
        while not self._ended.wait(0.05):
            with self._lock:
                settled = [name for name in self.endpoints if self._has_settled(name)]
                for name in settled:
                    self._finish(name)
            for name in settled:
                self._announce(name)

    def _has_settled(self, name: str) -> bool:
        """Return whether the state of an endpoint is to change now."""
        container = self._containers.get(name)
        if self.status(name) == "Deleting":
            if container:
                self._containers.pop(name).kill()
            return True
        if self.status(name) != "Creating":
            return False
        age = time.monotonic() - self._started.get(name, 0)
        if container is None or container.process.poll() is not None or age > self.startup_seconds:
            self.endpoints[name]["failure"] = self.endpoints[name]["failure"] or _NO_PING
            return True
        return self.may_serve.is_set() and _is_ready(container)

    # HTTP

    def _answer(self, asked: Request) -> Reply:
        if not _SIGNED.search(asked.header("authorization") or ""):
            return _refused("MissingAuthenticationToken", "The request is not signed", 403)
        if match := _INVOCATIONS.fullmatch(asked.target):
            return self._invoke(match[1], asked)
        prefix, _, operation = (asked.header("x-amz-target") or "").partition(".")
        inner = super().clients
        client = inner.sagemaker if prefix == "SageMaker" else inner.scaling
        try:
            with self._lock:
                answer = getattr(client, xform_name(operation))(**json.loads(asked.body))
        except ClientError as error:
            return _refused(error.response["Error"]["Code"], error.response["Error"]["Message"])
        return Reply(200, {"content-type": _JSON}, json.dumps(answer or {}).encode())

    def _invoke(self, name: str, asked: Request) -> Reply:
        if self.status(name) != "InService":
            message = f"Endpoint {name} of account 000000000000 not found."
            return _refused("ValidationError", message)
        headers = dict(asked.headers)
        return Reply(*container_answer(self._containers[name].port, headers, asked.body))


_JSON = "application/x-amz-json-1.1"


def _refused(code: str, message: str, status: int = 400) -> Reply:
    body = json.dumps({"__type": code, "message": message}).encode()
    return Reply(status, {"content-type": _JSON, "x-amzn-errortype": code}, body)


def _is_ready(container: Served) -> bool:
    try:
        return request(f"{container.url}/ping")[0] == 200
    except OSError:  # it does not listen yet
        return False
