"""All event sources and the whole protocol: the same answers for all forms of a request."""

from __future__ import annotations

import base64
import copy
import gzip
import json
import uuid
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from shearling.errors import InvalidRequestError
from shearling.models.push import push_model
from shearling.protocol.binary import is_better_binary, raw_request, request_body
from shearling.protocol.responses import read_answer
from shearling.registry.registry import Registry
from shearling.tensors.spec import Signature, TensorSpec
from shearling_runtime.events.dispatch import respond
from shearling_runtime.http.decompression import REQUEST_LIMIT
from shearling_runtime.serving.answer_size import ANSWER_LIMIT
from shearling_runtime.serving.model_server import ModelServer
from tests.runtime.test_runtime import Call, event, serve, settings_of
from tests.support.attack import attack
from tests.support.http_server import PAYLOADS, event_alb

if TYPE_CHECKING:
    from pathlib import Path

INFER = "/v2/models/fraud/infer"
LENGTH = "Inference-Header-Content-Length"
ROWS = np.array([[1, 2], [3, 4]], np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ModelServer:
    return serve(Registry(f"memory://{uuid.uuid4().hex}"), tmp_path_factory.mktemp("s")).server()


def columns_model(values: Any) -> Any:
    """Return a model with two inputs and outputs: it doubles an age and capitalises a country."""
    with np.errstate(over="ignore"):
        twice = values["age"] * 2
    return {"twice": twice, "name": np.char.upper(values["country"].astype(str)).astype(object)}


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> ModelServer:
    directory = tmp_path_factory.mktemp("columns")
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    example = {
        "age": np.array([[1.5], [2.5]], np.float32),
        "country": np.array([["de"], ["fr"]], object),
    }
    version = push_model(
        columns_model, "fraud", example=example, format="cloudpickle", registry=registry
    )
    return ModelServer(replace(settings_of(registry, version.pin, directory), allow_pickle=True))


def post(
    server: ModelServer,
    body: bytes | dict[str, Any],
    *,
    payload: str = "2.0",
    path: str = INFER,
    **headers: str,
) -> dict[str, Any]:
    """POST a body as an event of a source; header names have _ for -."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    answer: dict[str, Any] = respond(PAYLOADS[payload]("POST", path, named, data), Call(), server)
    return answer


def content(answer: dict[str, Any]) -> tuple[Any, bytes]:
    """Return an answer's JSON, and the bytes after it."""
    if not answer["isBase64Encoded"]:
        return json.loads(answer["body"]), b""
    data = base64.b64decode(answer["body"])
    end = int(answer["headers"]["inference-header-content-length"])
    return json.loads(data[:end]), data[end:]


def binary_request(**more: Any) -> tuple[bytes, str]:
    head = {"name": "X", "datatype": "FP32", "shape": [2, 2]}
    tensor = {**head, "parameters": {"binary_data_size": 16}}
    text = json.dumps({"inputs": [tensor], **more}).encode()
    return text + ROWS.tobytes(), str(len(text))


# Event sources


@pytest.mark.parametrize(
    "name",
    ["rest-infer", "rest-infer-base64", "function-url-infer", "alb-infer", "alb-infer-base64"],
)
def test_every_recorded_event_of_the_other_sources_is_answered(
    server: ModelServer, name: str
) -> None:
    answer = respond(event(name), Call(), server)
    assert answer["statusCode"] == 200
    (output,) = content(answer)[0]["outputs"]
    assert output["data"] == [2.0, 4.0]


def test_a_load_balancer_gets_headers_in_the_form_of_its_target_group(
    server: ModelServer,
) -> None:
    single, several = (
        respond(event(name), Call(), server) for name in ("alb-infer", "alb-infer-base64")
    )
    assert single["headers"] == {"content-type": "application/json"}
    assert several["multiValueHeaders"] == {"content-type": ["application/json"]}
    assert "headers" not in several


def test_a_ready_function_passes_the_load_balancers_health_check(server: ModelServer) -> None:
    health = event_alb("GET", "/v2/health/ready", [("User-Agent", "ELB-HealthChecker/2.0")], b"")
    assert respond(health, Call(), server)["statusCode"] == 200


def test_a_response_above_the_load_balancers_limit_is_a_413(server: ModelServer) -> None:
    rows = np.ones((100_000, 2), np.float32)  # 800 kB, and a third more as base64
    answer = post(server, rows.tobytes(), payload="alb", Inference_Header_Content_Length="0")
    assert answer["statusCode"] == 413
    assert "a load balancer returns 1,048,576 at most. Send fewer rows" in answer["body"]


@pytest.mark.parametrize(
    "kind", ["Application/JSON", "application/json; charset=utf-8", "application/vnd.x+json"]
)
def test_a_json_body_is_not_taken_for_the_bytes_of_a_tensor(server: ModelServer, kind: str) -> None:
    body = b'{"a": 1}' * 2  # 16 bytes, as two rows of two floats have
    headers = {"Inference_Header_Content_Length": "0", "Content_Type": kind}
    answer = post(server, body, **headers)
    assert answer["statusCode"] == 400
    assert "Send it as application/octet-stream" in answer["body"]
    assert post(server, body, Inference_Header_Content_Length="0")["statusCode"] == 200


def test_headers_of_a_rest_api_may_be_only_in_the_multi_value_map(
    server: ModelServer,
) -> None:
    request = copy.deepcopy(event("rest-infer"))
    body, length = binary_request()
    request["headers"] = None
    request["multiValueHeaders"]["INFERENCE-HEADER-CONTENT-LENGTH"] = ["7", length]
    request |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    assert respond(request, Call(), server)["statusCode"] == 200


@pytest.mark.parametrize("payload", ["1.0", "2.0"])
@pytest.mark.parametrize("stage", ["$default", "test", "v2"])
def test_the_stage_is_removed_from_the_path(server: ModelServer, payload: str, stage: str) -> None:
    prefix = "" if stage == "$default" else f"/{stage}"
    path = f"{prefix}/v2/models/fraud/versions/prod/ready"
    answer = respond(PAYLOADS[payload]("GET", path, [], b"", stage), Call(), server)
    assert answer["statusCode"] == 200


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("header", ["content-type", "Content-Type", None])
def test_the_content_type_may_have_any_case_or_be_missing(
    server: ModelServer, payload: str, header: str | None
) -> None:
    headers = {header: "application/json"} if header else {}
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
    answer = post(server, {"inputs": [tensor]}, payload=payload, **headers)
    assert content(answer)[0]["outputs"][0]["data"] == [2.0, 4.0]


# Deadlines


def api_event(name: str, **changes: Any) -> Any:
    """Return a recorded event with other attributes."""
    return event(name) | changes


@pytest.mark.parametrize(
    ("request_", "seconds"),
    [
        (api_event("http-infer"), 29.0),
        (api_event("rest-infer"), 29.0),
        (api_event("rest-infer", stageVariables={"other": "1"}), 29.0),
        (api_event("rest-infer", stageVariables={"timeout_seconds": "120"}), 120.0),
        (api_event("rest-infer", stageVariables={"timeout_seconds": "5"}), 5.0),
        (api_event("rest-infer", stageVariables={"timeout_seconds": "nan"}), 29.0),
        (api_event("rest-infer", stageVariables={"timeout_seconds": "soon"}), 29.0),
        (api_event("function-url-infer"), 900.0),
        (api_event("alb-infer"), 900.0),
        ({"instances": [[1, 2]]}, 900.0),
    ],
)
@pytest.mark.parametrize("needed_more", [False, True])
def test_a_request_has_no_more_time_than_its_source_waits(
    tmp_path: Path, request_: Any, seconds: float, *, needed_more: bool
) -> None:
    server = serve(Registry(f"memory://{uuid.uuid4().hex}"), tmp_path).server()
    server.start()
    assert server._model is not None
    server._model.warm_seconds = seconds + 0.1 if needed_more else seconds - 0.1
    answer = respond(request_, Call(seconds_left=900.0), server)
    if needed_more:
        text = str(answer)
        assert f"{seconds:.2f} s are left, but a request needs {seconds + 0.1:.2f} s" in text
        assert answer.get("statusCode", answer.get("status")) == 504
    else:
        assert answer.get("statusCode", 200) == 200


@pytest.mark.parametrize("name", ["http-infer", "rest-infer", "function-url-infer", "alb-infer"])
def test_lambdas_deadline_counts_where_it_is_sooner(server: ModelServer, name: str) -> None:
    answer = respond(event(name), Call(seconds_left=0.0), server)
    assert answer["statusCode"] == 504


# Compressed bodies


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("Deflate", zlib.compress), ("identity", bytes)]
)
def test_a_compressed_body_is_decompressed(server: ModelServer, encoding: str, pack: Any) -> None:
    text = json.dumps({"instances": [[1, 2]]}).encode()
    answer = post(server, pack(text), Content_Encoding=encoding)
    assert content(answer)[0]["predictions"] == [[2.0, 4.0]]


