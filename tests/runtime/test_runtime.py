"""The runtime in this process: all routes, all kinds of failures, and the log."""

from __future__ import annotations

import copy
import json
import os
import struct
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shearling.bundle.digests import describe
from shearling.bundle.example import Example
from shearling.errors import InvalidRefError
from shearling.models.push import push_model
from shearling.refs import Pin
from shearling.registry.registry import Registry
from shearling.storage.blobs import blob_key
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings
from shearling_runtime.telemetry import StartupTimings, log
from tests.support.attack import attack
from tests.support.bundles import ROWS, scaling_bundle
from tests.support.schema_1 import Attack

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = Path(__file__).parent / "events" / "recorded"
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud"


@dataclass
class Call:
    """Lambda's context of one invocation."""

    invoked_function_arn: str = f"{ARN}:prod"
    seconds_left: float = 30.0
    aws_request_id: str = "request-1"
    function_name: str = "acme-fraud"

    def get_remaining_time_in_millis(self) -> int:
        return round(self.seconds_left * 1000)


def event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def http(path: str, method: str = "GET", body: str | None = None) -> dict[str, Any]:
    """The recorded event with another path, method and body."""
    changed = copy.deepcopy(event("http-infer"))
    changed["rawPath"] = changed["requestContext"]["http"]["path"] = path
    changed["requestContext"]["http"]["method"] = method
    changed["body"] = body
    return dict(changed)


def settings_of(registry: Registry | str, pin: Pin | None, scratch: Path) -> Settings:
    return Settings(
        registry=registry if isinstance(registry, str) else registry.store.uri,
        pin=pin,
        allow_pickle=False,
        mount=None,
        package=scratch / "package",
        scratch=scratch,
        memory_mb=1024,
        function="acme-fraud",
    )


@dataclass
class Served:
    """A bundle in a registry, and the settings of a function that serves it."""

    registry: Registry
    settings: Settings

    def server(self, **changes: Any) -> ModelServer:
        return ModelServer(replace(self.settings, **changes))


def serve(registry: Registry, directory: Path, **bundle: Any) -> Served:
    pin = scaling_bundle(directory, **bundle).publish(registry).pin
    return Served(registry, settings_of(registry, pin, directory / "scratch"))


@pytest.fixture(params=["memory", "directory"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Served:
    uri = f"memory://{uuid.uuid4().hex}" if request.param == "memory" else str(tmp_path / "r")
    return serve(Registry(uri), tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ModelServer:
    return serve(Registry(f"memory://{uuid.uuid4().hex}"), tmp_path_factory.mktemp("s")).server()


def document(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["headers"]["content-type"] == "application/json"
    assert answer["isBase64Encoded"] is False
    parsed: dict[str, Any] = json.loads(answer["body"])
    return parsed


# Answers

ANSWER = {
    "model_name": "fraud",
    "model_version": "1",
    "id": "r-1",
    "outputs": [{"name": "Y", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 4.0]}],
}


def test_a_direct_invocation_is_answered_with_a_document(served: Served) -> None:
    assert respond(event("direct-infer"), Call(), served.server()) == ANSWER


@pytest.mark.parametrize("name", ["http-infer", "http-infer-base64", "http-infer-named-stage"])
def test_every_recorded_http_event_is_answered(server: ModelServer, name: str) -> None:
    answer = respond(event(name), Call(), server)
    assert answer["statusCode"] == 200
    assert document(answer) == ANSWER


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v2/health/live", "GET", 200),
        ("/v2/health/ready", "GET", 200),
        ("/v2/models/fraud", "GET", 200),
        ("/v2/models/fraud/", "GET", 200),
        ("/v2", "GET", 200),
        ("/v2/", "GET", 200),
        ("/v2/models/fr%61ud/versions/pro%64", "GET", 200),
        ("/v2/models/fraud/openapi.json", "GET", 200),
        ("/v2/models/fraud/versions/1/openapi.json", "GET", 200),
        ("/v2/models/fraud/ready", "GET", 200),
        ("/v2/models/fraud/versions/1", "GET", 200),
        ("/v2/models/fraud/versions/prod", "GET", 200),
        ("/v2/models/fraud/versions/prod/ready", "GET", 200),
        ("/v2/models/fraud/versions/7", "GET", 404),
        ("/v2/models/fraud/versions/staging", "GET", 404),
        ("/v2/models/fraud/versions/7/infer", "POST", 404),
        ("/v2/models/other", "GET", 404),
        ("/v2/models/other/infer", "POST", 404),
        ("/v2/models", "GET", 404),
        ("/v2/models/fraud/explain", "POST", 404),
        ("/v1/models/fraud", "GET", 404),
        ("/", "GET", 404),
        ("/v2/models/fraud/infer", "GET", 405),
        ("/v2/models/fraud", "POST", 405),
        ("/v2/health/live", "DELETE", 405),
    ],
)
def test_every_route_has_its_status(
    server: ModelServer, path: str, method: str, status: int
) -> None:
    answer = respond(http(path, method), Call(), server)
    assert answer["statusCode"] == status
    assert ("error" in document(answer)) == (status >= 400)


def test_metadata_is_the_signature_with_the_version_and_its_digest(server: ModelServer) -> None:
    answer = document(respond(event("http-metadata"), Call(), server))
    assert answer == {
        "name": "fraud",
        "versions": ["1"],
        "platform": "shearling_onnx",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "Y", "datatype": "FP32", "shape": [-1, 2]}],
        "parameters": {"digest": server.name.partition("@")[2]},
    }
    assert respond(event("direct-metadata"), Call(), server) == answer


