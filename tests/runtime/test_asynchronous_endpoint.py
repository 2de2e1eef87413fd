"""A function in front of an asynchronous endpoint answers by jobs, however late."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shearling.endpoints import asynchronous
from shearling.endpoints.asynchronous import AsynchronousEndpoint
from shearling.endpoints.bodies import read_response, write_request
from shearling.errors import InvalidRequestError, ModelNotReadyError, PredictionError
from shearling.storage.store import open_store
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.endpoint_client import endpoint_of
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings
from tests.support.jobs import ROWS, Invocation, JobFunction, record_of
from tests.support.production_server import production_server
from tests.support.sagemaker_runtime import KEYS, sagemaker_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.storage.store import Store


@dataclass
class Fleet:
    """A container behind an asynchronous endpoint, and a function in front of it."""

    name: str
    function: JobFunction
    calls: Store

    def name_endpoint(self, name: str) -> None:
        """Let the function call another endpoint."""
        settings = self.function.settings(self.function.server.settings.pin)
        self.function.server = ModelServer(
            replace(settings, endpoint=name, endpoint_is_staged=True, endpoint_calls=self.calls.uri)
        )

    def deliver(self, job_id: str, *, received: int, seconds: float) -> list[Any]:
        """Deliver a job's message to a function that has little time; return what failed."""
        records = {"Records": [record_of(job_id, received=received)]}
        answer = respond(records, Invocation(seconds_left=seconds), self.function.server)
        failures: list[Any] = answer["batchItemFailures"]
        return failures


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("asynchronous")
    function = JobFunction(directory)
    registry = (directory / "registry").as_uri()
    function = JobFunction(directory, registry=type(function.registry)(registry))
    pin = function.server.settings.pin
    assert pin
    with (
        production_server(directory, registry, pin, "--workers", "1") as container,
        sagemaker_runtime() as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        container.wait_until_ready()
        patch.delenv("AWS_PROFILE", raising=False)
        for variable, value in {**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url}.items():
            patch.setenv(variable, value)
        calls = open_store((directory / "calls").as_uri())
        yield Fleet(f"container-{container.port}", function, calls)


@pytest.fixture
def fleet(shared: Fleet) -> Fleet:
    shared.function.jobs = f"memory://{uuid.uuid4().hex}"
    shared.name_endpoint(shared.name)
    return shared


def asked(endpoint: AsynchronousEndpoint, *values: float, seconds: float = 30) -> Any:
    """Return the outputs for a row, as a predictor reads them."""
    inputs = {"X": np.array([values], np.float32)}
    data, kind = endpoint.invoke(*write_request("binary", inputs, ["Y"]), seconds)
    return data, kind


def test_a_job_is_answered_by_the_container(fleet: Fleet) -> None:
    job_id = fleet.function.submit().document["id"]
    assert fleet.function.deliver(job_id) == []
    assert fleet.function.state(job_id)["status"] == "succeeded"
    assert json.loads(fleet.function.result(job_id))["outputs"][0]["data"] == [2.0, 4.0]


def test_the_check_sends_the_example_to_the_container(fleet: Fleet) -> None:
    assert fleet.function.server.check()["passed"]
    fleet.name_endpoint("missing")
    assert "`shearling retry-release` creates it" in fleet.function.server.check()["reason"]


def test_a_caller_who_waits_is_told_of_jobs(fleet: Fleet) -> None:
    over_http = fleet.function.send("POST", "/infer", json.dumps(ROWS).encode())
    assert (over_http.status, "Prefer: respond-async" in over_http.document["error"]) == (400, True)
    direct = respond(ROWS, Invocation(), fleet.function.server)
    assert (direct["status"], "answers only by jobs" in direct["error"]) == (400, True)


def test_the_variable_of_terraform_makes_a_staged_endpoint_asynchronous(fleet: Fleet) -> None:
    given = {"SHEARLING_STAGED_ENDPOINT": "acme", "SHEARLING_ENDPOINT_CALLS": fleet.calls.uri}
    settings = Settings.from_environment(given)
    assert isinstance(endpoint_of(settings), AsynchronousEndpoint)


def test_a_job_waits_over_several_attempts_for_one_call(fleet: Fleet) -> None:
    fleet.name_endpoint("silent")
    job_id = fleet.function.submit().document["id"]
    assert fleet.deliver(job_id, received=1, seconds=3.3)
    assert fleet.function.state(job_id)["status"] == "queued"
    [first] = _pending(fleet.calls, "silent")
    assert fleet.deliver(job_id, received=2, seconds=3.3)
    assert _pending(fleet.calls, "silent") == [first]
    # An instance has started, and answers.
    fleet.name_endpoint(fleet.name)
    row = {"X": np.array([[1, 2]], np.float32)}
    answer, _ = AsynchronousEndpoint(fleet.name, fleet.calls).invoke(
        *write_request("binary", row, ["Y"])
    )
    fleet.calls.write(first["answer"].removeprefix(f"{fleet.calls.uri}/"), answer)
    fleet.name_endpoint("silent")
    assert fleet.deliver(job_id, received=3, seconds=30) == []
    assert json.loads(fleet.function.result(job_id))["outputs"][0]["data"] == [2.0, 4.0]
    assert _pending(fleet.calls, "silent") == []


def test_the_same_request_after_its_answer_is_another_call(fleet: Fleet) -> None:
    endpoint = AsynchronousEndpoint(fleet.name, fleet.calls)
    asked(endpoint, 3, 4)
    before = set(fleet.calls.keys("answers/"))
    asked(endpoint, 3, 4)
    assert len(set(fleet.calls.keys("answers/")) - before) == 1


def test_a_call_that_sagemaker_has_lost_is_made_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = AsynchronousEndpoint("silent", fleet.calls)
    with pytest.raises(ModelNotReadyError):
        asked(endpoint, 7, 7, seconds=3)
    before = _pending(fleet.calls, "silent")
    monkeypatch.setattr(asynchronous, "_LOST_SECONDS", 0)
    with pytest.raises(ModelNotReadyError, match="Send the request again"):
        asked(endpoint, 7, 7, seconds=3)
    assert len(before) == len(_pending(fleet.calls, "silent"))
    assert before != _pending(fleet.calls, "silent")


def test_a_request_that_the_container_refuses_is_the_callers_fault(fleet: Fleet) -> None:
    endpoint = AsynchronousEndpoint(fleet.name, fleet.calls)
    with pytest.raises(InvalidRequestError, match="does not fit"):
        asked(endpoint, 1, 2, 3)
    assert _pending(fleet.calls, fleet.name) == []


def test_another_failure_of_the_endpoint_is_reported_as_it_is(fleet: Fleet) -> None:
    with pytest.raises(PredictionError, match="could not download the request"):
        asked(AsynchronousEndpoint("failing", fleet.calls), 1, 2)


def test_the_length_of_the_json_is_found_in_the_answer(fleet: Fleet) -> None:
    data, kind = asked(AsynchronousEndpoint(fleet.name, fleet.calls), 5, 6)
    signature = fleet.function.server._ready_model().manifest.signature
    outputs = read_response(data, kind, signature, ["Y"], 1)
    assert outputs["Y"].tolist() == [[10, 12]]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            'Received client error (400) from primary with message "{"error": "X is bad"}". See',
            InvalidRequestError,
        ),
        (
            r'Received client error (400) from primary with message "{\"error\": \"X is bad\"}"',
            InvalidRequestError,
        ),
        (
            'Received server error (503) from model with message "{"error": "busy"}".',
            ModelNotReadyError,
        ),
        ('Received server error (500) from primary with message "it crashed"', PredictionError),
        ("out of memory", PredictionError),
    ],
)
def test_a_failure_has_the_class_of_the_containers_error(
    fleet: Fleet, text: str, kind: type[Exception]
) -> None:
    endpoint = AsynchronousEndpoint("silent", fleet.calls)
    assert isinstance(endpoint._reported(text), kind)


def _pending(calls: Store, name: str) -> list[dict[str, Any]]:
    """The records of an endpoint's calls whose answers are to come."""
    records = [calls.read(key) for key in calls.keys(f"{name}/") if key.endswith("/call")]
    return [json.loads(record) for record in records if record]