def test_a_body_that_decompresses_above_the_limit_is_a_413(server: ModelServer) -> None:
    bomb = gzip.compress(b" " * (REQUEST_LIMIT * 20))
    answer = post(server, bomb, content_encoding="gzip", content_type="application/json")
    assert answer["statusCode"] == 413
    assert "decompressed body has more than 6,291,456 bytes" in content(answer)[0]["error"]


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (b"{}", "br", "content-encoding: 'br' is not supported; use gzip or deflate"),
        (b"{}", "gzip", "body: invalid gzip data"),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", "body: expected one complete gzip stream"),
        (gzip.compress(b"{}", mtime=0) * 2, "gzip", "body: expected one complete gzip stream"),
    ],
)
def test_a_body_that_is_not_in_its_encoding_is_a_400(
    server: ModelServer, body: bytes, encoding: str, message: str
) -> None:
    answer = post(server, body, content_encoding=encoding)
    assert answer["statusCode"] == 400
    assert content(answer)[0]["error"].startswith(message)


# Binary tensors


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(
    "wish",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "Y", "parameters": {"binary_data": True}}]},
    ],
)
def test_tensors_are_received_and_returned_as_bytes(
    server: ModelServer, payload: str, wish: dict[str, Any]
) -> None:
    body, length = binary_request(id="r", **wish)
    answer = post(server, body, payload=payload, Inference_Header_Content_Length=length)
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "application/octet-stream"
    document, tail = content(answer)
    assert document["outputs"] == [
        {"name": "Y", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}}
    ]
    assert document["id"] == "r"
    np.testing.assert_array_equal(read_answer(document, tail)["Y"], ROWS * 2)


