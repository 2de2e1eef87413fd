"""A function in front of our container answers as one that has the model itself."""

from __future__ import annotations

import base64
import gzip
import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression

from shearling import Image as Steps
from shearling.errors import InvalidRequestError
from shearling.models.push import push_model
from shearling.protocol.binary import request_body
from shearling.protocol.constants import LENGTH_HEADER
from shearling.registry.registry import Registry
from shearling_runtime.events.dispatch import respond
from shearling_runtime.http.messages import content_of, input_of, response_of
from shearling_runtime.serving.model_server import ModelServer
from tests.runtime.test_runtime import Call, http, settings_of
from tests.support.attack import attack
from tests.support.pictures import COLOURS, SIDE, drawn, file_of, mean_colours
from tests.support.production_server import production_server
from tests.support.sagemaker_runtime import KEYS, sagemaker_runtime
from tests.test_imports import INFERENCE, modules_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/v2/models/churn/infer"
FRAME = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "visits": [1.0, 2.0, 3.0, 4.0]})
TENSOR: dict[str, Any] = {"name": "X", "datatype": "FP32", "shape": [2, 2], "data": [20, 1, 50, 4]}
DOCUMENT = {"id": "r-1", "inputs": [TENSOR]}


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint: its name, and what a function in front of it has in its environment."""

    name: str
    environment: dict[str, str]
    registry: Registry
    pin: Any


@contextmanager
def endpoint_of(
    name: str, model: Any, example: Any, directory: Path, **options: Any
) -> Iterator[Endpoint]:
    """Run a container with a model, and let this process call it as a function does."""
    registry = Registry(str(directory / "registry"))
    pin = push_model(model, name, example=example, registry=registry, **options).pin
    with (
        production_server(directory, registry.store.uri, pin, "--workers", "1") as container,
        sagemaker_runtime() as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        container.wait_until_ready()
        patch.delenv("AWS_PROFILE", raising=False)
        environment = {**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url}
        for variable, value in environment.items():
            patch.setenv(variable, value)
        yield Endpoint(f"container-{container.port}", environment, registry, pin)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    model = LogisticRegression().fit(FRAME, ["leaves", "leaves", "stays", "stays"])
    with endpoint_of("churn", model, FRAME, tmp_path_factory.mktemp("staged")) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def plain(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> ModelServer:
    """The server of a function that has the model itself."""
    scratch = tmp_path_factory.mktemp("plain")
    return ModelServer(settings_of(endpoint.registry, endpoint.pin, scratch))


@pytest.fixture(scope="module")
def proxy(endpoint: Endpoint, plain: ModelServer) -> ModelServer:
    """The server of a function in front of the endpoint."""
    return proxy_of(plain, endpoint.name)


def proxy_of(plain: ModelServer, name: str) -> ModelServer:
    return ModelServer(replace(plain.settings, endpoint=name, endpoint_is_staged=True))


def asked(server: ModelServer, body: bytes, headers: dict[str, str], path: str = PATH) -> Any:
    """Return the answer to a body, which API Gateway passes on as base64 if it is no text."""
    event = http(path, "POST", base64.b64encode(body).decode())
    event |= {"isBase64Encoded": True, "headers": headers}
    return respond(event, Call(), server)


JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}
ROWS, LENGTH = request_body({"X": np.array([[20, 1], [50, 4]] * 40, np.float32) / 7})
BINARY = {"content-type": "application/octet-stream", LENGTH_HEADER: str(LENGTH)}
RAW = np.array([20, 1, 50, 4], "<f4").tobytes()


def changed(**fields: Any) -> bytes:
    """The JSON of a request with other fields, of which those of the tensor are its own."""
    tensor = TENSOR | {name: fields.pop(name) for name in [*fields] if name in TENSOR}
    return json.dumps(DOCUMENT | {"inputs": [tensor]} | fields).encode()


REQUESTS: dict[str, tuple[bytes, dict[str, str]]] = {
    "JSON": (changed(), JSON),
    "JSON without a type": (changed(), {}),
    "one output": (changed(outputs=[{"name": "label"}]), JSON),
    "binary outputs": (
        changed(outputs=[{"name": "probabilities", "parameters": {"binary_data": True}}]),
        JSON,
    ),
    "all outputs binary": (changed(parameters={"binary_data_output": True}), JSON),
    "compressed": (gzip.compress(changed()), JSON | {"content-encoding": "gzip"}),
    "JSON to CSV": (changed(), JSON | {"accept": "text/csv"}),
    "binary": (ROWS, BINARY),
    "binary to CSV": (ROWS, BINARY | {"accept": "text/csv"}),
    "raw": (RAW, BINARY | {LENGTH_HEADER: "0"}),
    "CSV": (b"age,visits\n20,1\n50,4\n", CSV),
    "CSV without names": (b"20,1\n50,4\n", {"content-type": "text/csv; header=absent"}),
    "CSV to JSON": (b"20,1\n", CSV | {"accept": "application/json"}),
    "instances": (b'{"instances": [[20, 1], [50, 4]]}', JSON),
    "instances by name": (b'{"instances": [{"age": 20, "visits": 1}]}', JSON),
    "instances to CSV": (b'{"instances": [[20, 1]]}', JSON | {"accept": "text/csv"}),
    "no rows": (changed(shape=[0, 2], data=[]), JSON),
    "a long text": (changed(id="ä" * 3000), JSON),
    "a missing value": (changed(data=[None, 1, 50, 4]), JSON),
    "a text": (changed(data=["x", 1, 50, 4]), JSON),
    "a wrong shape": (changed(shape=[2, 3]), JSON),
    "a wrong datatype": (changed(datatype="FP33"), JSON),
    "a wrong name": (changed(name="Z"), JSON),
    "an unknown output": (changed(outputs=[{"name": "nothing"}]), JSON),
    "no inputs": (b"{}", JSON),
    "no object": (b"[1]", JSON),
    "no JSON": (b'{"inputs": NaN}', JSON),
    "no UTF-8": (b'{"inputs": "\xff"}', JSON),
    "no UTF-8 in CSV": (b"age,visits\n\xff,1\n", CSV),
    "nothing": (b"", JSON),
    "a wrong column": (b"age,hits\n20,1\n", CSV),
    "a wrong cell": (b"age,visits\n20,x\n", CSV),
    "a wrong parameter": (b"20,1\n", {"content-type": "text/csv; header=perhaps"}),
    "a length with CSV": (b"20,1\n", CSV | {LENGTH_HEADER: "3"}),
    "a length above the body's": (ROWS, BINARY | {LENGTH_HEADER: "99999"}),
    "a length that is no number": (ROWS, BINARY | {LENGTH_HEADER: "-1"}),
    "raw bytes that are JSON": (RAW, JSON | {LENGTH_HEADER: "0"}),
    "too few bytes": (ROWS[:-4], BINARY),
    "too few raw bytes": (RAW[:-1], BINARY | {LENGTH_HEADER: "0"}),
    "a compression that is none": (b"x", JSON | {"content-encoding": "gzip"}),
    "no instances": (b'{"instances": []}', JSON),
    "a picture": (b"\x89PNG", {"content-type": "image/png"}),
    "a picture of another type": (b"GIF89a", {"content-type": "image/gif"}),
    "a long wrong name": (changed(name="Z" * 9000), JSON),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_has_the_same_answer_as_without_an_endpoint(
    plain: ModelServer, proxy: ModelServer, name: str
) -> None:
    assert asked(proxy, *REQUESTS[name]) == asked(plain, *REQUESTS[name])


def test_the_requests_above_have_answers_and_refusals(plain: ModelServer) -> None:
    statuses = {name: asked(plain, *request)["statusCode"] for name, request in REQUESTS.items()}
    refused = [*REQUESTS].index("a missing value")
    assert [*statuses.values()] == [200] * refused + [400] * (len(REQUESTS) - refused)


def test_pictures_have_the_same_answers_as_without_an_endpoint(tmp_path: Path) -> None:
    picture = file_of(Image.new("RGB", (50, 40), "red"), "JPEG")
    steps: Any = {"image": Steps(size=SIDE, crop="center"), "classes": COLOURS}
    base64_row = {"instances": [base64.b64encode(picture).decode()]}
    with endpoint_of("cats", mean_colours(), [drawn()], tmp_path, **steps) as endpoint:
        plain = ModelServer(settings_of(endpoint.registry, endpoint.pin, tmp_path / "scratch"))
        proxy = proxy_of(plain, endpoint.name)
        requests = [
            (picture, {"content-type": "image/jpeg"}),
            (picture, {"content-type": "image/png", "accept": "text/csv"}),
            (json.dumps(base64_row).encode(), JSON),
            (picture[:99], {"content-type": "image/jpeg"}),
            (b"no picture", {"content-type": "image/webp"}),
        ]
        path = "/v2/models/cats/infer"
        answers = [asked(proxy, *request, path) for request in requests]
        assert answers == [asked(plain, *request, path) for request in requests]
    assert [answer["statusCode"] for answer in answers] == [200, 200, 200, 400, 400]


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_FIELDS = {
    "name": st.sampled_from(["X", "Z"]),
    "shape": st.lists(st.integers(-1, 3), max_size=3),
    "data": st.lists(_VALUES, max_size=5),
    "outputs": st.just([{"name": "label"}]) | _VALUES,
    "id": _VALUES,
    "parameters": st.dictionaries(st.sampled_from(["binary_data_output", "x"]), _VALUES),
}
_BODIES = st.one_of(
    st.fixed_dictionaries({}, optional=_FIELDS).map(lambda fields: changed(**fields)),
    st.sampled_from([body for body, _ in REQUESTS.values()]),
    st.binary(max_size=20),
)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            ["application/json", "text/csv", "TEXT/CSV; header=x", "image/png", ""]
        ),
        "accept": st.sampled_from(["text/csv", "application/json", "*/*", "text/csv;q=0, */*"]),
        LENGTH_HEADER: st.sampled_from(["0", " 12", str(LENGTH), "x", "9" * 30]),
    },
)


@settings(max_examples=attack(60))
@given(body=_BODIES, headers=_HEADERS)
def test_any_body_under_any_headers_has_the_same_answer(
    plain: ModelServer, proxy: ModelServer, body: bytes, headers: dict[str, str]
) -> None:
    assert asked(proxy, body, headers) == asked(plain, body, headers)


@pytest.mark.parametrize(
    "event",
    [
        DOCUMENT,
        {"instances": [[20, 1]]},
        {"instances": [[20, "x"]]},
        {"instances": [[20, float("inf")]]},
        {"instances": [[20, float("nan")]]},
        {"instances": [[20, None]]},
        {"instances": [[20, 10**40]]},
        DOCUMENT | {"id": "\ud800"},
        DOCUMENT | {"parameters": {"binary_data_output": True}},
        {"inputs": []},
        [1],
        "text",
        None,
        {"shearling": "metadata"},
    ],
    ids=repr,
)
def test_a_direct_invocation_has_the_same_answer_as_without_an_endpoint(
    plain: ModelServer, proxy: ModelServer, event: Any
) -> None:
    assert respond(event, Call(), proxy) == respond(event, Call(), plain)


@pytest.mark.parametrize("name", ["JSON", "binary", "CSV", "instances", "no rows", "a text"])
def test_a_job_has_the_same_answer_as_without_an_endpoint(
    plain: ModelServer, proxy: ModelServer, name: str
) -> None:
    def answer(server: ModelServer) -> Any:
        try:
            return content_of(response_of(server.infer(input_of(*REQUESTS[name]))))
        except InvalidRequestError as error:
            return str(error)

    assert answer(proxy) == answer(plain)


@pytest.mark.parametrize(
    "path", ["/v2/models/churn", "/v2/models/churn/ready", "/v2/models/other", "/v2"]
)
def test_what_is_no_inference_is_answered_without_the_endpoint(
    plain: ModelServer, path: str
) -> None:
    event = http(path, "GET", "")
    assert respond(event, Call(), proxy_of(plain, "missing")) == respond(event, Call(), plain)


def test_latest_is_refused_before_the_endpoint_is_asked(plain: ModelServer) -> None:
    server = ModelServer(
        replace(plain.settings, endpoint="missing", endpoint_is_staged=True, is_unpublished=True)
    )
    answer = asked(server, *REQUESTS["JSON"])
    assert answer["statusCode"] == 400
    assert "was invoked without an alias" in answer["body"]


def test_the_check_sends_the_example_to_the_endpoint(
    plain: ModelServer, proxy: ModelServer
) -> None:
    assert proxy.check()["passed"]
    assert "not found" in proxy_of(plain, "missing").check()["reason"]


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("throttled", 503, "busy or not ready"),
        ("missing", 503, "`shearling retry-release` creates it again"),
        ("denied", 503, "sagemaker:InvokeEndpoint"),
        ("small", 413, "refuses the request's size"),
        ("own-refusal", 400, "inputs: X is too large"),
        ("own-failure", 500, "the model failed with ValueError; see request request-1 in the log"),
        ("own-overload", 503, "the model is being loaded"),
        ("crashing", 500, "division by zero"),
        ("container-timeout", 504, "did not answer in time"),
        ("no-type", 500, "answers with type"),
    ],
)
def test_a_failure_of_the_endpoint_is_a_response_that_says_what_to_do(
    plain: ModelServer, name: str, status: int, message: str
) -> None:
    answer = asked(proxy_of(plain, name), *REQUESTS["JSON"])
    assert answer["statusCode"] == status
    assert message in json.loads(answer["body"])["error"]


def test_a_slow_endpoint_is_a_504_before_the_function_is_stopped(plain: ModelServer) -> None:
    event = http(PATH, "POST", changed().decode())
    answer = respond(event, Call(seconds_left=0.4), proxy_of(plain, "slow"))
    assert answer["statusCode"] == 504


def test_an_answer_above_lambdas_limit_is_refused_as_without_an_endpoint(
    plain: ModelServer, proxy: ModelServer
) -> None:
    body, length = request_body({"X": np.full((300_000, 2), 1 / 3, np.float32)})
    headers = BINARY | {LENGTH_HEADER: str(length)}
    answers = [asked(server, body, headers) for server in (plain, proxy)]
    assert [answer["statusCode"] for answer in answers] == [413, 413]
    assert all("Lambda returns 6,291,556 at most" in answer["body"] for answer in answers)


def test_a_function_in_front_of_our_container_imports_no_numpy_and_fetches_nothing(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    code = f"""
from types import SimpleNamespace
from shearling_runtime.handler import handler
context = SimpleNamespace(
    aws_request_id="r", function_name="f", invoked_function_arn="a:b:c:d:e:f:g",
    get_remaining_time_in_millis=lambda: 9999,
)
answer = handler({DOCUMENT!r}, context)
assert answer["outputs"][0]["shape"] == [2], answer
"""
    modules = modules_after(
        code,
        SHEARLING_REGISTRY=str(tmp_path / "none"),
        SHEARLING_MODEL=str(endpoint.pin),
        SHEARLING_STAGED_ENDPOINT=endpoint.name,
        **endpoint.environment,
    )
    imported = {name for name in modules if not name.startswith("_")}
    assert imported <= INFERENCE - {"numpy", "obstore", "onnxruntime"}