def test_metadata_of_the_user_cannot_replace_what_the_bundle_says(tmp_path: Path) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    bundle = scaling_bundle(tmp_path)
    metadata = {"digest": "mine", "columns": ["a"], "independent_rows": False, "auc": "0.5"}
    manifest = replace(bundle.manifest, metadata=metadata)
    pin = registry.publish(manifest, bundle.files, {}).version.pin
    parameters = ModelServer(settings_of(registry, pin, tmp_path)).metadata()["parameters"]
    assert parameters == {"digest": pin.digest, "auc": "0.5"}


def test_a_refused_method_names_the_allowed_one(server: ModelServer) -> None:
    answer = respond(http("/v2/models/fraud/infer"), Call(), server)
    assert answer["headers"]["allow"] == "POST, OPTIONS"
    assert document(answer)["error"] == "method GET is not allowed for this path; use POST, OPTIONS"


def test_head_is_get_without_a_body(server: ModelServer) -> None:
    for path, status in (("/v2/models/fraud", 200), ("/v2/models/other", 404)):
        answer = respond(http(path, "HEAD"), Call(), server)
        assert (answer["statusCode"], answer["body"]) == (status, "")
        assert answer["headers"]["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v2/models/fraud", "GET, HEAD, OPTIONS"), ("/v2/models/fraud/infer", "POST, OPTIONS")],
)
def test_options_returns_the_allowed_methods(server: ModelServer, path: str, allowed: str) -> None:
    answer = respond(http(path, "OPTIONS"), Call(), server)
    assert (answer["statusCode"], answer["body"]) == (204, "")
    assert answer["headers"]["allow"] == allowed
    assert not any("access-control" in name for name in answer["headers"])