def test_a_parameter_of_an_output_overrides_that_of_the_request(server: ModelServer) -> None:
    body, length = binary_request(
        parameters={"binary_data_output": True, "of the caller's own": 1},
        outputs=[{"name": "Y", "parameters": {"binary_data": False}}],
    )
    document, tail = content(post(server, body, inference_header_content_length=length))
    assert (document["outputs"][0]["data"], tail) == ([2.0, 4.0, 6.0, 8.0], b"")


def test_a_raw_body_is_the_only_input_and_the_outputs_are_bytes(server: ModelServer) -> None:
    answer = post(server, ROWS.tobytes(), inference_header_content_length="0")
    document, tail = content(answer)
    np.testing.assert_array_equal(read_answer(document, tail)["Y"], ROWS * 2)


def test_strings_may_be_bytes_while_numbers_are_json(columns: ModelServer) -> None:
    tensors: list[dict[str, Any]] = [
        {
            "name": "country",
            "datatype": "BYTES",
            "shape": [2, 1],
            "parameters": {"binary_data_size": 12},
        },
        {"name": "age", "datatype": "FP32", "shape": [2, 1], "data": [1, 2]},
    ]
    wish = [{"name": "name", "parameters": {"binary_data": True}}, {"name": "twice"}]
    text = json.dumps({"inputs": tensors, "outputs": wish}).encode()
    body = text + b"\x02\0\0\0de\x02\0\0\0fr"
    document, tail = content(post(columns, body, inference_header_content_length=str(len(text))))
    assert tail == b"\x02\0\0\0DE\x02\0\0\0FR"
    found = read_answer(document, tail)
    assert found["name"].ravel().tolist() == ["DE", "FR"]
    assert found["twice"].ravel().tolist() == [2.0, 4.0]


