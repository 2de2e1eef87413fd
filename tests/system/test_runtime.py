"""The built package under AWS's runtime interface emulator and runtime client, against S3."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import shearling as sdk
from shearling.package import build_package
from shearling.protocol.requests import request_document
from shearling.protocol.responses import read_answer
from shearling.storage.blobs import blob_key
from tests.embedded_aws import install
from tests.support.packages import unzip, unzipped_package
from tests.support.runtime_emulator import RuntimeEmulator

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from shearling.refs import Pin
    from tests.embedded_aws import EmbeddedAws

HANDLER = "shearling_runtime.handler.handler"
ROWS, LABELS = load_breast_cancer(return_X_y=True)
ROWS = ROWS.astype(np.float32)

Start = Callable[..., Any]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unzipped runtime packages by Python version."""
    built: dict[str, Path] = {}

    def package(python: str) -> Path:
        if python not in built:
            built[python] = unzipped_package("runtime", tmp_path_factory.mktemp("package"), python)
        return built[python]

    return package


@pytest.fixture
def start(
    packages: Callable[[str], Path], embedded_aws: EmbeddedAws, s3_uri: str
) -> Callable[..., Any]:
    """Start a function that serves a pin of the test's registry."""
    newest = install.function_versions()[-1]

    @contextmanager
    def started(
        pin: Pin | None, *, python: str = newest, package: Path | None = None, **options: Any
    ) -> Iterator[RuntimeEmulator]:
        environment = {
            **embedded_aws.environment(),
            "SHEARLING_REGISTRY": s3_uri,
            **({"SHEARLING_MODEL": str(pin)} if pin else {}),
            **options.pop("environment", {}),
        }
        with RuntimeEmulator(
            package or packages(python),
            HANDLER,
            environment,
            python=install.function_python(python),
            **options,
        ) as emulator:
            yield emulator

    return started


@pytest.fixture(scope="module")
def model() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)


@pytest.fixture
def pin(model: Any, s3_uri: str) -> Pin:
    return sdk.push_model(model, "cancer", example=ROWS, registry=s3_uri).pin


def request(rows: Any = ROWS[:3]) -> dict[str, Any]:
    return request_document({"X": rows})


def wide_graph(columns: int) -> onnx.ModelProto:
    """A graph whose weights are columns x columns floats."""
    weights = np.random.default_rng(0).random((columns, columns), np.float32)
    return helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["X", "weights"], ["Y"])],
            "wide",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", columns])],
            [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", columns])],
            [numpy_helper.from_array(weights, "weights")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.mark.parametrize("python", install.function_versions())
def test_answers_are_those_of_the_local_model(
    start: Start, pin: Pin, model: Any, python: str
) -> None:
    with start(pin, python=python) as function:
        answer = function.invoke(request(ROWS[:100]))
    assert answer["model_version"] == "1"
    outputs = read_answer(answer)
    np.testing.assert_array_equal(outputs["label"], model.predict(ROWS[:100]))
    np.testing.assert_allclose(outputs["probabilities"], model.predict_proba(ROWS[:100]), atol=1e-5)


def test_the_check_runs_the_example_and_reports_verdict_and_memory(start: Start, pin: Pin) -> None:
    with start(pin, memory_mb=512) as function:
        verdict = function.invoke({"shearling": "check"})
    assert verdict["passed"] is True
    assert verdict["model"] == str(pin)
    assert verdict["memory_mb"] == 512
    assert 20 < verdict["peak_memory_mb"] < 512
    assert {"import", "resolve", "fetch", "load", "warm_up"} <= verdict["timings"].keys()


def test_the_start_is_one_log_line_with_the_time_of_each_step(start: Start, pin: Pin) -> None:
    with start(pin) as function:
        function.invoke(request())
        logged = [json.loads(line) for line in function.logs().splitlines() if line[:1] == "{"]
    (started,) = [line for line in logged if line["event"] == "start"]
    assert started["steps"]["fetch"]["bytes"] > 1000
    assert started["total_ms"] > 0
    metrics = {each["Name"] for each in started["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {"Start", "StartImport", "StartFetch", "StartLoad", "StartWarmUp"} <= metrics
    assert metrics <= started.keys()


def test_an_http_event_is_answered_as_the_api_expects(start: Start, pin: Pin) -> None:
    event = {
        "version": "2.0",
        "rawPath": "/v2/models/cancer/infer",
        "requestContext": {"http": {"method": "POST"}, "stage": "$default"},
        "body": json.dumps(request()),
        "isBase64Encoded": False,
    }
    with start(pin) as function:
        answer = function.invoke(event)
        missing = function.invoke({**event, "rawPath": "/v2/models/other/infer"})
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["model_name"] == "cancer"
    assert missing["statusCode"] == 404
    assert "other" in json.loads(missing["body"])["error"]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"inputs": [{"name": "Y"}]}, "inputs[0].name"),
        (request(np.zeros((1, 3), np.float32)), "inputs[0].shape"),
        ({}, "inputs"),
        ("text", "not an object"),
        (None, "not an object"),
    ],
)
def test_a_bad_request_is_a_400_that_names_the_field(
    start: Start, pin: Pin, event: Any, message: str
) -> None:
    with start(pin) as function:
        answer = function.invoke(event)
        assert function.invoke(request())["model_version"] == "1"
    assert answer["status"] == 400
    assert message in answer["error"]


