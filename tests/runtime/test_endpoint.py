"""A function in front of a SageMaker endpoint: the same doors, the same contract, the same gate."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shearling.converters.remote import Remote
from shearling.errors import ModelNotReadyError
from shearling.models.push import push_model
from shearling.storage.blobs import blob_key
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from tests.runtime.test_runtime import Call, document, http, settings_of
from tests.support.bundles import scaling_graph
from tests.support.sagemaker_runtime import KEYS, sagemaker_runtime
from tests.test_imports import INFERENCE, modules_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shearling.registry.registry import Registry

ROWS = np.array([[1, 2], [3, 4]], np.float32)
PATH = "/v2/models/fraud/infer"
REQUEST = {
    "inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}],
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with sagemaker_runtime() as url:
        yield url


@pytest.fixture(autouse=True)
def environment(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = {**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url}
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def proxy(
    registry: Registry,
    directory: Path,
    endpoint: str = "doubler",
    model: Any = None,
) -> ModelServer:
    """Return the server of a function in front of an endpoint."""
    model = model or Remote({"Y": 2 * ROWS}, body="binary")
    pin = push_model(model, "fraud", example=ROWS, registry=registry).pin
    settings = replace(settings_of(registry, pin, directory / "scratch"), endpoint=endpoint)
    return ModelServer(settings)


def test_a_request_is_answered_by_the_endpoint(registry: Registry, tmp_path: Path) -> None:
    answer = respond(http(PATH, "POST", json.dumps(REQUEST)), Call(), proxy(registry, tmp_path))
    assert document(answer)["outputs"] == [
        {"name": "Y", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 4.0]}
    ]


def test_a_request_that_does_not_fit_the_contract_does_not_reach_the_endpoint(
    registry: Registry, tmp_path: Path
) -> None:
    wrong = {"inputs": [REQUEST["inputs"][0] | {"shape": [2, 1]}]}
    server = proxy(registry, tmp_path, "crashing")
    answer = respond(http(PATH, "POST", json.dumps(wrong)), Call(), server)
    assert answer["statusCode"] == 400


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [
        ("throttled", 503),
        ("refusing", 400),
        ("crashing", 500),
        ("small", 413),
        ("missing", 503),
        ("more-rows", 500),
    ],
)
def test_a_failure_of_the_endpoint_is_a_response(
    registry: Registry, tmp_path: Path, endpoint: str, status: int
) -> None:
    server = proxy(registry, tmp_path, endpoint)
    answer = respond(http(PATH, "POST", json.dumps(REQUEST)), Call(), server)
    assert answer["statusCode"] == status
    assert endpoint in document(answer)["error"]


def test_a_slow_endpoint_is_a_504_before_the_function_is_stopped(
    registry: Registry, tmp_path: Path
) -> None:
    server = proxy(registry, tmp_path, "slow")
    assert server.ready()
    answer = respond(http(PATH, "POST", json.dumps(REQUEST)), Call(seconds_left=0.7), server)
    assert answer["statusCode"] == 504


def test_the_check_sends_the_example(registry: Registry, tmp_path: Path) -> None:
    assert proxy(registry, tmp_path).check()["passed"]


def test_the_check_fails_if_the_endpoint_answers_otherwise(
    registry: Registry, tmp_path: Path
) -> None:
    verdict = proxy(registry, tmp_path, model=Remote({"Y": 3 * ROWS})).check()
    assert not verdict["passed"]
    assert verdict["reason"].startswith("output Y[1, 1] is 8.0, expected 12.0")


def test_the_check_says_why_the_endpoint_does_not_answer(
    registry: Registry, tmp_path: Path
) -> None:
    assert "ThrottlingException" in proxy(registry, tmp_path, "throttled").check()["reason"]


def test_a_busy_endpoint_does_not_stop_the_start(registry: Registry, tmp_path: Path) -> None:
    assert proxy(registry, tmp_path, "throttled").ready()


def test_requests_without_rows_have_an_empty_answer(registry: Registry, tmp_path: Path) -> None:
    empty = {"inputs": [REQUEST["inputs"][0] | {"shape": [0, 2], "data": []}]}
    server = proxy(registry, tmp_path, "crashing")
    answer = respond(http(PATH, "POST", json.dumps(empty)), Call(), server)
    assert document(answer)["outputs"][0]["shape"] == [0, 2]


def test_an_endpoint_may_have_the_contract_of_a_model_that_was_pushed(
    registry: Registry, tmp_path: Path
) -> None:
    server = proxy(registry, tmp_path, model=scaling_graph())
    assert server.check()["passed"]


def test_the_weights_of_such_a_model_are_not_fetched(registry: Registry, tmp_path: Path) -> None:
    server = proxy(registry, tmp_path, model=scaling_graph())
    manifest = registry.manifest("fraud")
    registry.store.delete(blob_key(manifest.file(manifest.entry).hex))
    assert server.check()["passed"]


def test_a_contract_without_an_endpoint_is_not_ready_and_says_what_to_do(
    registry: Registry, tmp_path: Path
) -> None:
    server = proxy(registry, tmp_path, endpoint="")
    assert "`endpoint_name` in Terraform" in server.problem()
    with pytest.raises(ModelNotReadyError):
        server.metadata()


def test_a_function_in_front_of_an_endpoint_imports_no_model_library(
    environment: dict[str, str], tmp_path: Path
) -> None:
    uri = str(tmp_path / "registry")
    pin = push_model(Remote({"Y": 2 * ROWS}), "fraud", example=ROWS, registry=uri).pin
    code = f"""
from types import SimpleNamespace
from shearling_runtime.handler import handler
context = SimpleNamespace(
    aws_request_id="r", function_name="f", invoked_function_arn="a:b:c:d:e:f:g",
    get_remaining_time_in_millis=lambda: 9999,
)
answer = handler({REQUEST!r}, context)
assert answer["outputs"][0]["data"] == [2.0, 4.0], answer
"""
    modules = modules_after(
        code,
        SHEARLING_REGISTRY=uri,
        SHEARLING_MODEL=str(pin),
        SHEARLING_ENDPOINT="doubler",
        SHEARLING_SCRATCH=str(tmp_path / "scratch"),
        **environment,
    )
    # urllib3 looks for decompressors that functions do not have.
    optional = {"brotli", "brotlicffi", "backports"}
    allowed = (INFERENCE - {"onnxruntime"}) | {"urllib3"} | optional
    assert {name for name in modules if not name.startswith("_")} <= allowed