def _with_size(size: object, **more: object) -> dict[str, Any]:
    head = {"name": "X", "datatype": "FP32", "shape": [2, 2], **more}
    return {"inputs": [{**head, "parameters": {"binary_data_size": size}}]}


@pytest.mark.parametrize(
    ("document", "tail", "message"),
    [
        (_with_size(16), 12, "inputs[0].parameters.binary_data_size: 16 bytes, but 12 are left"),
        (_with_size(16), 20, "body: 4 bytes too many after the last input"),
        (_with_size(12), 12, "inputs[0]: 12 bytes, but FP32[2, 2] has 16"),
        (_with_size("16"), 16, "inputs[0].parameters.binary_data_size: '16' is not a number"),
        (_with_size(-1), 16, "inputs[0].parameters.binary_data_size: -1 is not a number"),
        (_with_size(16, data=[1]), 16, "inputs[0].data: not allowed together with"),
        (_with_size(16) | {"parameters": 3}, 16, "parameters: 3 is not an object"),
        (
            _with_size(16) | {"parameters": {"binary_data_output": 1}},
            16,
            "parameters.binary_data_output: 1 is not true or false",
        ),
    ],
)
def test_bytes_that_are_not_what_the_json_says_are_a_400(
    server: ModelServer, document: dict[str, Any], tail: int, message: str
) -> None:
    text = json.dumps(document).encode()
    answer = post(server, text + b"\0" * tail, inference_header_content_length=str(len(text)))
    assert answer["statusCode"] == 400
    assert content(answer)[0]["error"].startswith(message)


@pytest.mark.parametrize("length", ["-1", "x", "99999", "", "٣", "9" * 5000])
def test_a_length_that_the_body_does_not_have_is_a_400(server: ModelServer, length: str) -> None:
    answer = post(server, binary_request()[0], inference_header_content_length=length)
    assert answer["statusCode"] == 400
    assert content(answer)[0]["error"].startswith("inference-header-content-length: ")


def _signature(*inputs: TensorSpec) -> Signature:
    return Signature(inputs=inputs, outputs=inputs)


def _spec(datatype: str, *shape: int, name: str = "X") -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=shape)


def test_a_raw_string_is_one_element() -> None:
    request = raw_request("grün".encode(), _signature(_spec("BYTES", -1, 1)))
    assert request.inputs["X"].tolist() == [["grün"]]


