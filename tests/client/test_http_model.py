"""A deployed model by its URL: requests, retries and errors."""

from __future__ import annotations

import base64
import json
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from shearling.cli import main
from shearling.client.auth import Authorization
from shearling.client.connect import connect
from shearling.connections import Connections
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
from shearling_runtime.events.dispatch import respond
from tests.runtime.test_runtime import Call, serve
from tests.support.bundles import ROWS
from tests.support.http_server import http_api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shearling_runtime.serving.model_server import ModelServer

MANY = np.random.default_rng(0).random((1000, 2), np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ModelServer:
    return serve(Registry(f"memory://{uuid.uuid4().hex}"), tmp_path_factory.mktemp("s")).server()


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture(params=["2.0", "1.0"])
def url(request: pytest.FixtureRequest, server: ModelServer, events: list[Any]) -> Iterator[str]:
    def function(event: Any) -> Any:
        events.append(event)
        return respond(event, Call(), server)

    with http_api(function, payload=request.param, stage="live") as url:
        yield url


@contextmanager
def answering(*answers: tuple[int, dict[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Serve an API that returns these responses in order, and then the last one."""
    events: list[Any] = []

    def function(event: Any) -> Any:
        status, document = answers[min(len(events), len(answers) - 1)]
        events.append(event)
        return {
            "statusCode": status,
            "headers": {"content-type": "application/json"},
            "body": json.dumps(document),
            "isBase64Encoded": False,
        }

    with http_api(function) as url:
        yield url, events


Waits = Callable[[float], None]


def test_a_model_behind_a_url_answers_as_the_local_one(url: str) -> None:
    model = connect(url, model="fraud", alias="prod")
    assert model.metadata()["versions"] == ["1"]
    assert model.ready()
    np.testing.assert_array_equal(model.infer(ROWS)["Y"], 2 * ROWS)
    np.testing.assert_array_equal(model.infer(MANY)["Y"], 2 * MANY)
    assert repr(model) == f"HttpModel('{url}/v2/models/fraud/versions/prod')"


def test_many_rows_are_sent_as_bytes_and_few_as_json(url: str, events: list[Any]) -> None:
    model = connect(url, model="fraud")
    model.infer(ROWS)
    model.infer(MANY)
    few, many = events[-2:]
    assert not few["isBase64Encoded"]
    assert many["isBase64Encoded"]
    assert len(many["body"]) < len(json.dumps(MANY.tolist()))


def test_an_error_is_the_class_that_the_runtime_raised(url: str) -> None:
    with pytest.raises(UnknownModelError, match="version 'staging' of model 'fraud'"):
        connect(url, model="fraud", alias="staging").infer(ROWS)
    with pytest.raises(UnknownModelError, match="model 'other' is not served here"):
        connect(url, model="other").ready()
    with pytest.raises(InvalidRequestError, match="inputs: expected a list"):
        connect(url, model="fraud").call({"inputs": 3})
    with pytest.raises(InvalidRequestError, match="'X'"):
        connect(url, model="fraud").infer(np.ones((1, 3)))


def _headers(url: str, **options: Any) -> dict[str, str]:
    with answering((200, {"inputs": [], "outputs": []})) as (local, events):
        connect(url or local, model="fraud", **options).metadata()
        headers: dict[str, str] = events[0]["headers"]
        return headers


def test_a_request_is_signed_with_auth_iam(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    headers = _headers("", auth="iam")
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/")
    assert "/eu-west-1/execute-api/aws4_request" in headers["authorization"]
    assert headers["x-amz-security-token"] == "test"


def test_many_signed_requests_look_up_credentials_once(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lookups = tmp_path / "lookups"
    keys = {"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "test"}
    process = tmp_path / "process.sh"
    process.write_text(f"echo >> {lookups}\necho '{json.dumps(keys)}'\n")
    (tmp_path / "config").write_text(f"[default]\ncredential_process = sh {process}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    model = connect(url, model="fraud", auth="iam")
    np.testing.assert_array_equal(model.infer_many(ROWS, rows_per_call=1)["Y"], 2 * ROWS)
    assert lookups.read_text() == "\n"


def test_a_request_is_signed_for_the_region_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    headers = _headers("", auth="iam", region="eu-west-3")
    assert "/eu-west-3/execute-api/aws4_request" in headers["authorization"]


def test_a_key_is_sent_alone_or_beside_a_token_or_within_a_signature(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    alone = _headers("", api_key="k")
    assert alone["x-api-key"] == "k"
    assert "authorization" not in alone
    beside = _headers("", api_key="k", token="abc")
    assert (beside["x-api-key"], beside["authorization"]) == ("k", "Bearer abc")
    within = _headers("", api_key="k", auth="iam")
    assert within["x-api-key"] == "k"
    assert "x-api-key" in within["authorization"].split("SignedHeaders=")[1]


def test_an_api_key_needs_no_credentials_at_an_aws_host() -> None:
    url = "https://abc.execute-api.eu-west-3.amazonaws.com/live"
    authorization = Authorization.choose(urlsplit(url).hostname or "", api_key="k")
    assert authorization.headers("GET", url, {}, b"") == {"X-Api-Key": "k"}


def test_a_token_or_no_authorization_is_sent_to_other_hosts() -> None:
    assert _headers("", token="abc")["authorization"] == "Bearer abc"
    assert "authorization" not in _headers("", auth=None)
    assert "authorization" not in _headers("")


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("abc.execute-api.eu-west-3.amazonaws.com", "/eu-west-3/execute-api/"),
        ("abc.lambda-url.eu-west-3.on.aws", "/eu-west-3/lambda/"),
    ],
)
def test_requests_to_an_aws_host_are_signed_for_its_region(
    monkeypatch: pytest.MonkeyPatch, host: str, scope: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    headers = Authorization.choose(host).headers("GET", f"https://{host}/v2", {}, b"")
    assert scope in headers["Authorization"]


def test_a_refusal_of_the_gateway_is_reported_with_the_next_step() -> None:
    with answering((403, {"message": "Forbidden"})) as (url, _):
        message = (
            rf"{url}/v2/models/fraud answered 403: Forbidden\. "
            "The API requires an IAM signature .*--region"
        )
        with pytest.raises(InferenceError, match=message):
            connect(url, model="fraud").metadata()


def test_a_host_that_cannot_be_reached_is_given_up_after_seconds() -> None:
    model = connect("http://127.0.0.1:1", model="fraud", pause=lambda _: None)
    with pytest.raises(InferenceError, match="cannot reach"):
        model.metadata()


def test_an_unknown_host_name_is_not_retried() -> None:
    waits: list[float] = []
    model = connect("http://fraud.invalid", model="fraud", pause=waits.append)
    with pytest.raises(InferenceError, match=r"cannot reach http://fraud\.invalid/v2"):
        model.metadata()
    assert waits == []


def test_a_proxy_of_the_environment_gets_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metadata: dict[str, Any] = {"inputs": [], "outputs": []}
    with answering((200, metadata)) as (url, events):
        monkeypatch.setenv("http_proxy", url.replace("http://", "http://me:se%21cret@"))
        monkeypatch.delenv("no_proxy", raising=False)
        assert connect("http://models.invalid", model="fraud").metadata() == metadata
    (event,) = events
    assert event["headers"]["host"] == "models.invalid"
    login = base64.b64encode(b"me:se!cret").decode()
    assert event["headers"]["proxy-authorization"] == f"Basic {login}"


@contextmanager
def counted_connections() -> Iterator[tuple[str, list[Any]]]:
    """Serve an empty model, and yield the URL and the addresses that connected."""
    connected: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            connected.append(self.client_address)
            super().setup()

        def do_GET(self) -> None:
            body = b'{"inputs": [], "outputs": []}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", connected
        finally:
            server.shutdown()
            thread.join()


def test_requests_share_a_connection() -> None:
    with counted_connections() as (url, connected):
        model = connect(url, model="fraud")
        for _ in range(3):
            model.metadata()
    assert len(connected) == 1


def test_an_idle_connection_is_not_used_again() -> None:
    with counted_connections() as (url, connected):
        connections = Connections(url, idle_seconds=0.0)
        for _ in range(2):
            assert connections.send("GET", url, b"", {}, 5.0).status == 200
    assert len(connected) == 2


def test_an_unknown_auth_is_refused() -> None:
    with pytest.raises(InvalidRefError, match="auth 'aws' is not allowed; expected 'iam'"):
        connect("http://127.0.0.1:1", model="fraud", auth="aws")  # type: ignore[call-overload]


def test_requests_to_a_load_balancer_are_not_signed() -> None:
    host = "models-1.eu-west-1.elb.amazonaws.com"
    assert Authorization.choose(host).headers("GET", f"http://{host}", {}, b"") == {}


def test_a_throttled_request_is_retried() -> None:
    waits: list[float] = []
    metadata: dict[str, Any] = {"inputs": [], "outputs": []}
    busy = (429, {"message": "Too Many Requests"})
    with answering(busy, busy, (200, metadata)) as (url, events):
        assert connect(url, model="fraud", pause=waits.append).metadata() == metadata
    assert len(events) == 3
    assert 0 < waits[0] <= 0.1 < waits[1] * 2 <= 0.4


def test_a_request_above_the_quota_is_not_retried() -> None:
    with answering((429, {"message": "Limit Exceeded"})) as (url, events):
        with pytest.raises(InferenceError, match=r"answered 429: Limit Exceeded$"):
            connect(url, model="fraud").metadata()
        assert len(events) == 1


def test_retries_end_with_the_deadline() -> None:
    with answering((429, {"message": "Too Many Requests"})) as (url, _):
        model = connect(url, model="fraud", timeout_seconds=0.5)
        with pytest.raises(InferenceError, match="is throttled: Too Many Requests"):
            model.metadata()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_request_that_may_have_run_is_not_retried(status: int) -> None:
    with answering((status, {"message": "so it is"})) as (url, events):
        with pytest.raises(InferenceError, match=rf"answered {status}: so it is$"):
            connect(url, model="fraud").call({"inputs": []})
        assert len(events) == 1


def test_a_refused_connection_is_retried_until_the_deadline() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    waits: list[float] = []
    model = connect(
        f"http://127.0.0.1:{port}", model="fraud", timeout_seconds=5.0, pause=_stepping(waits)
    )
    with pytest.raises(InferenceError, match=r"cannot reach .*refused"):
        model.metadata()
    assert waits


def _stepping(waits: list[float]) -> Waits:
    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 3:
            raise InferenceError("cannot reach it: refused, as often as this test waits")

    return pause


def test_a_missing_response_is_a_deadline_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DeadlineError, match=r"no response from .* within 0\.2 s"):
            connect(url, model="fraud", timeout_seconds=0.2).metadata()


def test_a_token_does_not_follow_a_redirect() -> None:
    with answering((307, {"message": "elsewhere"})) as (url, events):
        with pytest.raises(InferenceError, match="is not a model's, since it has no 'inputs'"):
            connect(url, model="fraud", token="abc").metadata()
        assert len(events) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, {"message": "so it is"}, InferenceError),
        (503, {"message": "so it is"}, InferenceError),
        (500, {"error": "so it is"}, PredictionError),
        (503, {"error": "so it is"}, ModelNotReadyError),
    ],
)
def test_an_error_of_the_gateway_is_not_an_error_of_the_model(
    status: int, body: dict[str, Any], kind: type[InferenceError]
) -> None:
    with answering((status, body)) as (url, _):
        with pytest.raises(InferenceError, match="so it is") as raised:
            connect(url, model="fraud").metadata()
        assert type(raised.value) is kind


def test_a_request_above_lambdas_limit_is_not_sent(url: str, events: list[Any]) -> None:
    model = connect(url, model="fraud")
    # API Gateway encodes bytes as base64, which is a third longer.
    with pytest.raises(PayloadTooLargeError, match="bytes; Lambda accepts 4,718,592"):
        model.infer(np.random.default_rng(0).random((600_000, 2), np.float32))
    assert len(events) == 1


@pytest.mark.parametrize("body", [{"error": "too large"}, {"message": "too large"}])
def test_a_413_of_the_gateway_raises_payload_too_large(body: dict[str, Any]) -> None:
    with answering((413, body)) as (url, _), pytest.raises(PayloadTooLargeError, match="too large"):
        connect(url, model="fraud").metadata()


def test_missing_credentials_are_reported_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(InvalidRequestError, match="found no AWS credentials to sign"):
        connect("http://127.0.0.1:1", model="fraud", auth="iam").metadata()


def test_a_url_needs_a_model_and_a_function_has_none() -> None:
    bad: list[tuple[str, dict[str, Any]]] = [
        ("https://example.org", {}),
        ("https://", {"model": "fraud"}),
        ("https://example.org?a=1", {"model": "fraud"}),
        ("acme-fraud:prod", {"model": "fraud"}),
        ("acme-fraud:prod", {"alias": "prod"}),
    ]
    for target, options in bad:
        with pytest.raises(InvalidRefError):
            connect(target, **options)


def test_the_command_sends_the_token_and_the_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("SHEARLING_API_KEY", "k")
    metadata = {"name": "fraud", "versions": ["1"], "inputs": [], "outputs": []}
    with answering((200, metadata)) as (url, events):
        arguments = ["invoke", url, "--model", "fraud", "--raw"]
        assert main(arguments) == 0
        assert main([*arguments, "--region", "eu-west-3"]) == 0
        monkeypatch.setenv("SHEARLING_TOKEN", "abc")
        assert main(arguments) == 0
    assert "versions" in capsys.readouterr().out
    assert [event["headers"]["x-api-key"] for event in events] == ["k"] * 3
    key, signature, token = (event["headers"].get("authorization") for event in events)
    assert key is None
    assert "/eu-west-3/execute-api/aws4_request" in signature
    assert token == "Bearer abc"


def test_the_command_invokes_a_url(
    url: str, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text("[[1, 2]]")
    arguments = ["invoke", url, "--model", "fraud", "--alias", "prod", "--json", str(rows), "--raw"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads("".join(line for line in lines if not line.startswith('{"event"')))
    assert found["outputs"][0]["data"] == [2.0, 4.0]
