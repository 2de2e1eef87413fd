from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from shearling.client.connect import connect
from shearling.client.lambda_model import lambda_client
from shearling.errors import (
    DeadlineError,
    InferenceError,
    InvalidRefError,
    InvalidRequestError,
    ModelNotReadyError,
    PayloadTooLargeError,
    PredictionError,
    UnknownModelError,
)
from shearling.registry.registry import Registry
from tests.support.bundles import ROWS, scaling_bundle
from tests.support.fake_lambda import refusal
from tests.support.lambda_server import FunctionError, LocalLambda, served
from tests.support.releases import deploy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = "acme-fraud:prod"


@pytest.fixture
def local_lambda(tmp_path: Path) -> LocalLambda:
    registry = str(tmp_path / "registry")
    pin = scaling_bundle(tmp_path).publish(registry).pin
    return LocalLambda({TARGET: served(registry, str(pin), tmp_path / "scratch")})


def answering(answer: Any) -> LocalLambda:
    return LocalLambda({TARGET: lambda _: answer})


@pytest.mark.parametrize(
    "value",
    [
        ROWS,
        ROWS.astype(np.float64),
        ROWS.tolist(),
        {"X": ROWS},
        pd.DataFrame(ROWS, columns=["age", "height"]),
    ],
    ids=["array", "wider-array", "lists", "dict", "frame"],
)
def test_rows_may_have_any_of_the_documented_forms(local_lambda: LocalLambda, value: Any) -> None:
    outputs = connect(TARGET, client=local_lambda.client).infer(value)
    assert list(outputs) == ["Y"]
    assert outputs["Y"].dtype == np.float32
    np.testing.assert_array_equal(outputs["Y"], ROWS * 2)


def test_many_rows_are_sent_and_returned_as_bytes(local_lambda: LocalLambda) -> None:
    rows = np.random.default_rng(0).random((1000, 2), np.float32)
    outputs = connect(TARGET, client=local_lambda.client).infer(rows)
    np.testing.assert_array_equal(outputs["Y"], rows * 2)
    event = local_lambda.calls[-1][1]
    assert event["isBase64Encoded"]
    assert len(event["body"]) < len(json.dumps(rows.ravel().tolist()))


def test_a_refused_binary_request_raises_the_class_of_its_status(local_lambda: LocalLambda) -> None:
    function = local_lambda.functions[TARGET]

    def renamed(event: Any) -> Any:
        answer = function(event)
        return answer | {"name": "other"} if event == {"shearling": "metadata"} else answer

    model = connect(TARGET, client=LocalLambda({TARGET: renamed}).client)
    rows = np.random.default_rng(0).random((1000, 2), np.float32)
    with pytest.raises(UnknownModelError, match="model 'other' is not served here"):
        model.infer(rows)


def test_ready_tells_a_function_with_a_model_from_one_without(
    local_lambda: LocalLambda, tmp_path: Path
) -> None:
    assert connect(TARGET, client=local_lambda.client).ready()
    empty = LocalLambda({TARGET: served(str(tmp_path / "none"), "", tmp_path / "none")})
    assert not connect(TARGET, client=empty.client).ready()
    with pytest.raises(UnknownModelError):
        connect(TARGET, client=LocalLambda({}).client).ready()


def test_the_signature_is_requested_once(local_lambda: LocalLambda) -> None:
    model = connect(TARGET, client=local_lambda.client)
    model.infer(ROWS)
    model.infer(ROWS)
    assert [event for _, event in local_lambda.calls if "shearling" in event] == [
        {"shearling": "metadata"}
    ]
    assert str(model.signature.inputs[0]) == "X FP32[-1, 2]"


def test_metadata_names_the_version_that_the_alias_serves(local_lambda: LocalLambda) -> None:
    metadata = connect(TARGET, client=local_lambda.client).metadata()
    assert (metadata["name"], metadata["versions"]) == ("fraud", ["1"])


def test_rows_that_do_not_fit_are_refused_before_they_are_sent(local_lambda: LocalLambda) -> None:
    with pytest.raises(InvalidRequestError, match="'X'"):
        connect(TARGET, client=local_lambda.client).infer(np.ones((1, 3)))
    assert len(local_lambda.calls) == 1


def test_a_request_that_the_runtime_refuses_raises_the_class_of_its_status(
    local_lambda: LocalLambda,
) -> None:
    with pytest.raises(InvalidRequestError, match="inputs: expected a list"):
        connect(TARGET, client=local_lambda.client).call({"inputs": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), ROWS, object()])