@pytest.mark.parametrize(
    ("data", "signature", "message"),
    [
        (b"\0" * 9, _signature(_spec("FP32", -1, 2)), "body: read as X FP32[-1, 2]: 9 bytes"),
        (b"", _signature(_spec("FP32", -1, -1)), "but the model takes X FP32[-1, -1]: send"),
        (b"", _signature(_spec("FP32"), _spec("FP32", name="Z")), "for models with one input"),
        (b"\xff", _signature(_spec("BYTES", 1)), "not UTF-8"),
    ],
)
def test_a_raw_body_that_does_not_fit_is_refused(
    data: bytes, signature: Signature, message: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        raw_request(data, signature)
    assert message in str(caught.value)


def test_half_floats_are_sent_and_returned_as_bytes_only(tmp_path: Path) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    version = push_model(
        _itself, "fraud", example=ROWS.astype(np.float16), format="cloudpickle", registry=registry
    )
    server = ModelServer(replace(settings_of(registry, version.pin, tmp_path), allow_pickle=True))
    body, length = request_body({"X": ROWS.astype(np.float16)})
    answer = post(server, body, inference_header_content_length=str(length))
    document, tail = content(answer)
    (found,) = read_answer(document, tail).values()
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, ROWS)
    text = body[: length or 0].replace(b"true", b"false")
    answer = post(server, text + body[length:], inference_header_content_length=str(len(text)))
    assert answer["statusCode"] == 400
    assert "JSON cannot carry float16" in content(answer)[0]["error"]


def _itself(rows: Any) -> Any:
    return rows


def test_a_direct_request_for_bytes_is_refused(server: ModelServer) -> None:
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
    request = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    answer = respond(request, Call(), server)
    assert answer["status"] == 400
    assert "send the event of an HTTP API" in answer["error"]


@pytest.mark.parametrize(
    ("array", "better"),
    [
        (np.array([1.5]), False),
        (np.random.default_rng(0).random(100), True),
        (np.zeros(100), False),
        (np.array([np.inf]), True),
        (np.array(["a"] * 100, object), False),
        (np.array([1], np.float16), True),
    ],
)
def test_the_client_sends_bytes_if_they_are_shorter_or_more_exact(
    array: Any, *, better: bool
) -> None:
    assert is_better_binary(array) is better


# Plain JSON


@pytest.mark.parametrize(
    ("request_", "predictions"),
    [
        ({"instances": [{"X": [1, 2]}, {"X": [3, 4]}]}, [{"Y": [2.0, 4.0]}, {"Y": [6.0, 8.0]}]),
        ({"instances": [[1, 2], [3, None]]}, [[2.0, 4.0], [6.0, None]]),
        ({"instances": [[0.1, 2]], "outputs": [{"name": "Y"}]}, [[0.2, 4.0]]),
    ],
)
@pytest.mark.parametrize("is_direct", [True, False])
def test_instances_are_answered_with_predictions(
    server: ModelServer, request_: dict[str, Any], predictions: Any, *, is_direct: bool
) -> None:
    request = {**request_, "id": "r", "parameters": {"a": 1}}
    answer = respond(request, Call(), server) if is_direct else content(post(server, request))[0]
    assert answer == {
        "model_name": "fraud",
        "model_version": "1",
        "id": "r",
        "predictions": predictions,
    }