def test_a_version_may_be_named_only_by_the_invoked_alias(server: ModelServer) -> None:
    staging = http("/v2/models/fraud/versions/staging")
    answer = respond(staging, Call(f"{ARN}:staging"), server)
    assert answer["statusCode"] == 200
    for arn in (ARN, f"{ARN}:3", f"{ARN}:$LATEST", f"{ARN}:prod"):
        answer = respond(staging, Call(arn), server)
        assert answer["statusCode"] == 404
        assert "version 'staging' of model 'fraud' is not served" in document(answer)["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "body: missing"),
        ("", "body: missing"),
        ("{", "body: not JSON"),
        ("[]", "the request is not an object"),
        ('{"inputs": []}', "inputs: missing X FP32[-1, 2]"),
        ('{"inputs": [{"name": "X", "datatype": "FP32", "shape": [1]}]}', "inputs[0].shape: [1]"),
    ],
)
def test_a_bad_request_is_a_400_that_names_the_field(
    server: ModelServer, body: str | None, message: str
) -> None:
    answer = respond(http("/v2/models/fraud/infer", "POST", body), Call(), server)
    assert answer["statusCode"] == 400
    assert document(answer)["error"].startswith(message)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("NaN", "JSON has no NaN; write null for a missing value"),
        ("-NaN", "JSON has no NaN; write null for a missing value"),
        ("nan", "JSON has no nan; write null for a missing value"),
        ("None", "JSON has no None; write null for a missing value"),
        ("undefined", "JSON has no undefined; write null for a missing value"),
        ("Infinity", "JSON has no Infinity; send infinite values as binary data"),
        ("-Infinity", "JSON has no Infinity; send infinite values as binary data"),
        ("inf", "JSON has no inf; send infinite values as binary data"),
        ("+Inf", "JSON has no Inf; send infinite values as binary data"),
        ("NULL", "JSON has no NULL; write null for a missing value"),
        ("NA", "JSON has no NA; write null for a missing value"),
        ("<NA>", "JSON has no <NA>; write null for a missing value"),
        ("NaT", "JSON has no NaT; write null for a missing value"),
        ("True", "JSON has no True; write true"),
        ("FALSE", "JSON has no FALSE; write false"),
    ],
)
def test_a_word_that_json_does_not_have_is_named_with_the_right_one(
    server: ModelServer, word: str, advice: str
) -> None:
    body = f'{{"note": "NaN", "instances": [[1, {word}]]}}'
    answer = respond(http("/v2/models/fraud/infer", "POST", body), Call(), server)
    assert answer["statusCode"] == 400
    column = body.index(word, body.index("[[")) + 1
    assert f"body: not JSON: {word} at line 1 column {column}:" in document(answer)["error"]
    assert advice in document(answer)["error"]


@pytest.mark.parametrize("body", ["{None: 1}", "{null: 1}", "[1 null]", "[Nano]", "[natural]"])
def test_no_word_is_advised_where_json_has_no_value_of_that_name(
    server: ModelServer, body: str
) -> None:
    answer = respond(http("/v2/models/fraud/infer", "POST", body), Call(), server)
    assert answer["statusCode"] == 400
    assert "write null" not in document(answer)["error"]


@pytest.mark.parametrize("body", ["%%%", "ü", "YQ"])
def test_a_body_that_is_not_base64_is_a_400(server: ModelServer, body: str) -> None:
    request = http("/v2/models/fraud/infer", "POST", body) | {"isBase64Encoded": True}
    answer = respond(request, Call(), server)
    assert answer["statusCode"] == 400
    assert document(answer)["error"].startswith("body: not base64")


def test_a_direct_response_to_an_error_has_the_status(server: ModelServer) -> None:
    assert respond({"inputs": 3}, Call(), server)["status"] == 400
    assert respond(None, Call(), server)["status"] == 400


EVENT_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["requestContext", "http", "method", "rawPath", "body", "isBase64Encoded", "stage"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=attack(200))
@given(EVENT_VALUES)
@example({"requestContext": 5})
@example({"requestContext": "http"})
@example({"requestContext": {"http": "GET"}})
@example({"requestContext": {"http": {"method": 5}}, "rawPath": []})
def test_no_event_makes_the_handler_raise(server: ModelServer, value: object) -> None:
    answer = respond(value, Call(), server)
    assert answer.get("statusCode", answer.get("status")) >= 400


# Failures