def test_without_a_released_model_the_response_has_the_next_step(start: Start) -> None:
    with start(None) as function:
        answer = function.invoke(request())
    assert answer["status"] == 503
    assert "Push one and set the alias" in answer["error"]


def test_without_an_alias_the_response_says_to_name_one(start: Start, pin: Pin) -> None:
    with start(pin, version="$LATEST") as function:
        answer = function.invoke(request())
        verdict = function.invoke({"shearling": "check"})
    assert answer["status"] == 400
    assert "was invoked without an alias" in answer["error"]
    assert verdict["passed"] is True


def corrupt(aws: EmbeddedAws, uri: str, digest: str) -> None:
    """Change one byte of a blob in the bucket."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    client = aws.client("s3")
    key = f"{prefix}/{blob_key(digest.removeprefix('sha256:'))}"
    data = bytearray(client.get_object(Bucket=bucket, Key=key)["Body"].read())
    data[len(data) // 2] ^= 1
    client.put_object(Bucket=bucket, Key=key, Body=bytes(data))
    client.close()


def test_a_corrupted_blob_is_never_loaded(
    start: Start, pin: Pin, s3_uri: str, embedded_aws: EmbeddedAws
) -> None:
    manifest = sdk.Registry(s3_uri).manifest(pin)
    corrupt(embedded_aws, s3_uri, manifest.file(manifest.entry).digest)
    with start(pin) as function:
        answer = function.invoke(request())
        verdict = function.invoke({"shearling": "check"})
    assert answer["status"] == 503
    assert "is corrupt or was changed" in answer["error"]
    assert verdict["passed"] is False


def test_a_manifest_changed_under_its_digest_is_refused(
    start: Start, pin: Pin, s3_uri: str, embedded_aws: EmbeddedAws
) -> None:
    corrupt(embedded_aws, s3_uri, pin.digest)
    with start(pin) as function:
        answer = function.invoke(request())
    assert answer["status"] == 503
    assert f"expected {pin.digest}" in answer["error"]


def test_an_unreachable_store_is_reported_and_retried(start: Start, pin: Pin) -> None:
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    with start(pin, environment=nowhere, timeout_seconds=60) as function:
        began = time.monotonic()
        answers = [function.invoke(request()) for _ in range(2)]
        seconds = time.monotonic() - began
    for answer in answers:
        assert answer["status"] == 503
        assert "cannot read" in answer["error"]
    assert seconds < 50


def test_a_bundle_larger_than_tmp_is_refused_with_the_numbers(start: Start, s3_uri: str) -> None:
    graph = wide_graph(1500)  # 9 MB
    example = np.ones((1, 1500), np.float32)
    pin = sdk.push_model(graph, "wide", example=example, registry=s3_uri).pin
    with start(pin, tmp_mb=4) as function:
        answer = function.invoke(request())
    assert answer["status"] == 503
    assert "needs 9 MB" in answer["error"]
    assert "ephemeral_storage_mb" in answer["error"]


def test_a_pickle_is_refused_unless_the_function_allows_it(start: Start, s3_uri: str) -> None:
    pin = sdk.push_model(_sums, "sums", example=ROWS[:3], format="cloudpickle", registry=s3_uri).pin
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    with start(pin, python=python) as function:
        answer = function.invoke(request())
    assert answer["status"] == 503
    assert "allow_pickle" in answer["error"]


@pytest.mark.slow
def test_a_pickle_runs_from_its_own_package_with_only_tmp_writable(
    start: Start, s3_uri: str, tmp_path: Path
) -> None:
    pin = sdk.push_model(
        _writes, "writes", example=ROWS[:1], format="cloudpickle", registry=s3_uri
    ).pin
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    environment = sdk.Registry(s3_uri).manifest(pin).environment
    assert environment is not None
    archive = tmp_path / "runtime.zip"
    build_package("runtime", python=python, output=archive, requirements=environment.requirements)
    package = unzip(archive, tmp_path / "package")
    allowed = {"SHEARLING_ALLOW_PICKLE": "true"}
    with start(pin, python=python, package=package, environment=allowed) as function:
        answer = function.invoke(request(ROWS[:1]))
    assert "outputs" in answer, answer
    assert [output["data"] for output in answer["outputs"]] == [[True]]


def _writes(rows: Any) -> Any:
    """Return whether $HOME is writable and the code directory, if there is one, is not."""
    import os
    import tempfile

    def takes_a_file(directory: str) -> bool:
        try:
            with tempfile.TemporaryFile(dir=directory):
                return True
        except OSError:
            return False

    task = os.environ.get("LAMBDA_TASK_ROOT")
    home = takes_a_file(os.path.expanduser("~"))  # noqa: PTH111 - this is pickled
    return np.full(len(rows), home and not (task and takes_a_file(task)))


def _sums(rows: Any) -> Any:
    return rows.sum(axis=1)