@pytest.mark.parametrize(
    "instances",
    [
        [{"age": 1, "country": "de"}, {"country": "fr", "age": 2}],
        [{"age": [1], "country": ["de"]}, {"age": [2], "country": ["fr"]}],
        [[1, "de"], [2, "fr"]],
    ],
)
def test_columns_are_values_by_name_or_in_order(columns: ModelServer, instances: Any) -> None:
    document, _ = content(post(columns, {"instances": instances}))
    assert document["predictions"] == [
        {"twice": 2.0, "name": "DE"},
        {"twice": 4.0, "name": "FR"},
    ]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"instances": 3}, "instances: expected a list of rows"),
        ({"instances": []}, "instances: expected a list of rows"),
        ({"instances": [{"age": 1}]}, "instances[0]: missing country BYTES[-1, 1]"),
        ({"instances": [{"age": 1, "country": "a", "x": 1}]}, "instances[0]: 'x' is not an input"),
        (
            {"instances": [{"age": 1, "contry": "a"}]},
            "instances[0]: unknown key 'contry'; did you mean 'country'?",
        ),
        ({"age": 1, "country": "a"}, "the request is a row: send rows as {"),
        ({"instances": [[1, "a"], [1]]}, "instances[1]: expected a list with a value for each"),
        ({"instances": [{"age": 1, "country": "a"}, []]}, "instances[1]: not an object"),
        ({"instances": [["a", "a"]]}, "instances: 'age': 'a' is not a number"),
        ({"instances": [[1, 2]]}, "instances: 'country': 2 is not BYTES"),
        ({"instances": [[[1, 2], "a"]]}, "instances: 'age'.shape: [1, 2] does not fit [-1, 1]"),
        ({"instances": [[1, "a"]], "id": 1}, "id: 1 is not a string"),
        ({"instances": [[1, "a"]], "outputs": [{"name": "x"}]}, "outputs[0].name: 'x'"),
        (
            {"instances": [[1, "a"]], "parameters": {"binary_data_output": True}},
            "outputs: predictions are always JSON",
        ),
    ],
)
def test_a_bad_instance_is_a_400_that_names_it(
    columns: ModelServer, request_: dict[str, Any], message: str
) -> None:
    answer = post(columns, request_)
    assert answer["statusCode"] == 400
    assert content(answer)[0]["error"].startswith(message)


def test_different_numbers_of_rows_are_a_400_if_the_model_fails(
    tmp_path: Path,
) -> None:
    def add(values: Any) -> Any:
        return values["a"] + values["b"]  # two rows and three rows cannot be added

    rows = np.zeros((2, 2), np.float32)
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    version = push_model(
        add, "fraud", example={"a": rows, "b": rows}, format="cloudpickle", registry=registry
    )
    server = ModelServer(replace(settings_of(registry, version.pin, tmp_path), allow_pickle=True))
    tensors = [
        {"name": name, "datatype": "FP32", "shape": [count, 2], "data": [1] * 2 * count}
        for name, count in (("a", 2), ("b", 3))
    ]
    answer = post(server, {"inputs": tensors})
    assert (answer["statusCode"], content(answer)[0]["error"]) == (
        400,
        "inputs: the model failed, and the numbers of rows differ: 2 of 'a', 3 of 'b'",
    )