def test_an_internal_error_is_a_500_with_the_request_id(
    server: ModelServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No known request causes an internal error, so the test causes one.
    nothing: dict[str, object] = {}
    monkeypatch.setattr(server, "infer", lambda *_, **__: nothing["method"])
    answer = respond(event("http-infer"), Call(), server)
    assert answer["statusCode"] == 500
    assert document(answer)["error"] == ("internal error; see request request-1 in the log")
    (failure, _) = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert failure["request_id"] == "request-1"
    assert "KeyError: 'method'" in failure["traceback"]


def test_no_released_model_is_a_503_with_the_next_step(tmp_path: Path) -> None:
    server = ModelServer(settings_of("memory://none", None, tmp_path))
    server.start()
    answer = respond(event("http-infer"), Call(), server)
    assert answer["statusCode"] == 503
    assert "no model is released on acme-fraud yet. Push one" in document(answer)["error"]
    assert respond(event("direct-infer"), Call(), server)["status"] == 503
    ready = respond(http("/v2/health/ready"), Call(), server)
    assert ready["statusCode"] == 503
    assert document(ready)["ready"] is False
    assert respond(http("/v2/health/live"), Call(), server)["statusCode"] == 200
    check = respond(event("direct-check"), Call(), server)
    assert (check["passed"], check["model"]) == (False, "")


@pytest.mark.parametrize("name", ["http-infer", "direct-infer"])
def test_the_latest_version_answers_no_inference(served: Served, name: str) -> None:
    server = served.server(is_unpublished=True)
    for arn in (ARN, f"{ARN}:$LATEST", f"{ARN}:prod"):  # event sources may leave the alias out
        answer = respond(event(name), Call(arn), server)
        if "body" in answer:
            assert answer["statusCode"] == 400
            answer = document(answer)
        assert (
            "Invoke an alias, such as acme-fraud:prod; `shearling status fraud`"
            in (answer["error"])
        )


def test_the_latest_version_can_be_checked_and_described(served: Served) -> None:
    server = served.server(is_unpublished=True)
    assert respond(event("direct-check"), Call(), server)["passed"]
    assert respond(http("/v2/models/fraud"), Call(), server)["statusCode"] == 200


def test_less_time_than_a_request_needs_is_a_504(server: ModelServer) -> None:
    answer = respond(event("http-infer"), Call(seconds_left=0.0), server)
    assert answer["statusCode"] == 504
    assert "0.00 s are left, but a request needs" in document(answer)["error"]


def failing_model(rows: Any) -> Any:
    if rows[0][0] < 0:
        raise ValueError("the secret of row 0")
    return rows


def test_a_model_that_fails_is_a_500_without_its_message(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    version = push_model(
        failing_model, "fraud", example=ROWS, format="cloudpickle", registry=registry
    )
    server = ModelServer(replace(settings_of(registry, version.pin, tmp_path), allow_pickle=True))
    request = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [-1.0, 0.0]}]}
    answer = respond(http("/v2/models/fraud/infer", "POST", json.dumps(request)), Call(), server)
    assert answer["statusCode"] == 500
    error = document(answer)["error"]
    assert error == "the model failed with ValueError; see request request-1 in the log"
    assert "secret" not in error
    assert "Traceback" not in answer["body"]
    logged = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    failure = next(line for line in logged if line["event"] == "prediction failed")
    assert "the secret of row 0" in failure["traceback"]
    assert failure["request_id"] == "request-1"
    assert respond(event("http-infer"), Call(), server)["statusCode"] == 200


def test_a_pickle_is_not_served_unless_the_function_allows_it(tmp_path: Path) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    version = push_model(
        failing_model, "fraud", example=ROWS, format="cloudpickle", registry=registry
    )
    server = ModelServer(settings_of(registry, version.pin, tmp_path))
    assert "is a pickle, which runs code" in server.problem()


def test_a_corrupted_blob_is_never_served(served: Served) -> None:
    manifest = served.registry.manifest(str(served.settings.pin))
    key = blob_key(manifest.file("model.onnx").hex)
    data = served.registry.store.read(key)
    assert data is not None
    served.registry.store.write(key, data[:-1] + b"!")
    server = served.server()
    assert "is corrupt or was changed" in server.problem()
    answer = respond(event("http-infer"), Call(), server)
    assert answer["statusCode"] == 503
    served.registry.store.write(key, data)
    assert not server.ready()  # tampered bytes are not retried


def test_a_load_that_failed_because_of_the_store_is_retried(served: Served) -> None:
    manifest = served.registry.manifest(str(served.settings.pin))
    key = blob_key(manifest.file("model.onnx").hex)
    data = served.registry.store.read(key)
    assert data is not None
    pin = served.settings.pin
    elsewhere = Registry(f"memory://{uuid.uuid4().hex}")
    server = served.server(registry=elsewhere.store.uri)
    assert not server.ready()
    assert pin is not None
    server = served.server(scratch=served.settings.scratch / "later")
    served.settings.scratch.mkdir(exist_ok=True)
    (served.settings.scratch / "later").write_text("in the way")
    assert "cannot create" in server.problem()
    (served.settings.scratch / "later").unlink()
    assert server.ready()


def test_a_model_whose_example_has_other_answers_is_not_served(tmp_path: Path) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    honest = scaling_bundle(tmp_path, factor=2.0)
    other = scaling_bundle(tmp_path, factor=3.0)
    files = (honest.manifest.file("model.onnx"), other.manifest.file("example.tensors"))
    manifest = replace(honest.manifest, files=files)
    paths = {**honest.files, "example.tensors": other.files["example.tensors"]}
    pin = registry.publish(manifest, paths, {}).version.pin
    server = ModelServer(settings_of(registry, pin, tmp_path / "scratch"))
    server.start()
    assert "output Y[2, 1] is 12.0, expected 18.0" in server.problem()
    check = respond(event("direct-check"), Call(), server)
    assert check["passed"] is False
    assert "expected 18.0" in check["reason"]