def test_a_document_that_json_cannot_carry_is_refused_before_it_is_sent(
    local_lambda: LocalLambda, value: Any
) -> None:
    with pytest.raises(InvalidRequestError, match=r"as JSON: .*None for a missing value"):
        connect(TARGET, client=local_lambda.client).call({"instances": [[1, value]]})
    assert not local_lambda.calls


def test_a_function_without_a_model_is_reported_with_the_next_step(tmp_path: Path) -> None:
    local_lambda = LocalLambda({TARGET: served(str(tmp_path), "", tmp_path)})
    with pytest.raises(ModelNotReadyError, match="shearling alias set"):
        connect(TARGET, client=local_lambda.client).infer(ROWS)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (404, UnknownModelError),
        (413, PayloadTooLargeError),
        (500, PredictionError),
        (503, ModelNotReadyError),
        (504, DeadlineError),
        (418, InferenceError),
    ],
)
def test_a_status_is_the_class_that_the_runtime_raised(
    status: int, kind: type[InferenceError]
) -> None:
    local_lambda = answering({"error": "so it is", "status": status})
    with pytest.raises(InferenceError, match=r"^so it is$") as raised:
        connect(TARGET, client=local_lambda.client).call({})
    assert type(raised.value) is kind


def test_a_crashed_function_is_an_inference_error() -> None:
    local_lambda = answering(FunctionError("out of memory"))
    with pytest.raises(InferenceError, match="acme-fraud:prod failed: out of memory"):
        connect(TARGET, client=local_lambda.client).infer(ROWS)


@pytest.mark.parametrize("answer", [[1], "text", {"body": "{}"}, b"no JSON"])
def test_the_response_of_a_function_without_the_runtime_is_an_error(answer: object) -> None:
    with pytest.raises(InferenceError, match="response of acme-fraud:prod is not a model's"):
        connect(TARGET, client=answering(answer).client).infer(ROWS)


def test_a_missing_function_or_alias_is_named() -> None:
    with pytest.raises(UnknownModelError, match=r"cannot invoke acme-fraud:prod: .*not found"):
        connect(TARGET, client=LocalLambda({}).client).infer(ROWS)


def test_a_caller_who_named_the_model_is_told_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEARLING_REGISTRY", str(tmp_path))
    deploy(Registry(str(tmp_path)), "acme-fraud", model="fraud")
    nothing = LocalLambda({}).client
    with pytest.raises(UnknownModelError, match="'fraud' is served by acme-fraud:prod"):
        connect("fraud:prod", client=nothing).infer(ROWS)
    with pytest.raises(UnknownModelError, match="A target is <function>:<alias>; `shearling stat"):
        connect("fraud:other", client=nothing).infer(ROWS)


def test_an_unknown_function_is_told_without_a_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHEARLING_REGISTRY", raising=False)
    with pytest.raises(UnknownModelError, match="A target is <function>:<alias>"):
        connect("fraud:prod", client=LocalLambda({}).client).infer(ROWS)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RequestTooLargeException", PayloadTooLargeError),
        ("RequestEntityTooLargeException", PayloadTooLargeError),
        ("AccessDeniedException", InferenceError),
    ],
)
def test_an_error_code_of_lambda_raises_its_class(code: str, kind: type[InferenceError]) -> None:
    def refuse(_: object) -> None:
        raise refusal(code)

    with pytest.raises(kind, match=code):
        connect(TARGET, client=LocalLambda({TARGET: refuse}).client).call({})


def test_a_request_above_lambdas_limit_is_not_sent(local_lambda: LocalLambda) -> None:
    rows = np.random.default_rng(0).random((600_000, 2), np.float32)
    with pytest.raises(
        PayloadTooLargeError, match=r"bytes; Lambda accepts 6,291,456 at most.*_many"
    ):
        connect(TARGET, client=local_lambda.client).infer(rows)
    assert len(local_lambda.calls) == 1


@pytest.mark.parametrize(
    "target",
    [
        "acme-fraud",
        "acme-fraud:",
        ":prod",
        "a:b:c",
        "ftp://example.org/v2",
        "arn:aws:lambda:eu-west-1:000000000000:function:acme-fraud",
    ],
)
def test_a_target_needs_a_function_and_an_alias(target: str) -> None:
    with pytest.raises(InvalidRefError, match="<function>:<alias>"):
        connect(target, client=LocalLambda({}).client)