def test_an_input_without_rows_is_not_compared(tmp_path: Path) -> None:
    chosen = helper.make_graph(
        [helper.make_node("Gather", ["X", "row"], ["Y"])],
        "chosen",
        [
            helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 2]),
            helper.make_tensor_value_info("row", TensorProto.INT64, [1]),
        ],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, 2])],
    )
    model = helper.make_model(chosen, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    example = {"X": np.zeros((3, 2), np.float32), "row": np.array([1])}
    version = push_model(model, "fraud", example=example, registry=registry)
    tensors = [
        {"name": "X", "datatype": "FP32", "shape": [3, 2], "data": [0] * 6},
        {"name": "row", "datatype": "INT64", "shape": [1], "data": [9]},  # beyond the last
    ]
    answer = post(ModelServer(settings_of(registry, version.pin, tmp_path)), {"inputs": tensors})
    assert (answer["statusCode"], content(answer)[0]["error"][:16]) == (400, "inputs: the mode")
    assert "different numbers of rows" not in content(answer)[0]["error"]


# Sizes


def test_a_response_above_lambdas_limit_is_a_413_with_the_next_step(
    server: ModelServer,
) -> None:
    rows = np.random.default_rng(0).random((400_000, 2), np.float32)
    answer = post(server, rows.tobytes(), inference_header_content_length="0")
    assert answer["statusCode"] == 200
    assert len(answer["body"]) <= ANSWER_LIMIT
    text = json.dumps(
        _with_size(rows.nbytes, shape=list(rows.shape)),
    ).encode()
    answer = post(server, text + rows.tobytes(), inference_header_content_length=str(len(text)))
    assert answer["statusCode"] == 413
    assert "bytes; Lambda returns 6,291,556 at most. Send fewer rows" in answer["body"]


def test_the_size_of_a_response_counts_escaped_quotes(columns: ModelServer) -> None:
    countries = ['"' * 5] * 260_000
    tensors = [
        {"name": "age", "datatype": "FP32", "shape": [260_000, 1], "data": [1] * 260_000},
        {"name": "country", "datatype": "BYTES", "shape": [260_000, 1], "data": countries},
    ]
    answer = post(columns, {"inputs": tensors, "outputs": [{"name": "name"}]})
    assert answer["statusCode"] == 413  # 3.4 MB of JSON, and 6.5 MB as JSON in JSON


def test_the_size_of_a_direct_response_is_that_of_lambdas_encoder(server: ModelServer) -> None:
    data = [0.5] * 1_500_000  # 6.0 MB as orjson writes it, 7.5 MB as Lambda does
    tensor = {"name": "X", "datatype": "FP32", "shape": [750_000, 2], "data": data}
    answer = respond({"inputs": [tensor]}, Call(), server)
    assert answer["status"] == 413


# Any request

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
_TENSOR = st.fixed_dictionaries(
    {"name": st.just("X") | _JSON, "datatype": st.sampled_from(["FP32", "FP16"]) | _JSON},
    optional={
        "shape": st.sampled_from([[1, 2], [0, 2], [0, 10**30]]) | _JSON,
        "data": _JSON,
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data_size": st.integers(-1, 9) | _JSON}
        )
        | _JSON,
    },
)
_MALFORMED = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.lists(_TENSOR, max_size=2) | _JSON,
        "instances": st.lists(st.fixed_dictionaries({"X": _JSON}) | _JSON, max_size=3) | _JSON,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.just("Y") | _JSON})) | _JSON,
        "id": _JSON,
        "parameters": _JSON,
    },
)


@settings(max_examples=attack(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=_MALFORMED | _JSON,
    tail=st.binary(max_size=9),
    length=st.none() | st.integers(-1, 40) | st.just("whole"),
    payload=st.sampled_from(sorted(PAYLOADS)),
)
def test_any_request_is_answered_or_refused_with_a_4xx_and_a_reason(
    server: ModelServer, document: object, tail: bytes, length: object, payload: str
) -> None:
    text = json.dumps(document).encode()
    headers = [] if length is None else [(LENGTH, str(len(text) if length == "whole" else length))]
    request = PAYLOADS[payload]("POST", INFER, headers, text + tail)
    answer = respond(request, Call(), server)
    assert answer["statusCode"] == 200 or 400 <= answer["statusCode"] < 500
    if answer["statusCode"] != 200:
        assert list(content(answer)[0]) == ["error"]


@settings(max_examples=attack(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=_MALFORMED)
def test_no_direct_request_is_a_server_error(server: ModelServer, document: object) -> None:
    answer = respond(document, Call(), server)
    assert "outputs" in answer or "predictions" in answer or 400 <= answer["status"] < 500


@pytest.mark.parametrize("value", ["\ud800", [[[[]]]] * 3, 10**4000])
def test_a_value_that_cannot_be_encoded_is_a_client_error(
    columns: ModelServer, value: object
) -> None:
    for request in (
        {"id": value, "instances": [[1, "a"]]},
        {"instances": [[1, value]]},
        {"instances": [[value, "a"]]},
        {"instances": [{value if isinstance(value, str) else "z": 1}]},
        {"inputs": [{"name": value}]},
    ):
        answer = respond(request, Call(), columns)
        assert answer["status"] == 400
        assert orjson.dumps(answer)


def test_deep_nesting_is_a_client_error(server: ModelServer) -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    for request in (
        {"inputs": deep},
        {"id": deep},
        {"instances": deep},
        {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": deep}]},
        {"inputs": [{"name": "X", "datatype": "FP32", "shape": deep}]},
    ):
        assert respond(request, Call(), server)["status"] == 400