def push_by_hand(tmp_path: Path, example: bytes | None, **fields: Any) -> ModelServer:
    """Publish what no push would, and start its function."""
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    bundle = scaling_bundle(tmp_path)
    if example is not None:
        bundle.files["example.tensors"].write_bytes(example)
    with bundle.files["example.tensors"].open("rb") as stream:
        described = describe("example.tensors", stream)
    files = (bundle.manifest.file("model.onnx"), described)
    manifest = replace(bundle.manifest, files=files, **fields)
    pin = registry.publish(manifest, bundle.files, {}).version.pin
    server = ModelServer(settings_of(registry, pin, tmp_path / "scratch"))
    server.start()
    return server


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (Example({"X": ROWS}, {}), "the example has no output 'Y', so it proves nothing"),
        (Example({"X": ROWS[:0]}, {"Y": ROWS[:0]}), "the example has no rows"),
        (Example({}, {"Y": ROWS}), "the example has no input 'X'"),
    ],
)
def test_an_example_that_would_prove_nothing_is_not_served(
    tmp_path: Path, example: Example, reason: str
) -> None:
    server = push_by_hand(tmp_path, example.to_bytes())
    check = respond(event("direct-check"), Call(), server)
    assert check["passed"] is False
    assert reason in check["reason"]


def test_an_example_whose_head_is_nested_deeply_is_not_served(tmp_path: Path) -> None:
    text = b"[" * 100_000
    server = push_by_hand(tmp_path, struct.pack("<Q", len(text)) + text)
    check = respond(event("direct-check"), Call(), server)
    assert check["passed"] is False
    assert "the example cannot be read" in check["reason"]


def test_metadata_of_any_depth_that_is_published_is_shown(tmp_path: Path) -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(197):
        deep = {"a": deep}
    server = push_by_hand(tmp_path, None, metadata=deep)
    for path in ("/v2/models/fraud", "/v2/models/fraud/docs", "/v2/models/fraud/openapi.json"):
        assert respond(http(path, "GET", ""), Call(), server)["statusCode"] == 200


# The check


def test_the_check_reports_verdict_timings_and_memory(server: ModelServer) -> None:
    answer = respond(event("direct-check"), Call(), server)
    assert json.loads(json.dumps(answer)) == answer
    assert (answer["passed"], answer["reason"], answer["worst_difference"]) == (True, "", "0.0")
    assert answer["model"] == server.name
    assert answer["memory_mb"] == 1024
    assert answer["peak_memory_mb"] > 10
    assert {"warm", "import", "resolve", "fetch", "load", "warm_up"} <= set(answer["timings"])


def test_the_check_is_not_available_over_http(server: ModelServer) -> None:
    request = http("/v2/models/fraud/infer", "POST", '{"shearling": "check"}')
    assert respond(request, Call(), server)["statusCode"] == 400


# Sources of the bundle


def stage(served: Served, root: Path) -> Path:
    """Write the bundle to a directory as the stager or a package does."""
    directory = root / "blobs" / "sha256"
    pin = served.settings.pin
    assert pin is not None
    manifest = served.registry.manifest(pin)
    served.registry.fetch(manifest, directory)
    (directory / pin.digest.removeprefix("sha256:")).write_bytes(manifest.to_bytes())
    return directory


@pytest.mark.parametrize("place", ["mount", "package"])
def test_a_staged_or_packaged_bundle_is_served_without_the_registry(
    served: Served, tmp_path: Path, place: str
) -> None:
    stage(served, tmp_path / "there")
    server = served.server(registry="memory://empty", **{place: tmp_path / "there"})
    assert server.ready()
    assert not (served.settings.scratch / "shearling").exists()