@pytest.mark.parametrize("target", [None, 7])
def test_a_target_must_be_text(target: Any) -> None:
    with pytest.raises(InvalidRefError, match=f"target {target}: expected <function>:<alias>"):
        connect(target)


def test_a_missing_region_is_reported_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(InferenceError, match=r"no AWS region is configured\. Set AWS_"):
        connect("acme-fraud:prod")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InferenceError, match=r"cannot create a Lambda client: .*nobody"):
        connect("acme-fraud:prod")


@pytest.mark.parametrize(
    ("target", "served"), [("fraud:prod", "fraud:prod"), ("fraud:staging", "fraud")]
)
def test_a_model_of_a_local_registry_is_told_how_to_be_served(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str, served: str
) -> None:
    scaling_bundle(tmp_path).publish(str(tmp_path / "registry"))
    Registry(tmp_path / "registry").set_alias("fraud", "prod", 1)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("SHEARLING_REGISTRY", str(tmp_path / "registry"))
    with pytest.raises(InferenceError, match=rf"Set AWS_REGION.* run `shearling serve {served}`"):
        connect(target)
    with pytest.raises(UnknownModelError, match=rf"run `shearling serve {served}`"):
        connect(target, client=LocalLambda({}).client).infer(ROWS)
    for other in ("other:prod", "arn:aws:lambda:eu-west-1:000000000000:function:fraud:prod"):
        with pytest.raises(InferenceError) as caught:
            connect(other, client=LocalLambda({}).client).infer(ROWS)
        assert "shearling serve" not in str(caught.value)


def test_an_arn_is_a_target_too() -> None:
    arn = "arn:aws:lambda:eu-west-1:000000000000:function:acme-fraud:prod"
    local_lambda = LocalLambda({arn: lambda _: {"outputs": []}})
    assert connect(arn, client=local_lambda.client).call({}) == {"outputs": []}


class _Throttling(BaseHTTPRequestHandler):
    """Lambda's API, which throttles the first calls."""

    refusals: int
    paths: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.paths.append(self.path)
        is_throttled = len(self.paths) <= self.refusals
        body = json.dumps({"outputs": []}).encode()
        self.send_response(429 if is_throttled else 200)
        if is_throttled:
            self.send_header("x-amzn-errortype", "TooManyRequestsException")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Counting(BaseHTTPRequestHandler):
    """Lambda's API, which responds as soon as the barrier's number of calls has arrived."""

    protocol_version = "HTTP/1.1"
    barrier: threading.Barrier
    connections: set[Any]

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.connections.add(self.client_address)
        tensor = {"name": "X", "shape": [-1], "datatype": "FP64"}
        document: dict[str, Any] = {"name": "fraud", "inputs": [tensor], "outputs": []}
        if "shearling" not in event:
            self.barrier.wait(10)
            document = {"outputs": event["inputs"]}
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def lambda_api(
    handler: type[BaseHTTPRequestHandler], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", endpoint)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_a_throttled_call_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[str] = []
    handler = type("Handler", (_Throttling,), {"refusals": 1, "paths": paths})
    with lambda_api(handler, monkeypatch):
        client = lambda_client()
        model = connect(TARGET, client=client)
        assert model.call({}) == {"outputs": []}
        client.close()
    assert len(paths) == 2
    assert paths[0].endswith("/functions/acme-fraud/invocations?Qualifier=prod")


def test_concurrent_calls_each_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    barrier, connections = threading.Barrier(20), set[Any]()
    handler = type("Handler", (_Counting,), {"barrier": barrier, "connections": connections})
    with lambda_api(handler, monkeypatch):
        client = lambda_client()
        model = connect(TARGET, client=client)
        outputs = model.infer_many(np.arange(60.0), rows_per_call=1, max_concurrency=20)
        client.close()
    np.testing.assert_array_equal(outputs["X"], np.arange(60))
    assert len(connections) <= 21  # one more if the signature's connection is still in use


@pytest.mark.parametrize("value", [ROWS, {"X": ROWS}, pd.DataFrame(ROWS, columns=["a", "b"])])
def test_a_server_that_lists_no_inputs_is_asked_by_whole_requests(value: Any) -> None:
    metadata: dict[str, Any] = {"name": "fraud", "inputs": [], "outputs": None, "parameters": None}
    model = connect(TARGET, client=answering(metadata).client)
    with pytest.raises(
        InvalidRequestError, match=r"metadata list no inputs.* to the model's `call`"
    ):
        model.infer(value)
