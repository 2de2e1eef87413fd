"""A function with asynchronous jobs in a directory or in memory, without a queue of AWS."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from shearling.loopback import serving
from shearling.protocol.http_events import base64_body, http_event, read_http_answer
from shearling.registry.registry import Registry
from shearling_runtime.events.dispatch import respond
from shearling_runtime.http.decompression import REQUEST_LIMIT
from shearling_runtime.jobs.job_store import JobStore
from shearling_runtime.jobs.opening import open_jobs
from shearling_runtime.local import answering, event_of
from shearling_runtime.local_jobs import LocalJobs
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings
from tests.support.bundles import scaling_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pytest

    from shearling.refs import Pin

ROWS = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}


def message(key: str) -> dict[str, Any]:
    """The message that the queue's rule makes of the event of an object."""
    return {"shearling": "job", "detail": {"bucket": {"name": "jobs"}, "object": {"key": key}}}


def rest_event(
    method: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any]
) -> dict[str, Any]:
    """The event that the stage `live` of a REST API sends for a request."""
    return {
        "path": path,
        "httpMethod": method,
        "headers": dict(headers),
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": {"path": f"/live{path}", "stage": "live", "identity": {"userArn": None}},
        "body": None,
        "isBase64Encoded": False,
        **body,
    }


def record_of(job_id: str, *, alias: str = "prod", received: int = 1) -> dict[str, Any]:
    """The record of a queue that says that a job's body has arrived."""
    return {
        "messageId": "m-1",
        "eventSource": "aws:sqs",
        "body": json.dumps(message(f"jobs/{alias}/{job_id}/request")),
        "attributes": {"ApproximateReceiveCount": str(received)},
    }


@dataclass
class Invocation:
    """Lambda's context of one invocation."""

    alias: str = "prod"
    seconds_left: float = 60.0
    aws_request_id: str = "request-1"
    function_name: str = "acme-fraud"

    invoked_function_arn: str = ""

    def __post_init__(self) -> None:
        function = "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud"
        self.invoked_function_arn = f"{function}:{self.alias}"

    def get_remaining_time_in_millis(self) -> int:
        return round(self.seconds_left * 1000)


@dataclass
class Answer:
    """A response over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class JobFunction:
    """A function that serves a model with jobs.

    Attributes:
        scratch: directory of the function.
        jobs: URI of the jobs.
        factor: by which the model multiplies.
        payload: version of the events: 2.0 of an HTTP API, or 1.0 of a REST API.
        registry: where the model is.
        pin: the model to serve; None for one that multiplies.
        server: the function's server.
    """

    scratch: Path
    jobs: str = field(default_factory=lambda: f"memory://{uuid.uuid4().hex}")
    factor: float = 2.0
    memory_mb: int = 1024
    payload: Literal["1.0", "2.0"] = "2.0"
    registry: Registry = field(default_factory=lambda: Registry(f"memory://{uuid.uuid4().hex}"))
    pin: Pin | None = None

    def __post_init__(self) -> None:
        self.serve(self.pin or self.publish(self.factor))

    def publish(self, factor: float) -> Pin:
        """Publish a version of the model."""
        return scaling_bundle(self.scratch, factor=factor).publish(self.registry).pin

    def serve(self, pin: Pin | None) -> None:
        """Serve a version from now on."""
        self.server = ModelServer(self.settings(pin))

    def settings(self, pin: Pin | None) -> Settings:
        """The configuration of the function."""
        return Settings(
            registry=self.registry.store.uri,
            pin=pin,
            allow_pickle=False,
            mount=None,
            package=self.scratch / "package",
            scratch=self.scratch,
            memory_mb=self.memory_mb,
            function="acme-fraud",
            jobs=self.jobs,
        )

    def store(self, alias: str = "prod") -> JobStore:
        """The jobs of an alias."""
        return open_jobs(self.server.settings, alias, "http://local/v2/models/fraud")

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        alias: str = "prod",
        caller: str = "",
        **headers: str,
    ) -> Answer:
        """Send a request as an API does; the caller is the ARN that it authenticated."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        fields = base64_body(body) if body else {}
        event_of = http_event if self.payload == "2.0" else rest_event
        event = event_of(method, f"/v2/models/fraud{path}", names, fields)
        if caller and self.payload == "2.0":
            event["requestContext"]["authorizer"] = {"iam": {"userArn": caller}}
        elif caller:
            event["requestContext"]["identity"]["userArn"] = caller
        answer = respond(event, Invocation(alias), self.server)
        return Answer(*read_http_answer(answer))

    def submit(self, document: Any = ROWS, **options: Any) -> Answer:
        """Send a request of the protocol, to be answered later."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.send("POST", "/infer", body, prefer="respond-async", **options)

    def deliver(self, job_id: str, *, alias: str = "prod", received: int = 1) -> list[str]:
        """Deliver the message of a job's body; return the IDs of messages that failed."""
        record = record_of(job_id, alias=alias, received=received)
        answer = respond({"Records": [record]}, Invocation(alias), self.server)
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def state(self, job_id: str, **options: Any) -> Any:
        """The document of a job."""
        return self.send("GET", f"/jobs/{job_id}", **options).document

    def result(self, job_id: str) -> bytes:
        """The bytes of a job's result."""
        outcome = self.store().outcome(job_id)
        assert outcome is not None
        assert outcome.result is not None
        return self.store().read_result(outcome.result) or b""


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let time pass for the jobs."""
    now = int(time.time() + seconds)
    monkeypatch.setattr(JobStore, "now", lambda _: now)


@contextmanager
def served_with_jobs(function: JobFunction, *, starts: bool = True) -> Iterator[str]:
    """Serve a function with its jobs, as `shearling serve` does, and yield the URL."""
    jobs = LocalJobs(function.server, "prod")
    if starts:
        jobs.start()
    answer = answering(lambda event: respond(event, Invocation(), function.server), event_of)
    limit = lambda request: jobs.limit(request, REQUEST_LIMIT)  # noqa: E731
    with serving(jobs.answering(answer), body_limit=limit) as port:
        yield f"http://127.0.0.1:{port}"