@pytest.mark.parametrize("damage", ["manifest", "blob", "missing"])
def test_a_damaged_staged_or_packaged_bundle_is_fetched(
    served: Served, tmp_path: Path, damage: str
) -> None:
    directory = stage(served, tmp_path / "there")
    pin = served.settings.pin
    assert pin is not None
    name = pin.digest if damage == "manifest" else served.registry.manifest(pin).files[0].digest
    file = directory / name.removeprefix("sha256:")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert served.server(mount=tmp_path / "there").ready()
    assert (served.settings.scratch / "shearling").exists()


@pytest.mark.parametrize("chunked", [True, False])
def test_other_bytes_on_a_mount_or_in_a_package_are_not_served(
    tmp_path: Path, *, chunked: bool
) -> None:
    attack = Attack.on(Registry(f"memory://{uuid.uuid4().hex}"), tmp_path, chunked=chunked)
    attack.put(attack.good)
    served = Served(
        attack.registry, settings_of(attack.registry, attack.approved, tmp_path / "scratch")
    )
    attack.as_version_0_1(stage(served, tmp_path / "there"))
    for place in ("mount", "package"):
        server = served.server(registry="memory://empty", **{place: tmp_path / "there"})
        assert not server.ready()
        assert served.server(**{place: tmp_path / "there"}).ready()


def test_a_start_that_a_damaged_blob_fails_names_it_and_the_command_that_tells_more(
    served: Served,
) -> None:
    pin = served.settings.pin
    assert pin is not None
    file = served.registry.manifest(pin).files[0]
    for hex_digest in (file.hex, pin.hex):
        key = blob_key(hex_digest)
        served.registry.store.write(key, b"x" * (served.registry.store.size(key) or 0))
        problem = served.server().problem()
        assert key in problem
        assert f"`shearling verify {pin}` tells which blobs are wrong" in problem


def test_a_second_start_uses_the_fetched_files(served: Served) -> None:
    assert served.server().ready()
    manifest = served.registry.manifest(str(served.settings.pin))
    for file in manifest.files:
        served.registry.store.write(blob_key(file.hex), b"gone")
    assert served.server().ready()


# Settings


def test_the_settings_are_read_from_the_environment() -> None:
    pin = "fraud:7@sha256:" + "a" * 64
    found = Settings.from_environment(
        {
            "SHEARLING_REGISTRY": "s3://bucket/prefix",
            "SHEARLING_MODEL": pin,
            "SHEARLING_ALLOW_PICKLE": "true",
            "SHEARLING_MOUNT": "/mnt/models",
            "LAMBDA_TASK_ROOT": "/var/task",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3008",
            "AWS_LAMBDA_FUNCTION_NAME": "acme-fraud",
        }
    )
    assert found == Settings(
        registry="s3://bucket/prefix",
        pin=Pin.parse(pin),
        allow_pickle=True,
        mount=Path("/mnt/models"),
        package=Path("/var/task"),
        scratch=Path("/tmp"),
        memory_mb=3008,
        function="acme-fraud",
    )


@pytest.mark.parametrize("text", ["", "false", "0", "yes"])
def test_pickles_are_allowed_only_by_true(text: str) -> None:
    assert not Settings.from_environment({"SHEARLING_ALLOW_PICKLE": text}).allow_pickle
    assert Settings.from_environment({}).pin is None


@pytest.mark.parametrize(("version", "unpublished"), [("$LATEST", True), ("7", False), ("", False)])
def test_the_latest_version_is_known_by_its_number(version: str, unpublished: bool) -> None:  # noqa: FBT001
    found = Settings.from_environment({"AWS_LAMBDA_FUNCTION_VERSION": version} if version else {})
    assert found.is_unpublished == unpublished


def test_a_model_that_is_not_pinned_is_refused() -> None:
    with pytest.raises(InvalidRefError, match="is not pinned"):
        Settings.from_environment({"SHEARLING_MODEL": "fraud:prod"})


@pytest.mark.parametrize(("memory_mb", "threads"), [(128, 1), (1769, 1), (3538, 2), (10240, 6)])
def test_a_prediction_gets_as_many_threads_as_there_are_processors(
    tmp_path: Path, memory_mb: int, threads: int
) -> None:
    found = replace(settings_of("", None, tmp_path), memory_mb=memory_mb)
    assert found.threads == threads


def test_caches_and_home_are_in_the_writable_directory(tmp_path: Path) -> None:
    environment = {"HOME": "/root", "PATH": "/bin"}
    settings_of("", None, tmp_path).prepare(environment)
    pointed = {name for name, value in environment.items() if value == str(tmp_path)}
    assert {"HOME", "XDG_CACHE_HOME", "HF_HOME", "MPLCONFIGDIR"} <= pointed
    assert environment["PATH"] == "/bin"


@pytest.mark.parametrize(("allow_pickle", "threads"), [(False, "1"), (True, None)])
def test_only_a_pickle_may_need_threads_for_linear_algebra(
    tmp_path: Path, *, allow_pickle: bool, threads: str | None
) -> None:
    environment: dict[str, str] = {}
    replace(settings_of("", None, tmp_path), allow_pickle=allow_pickle).prepare(environment)
    assert environment.get("OPENBLAS_NUM_THREADS") == threads


def test_a_chosen_number_of_threads_for_linear_algebra_is_kept(tmp_path: Path) -> None:
    environment = {"OPENBLAS_NUM_THREADS": "4"}
    settings_of("", None, tmp_path).prepare(environment)
    assert environment["OPENBLAS_NUM_THREADS"] == "4"


# The log


def logged(capfd: pytest.CaptureFixture[str], act: Callable[[], object]) -> list[dict[str, Any]]:
    capfd.readouterr()
    act()
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_an_invocation_is_one_log_line_with_metrics(
    server: ModelServer, capfd: pytest.CaptureFixture[str]
) -> None:
    before = time.time() * 1000
    (line,) = logged(capfd, lambda: respond(event("direct-infer"), Call(), server))
    metrics = line["_aws"]["CloudWatchMetrics"]
    assert line["event"] == "invocation"
    assert (line["request_id"], line["status"]) == ("request-1", 200)
    assert line["model"] == server.name
    assert before - 1 <= line["_aws"]["Timestamp"] <= time.time() * 1000
    assert [each["Namespace"] for each in metrics] == ["Shearling"]
    for each in metrics:
        for names in each["Dimensions"]:
            assert all(isinstance(line[name], str) and line[name] for name in names)
        for metric in each["Metrics"]:
            assert isinstance(line[metric["Name"]], int | float)
            assert metric["Unit"] in ("Milliseconds", "Count")
    assert (line["function_name"], line["alias"]) == ("acme-fraud", "prod")


@pytest.mark.parametrize(
    ("document_", "seconds_left", "client", "server_"),
    [({"inputs": 3}, 30.0, 1, 0), ({"inputs": []}, 0.0, 0, 1)],
)
def test_client_and_server_errors_are_counted_separately(
    server: ModelServer,
    capfd: pytest.CaptureFixture[str],
    document_: Any,
    seconds_left: float,
    *,
    client: int,
    server_: int,
) -> None:
    call = Call(seconds_left=seconds_left)
    (line,) = logged(capfd, lambda: respond(document_, call, server))
    assert (line["ClientErrors"], line["ServerErrors"]) == (client, server_)
    assert line["error"]


def test_the_start_is_one_log_line_with_every_step(
    served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = logged(capfd, served.server().start)
    (line,) = [each for each in lines if each["event"] == "start"]
    assert line["model"] == str(served.settings.pin)
    assert set(line["steps"]) == {"import", "resolve", "fetch", "load", "warm_up"}
    manifest = served.registry.manifest(str(served.settings.pin))
    assert line["steps"]["fetch"]["bytes"] == manifest.size
    assert line["source"] == served.registry.store.uri
    assert line["total_ms"] >= max(step["ms"] for step in line["steps"].values()) - 0.1


def test_a_step_that_fails_is_timed_too() -> None:
    startup = StartupTimings()
    with pytest.raises(ValueError, match="no"), startup.step("load"):
        raise ValueError("no")
    assert set(startup.timings()) == {"load"}


def test_the_answers_are_those_of_the_pushed_model(server: ModelServer) -> None:
    request = {
        "inputs": [{"name": "X", "shape": [3, 2], "datatype": "FP32", "data": ROWS.tolist()}]
    }
    answer = respond(request, Call(), server)
    np.testing.assert_array_equal(np.reshape(answer["outputs"][0]["data"], (3, 2)), 2 * ROWS)


def test_a_line_that_a_pipe_accepts_in_parts_is_written_completely(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda target, line: write(target, line[:10]))

    log("told", reason="longer than what is taken")

    assert capfd.readouterr().out == '{"event":"told","reason":"longer than what is taken"}\n'
