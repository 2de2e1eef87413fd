"""Requests made to take a function down: each gets a sentence, and the log a bounded line."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import uuid
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from shearling.errors import PayloadTooLargeError
from shearling.models.push import push_model
from shearling.protocol.requests import InferRequest
from shearling.registry.registry import Registry
from shearling_runtime.events.dispatch import respond
from shearling_runtime.http import router
from shearling_runtime.serving.answer_size import check_outputs
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.telemetry import cut, log, log_error
from tests.runtime.events.test_event_sources import INFER, content, post
from tests.runtime.test_runtime import Call, document, http, serve, settings_of
from tests.support.http_server import PAYLOADS

if TYPE_CHECKING:
    from pathlib import Path

#: Of a line of the log.
LINE_LIMIT = 64 * 1024

#: Half of a surrogate pair, which JSON can spell and no encoding has.
HALF = "\ud800"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ModelServer:
    uri = f"memory://{uuid.uuid4().hex}"
    server = serve(Registry(uri), tmp_path_factory.mktemp("s")).server()
    assert server.ready()  # the line of its start is not one of a request
    return server


def pushed(model: onnx.ModelProto, example: Any, directory: Path) -> ModelServer:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    version = push_model(model, "fraud", example=example, registry=registry)
    return ModelServer(settings_of(registry, version.pin, directory))


def graph(
    nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], *weights: Any
) -> onnx.ModelProto:
    made = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tensor(data: Any, *shape: Any, name: str = "X", datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines of the log, each of which is JSON and of bounded size."""
    written = capfd.readouterr().out.splitlines()
    assert all(len(line.encode()) <= LINE_LIMIT for line in written)
    return [json.loads(line) for line in written]


# Small requests


SMALL_REQUEST = """
import resource, sys
from pathlib import Path
from shearling.registry.registry import Registry
from tests.runtime.test_hostile_requests import *

server = serve(Registry("memory://small"), Path(sys.argv[1])).server()
assert server.ready()
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = held + 200 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for data in (["x" * 60_000, *[1] * 59_999], [["x" * 60_000, 1], *[[1, 1]] * 29_999]):
    for body in ({"inputs": [tensor(data, 30_000, 2)]}, {"instances": data}):
        packed = gzip.compress(json.dumps(body, separators=(",", ":")).encode())
        answer = post(server, packed, content_encoding="gzip")
        print(len(packed), answer["statusCode"], content(answer)[0]["error"], file=sys.stderr)
"""


def test_a_small_request_takes_little_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SMALL_REQUEST, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    answers = done.stderr.splitlines()
    assert len(answers) == 4
    for line in answers:
        size, status, error = line.split(" ", 2)
        assert int(size) < 1000
        assert status == "400"
        assert "is not a number" in error or "does not fit [-1, 2]" in error


def free_rows(tmp_path: Path) -> ModelServer:
    """A model that answers a row for each of its input's, however wide these are."""
    free = graph(
        [helper.make_node("ReduceSum", ["X"], ["Y"], keepdims=1)],
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", "columns"])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, 1])],
    )
    return pushed(free, np.ones((2, 2), np.float32), tmp_path)


@pytest.mark.parametrize("shape", [[10**9, 0], [0, 10**9], [2**62, 0]])
def test_a_tensor_without_elements_has_no_more_rows_than_a_request_carries(
    tmp_path: Path, shape: list[int]
) -> None:
    answer = post(free_rows(tmp_path), {"inputs": [tensor([], *shape)]})
    assert answer["statusCode"] == 400
    assert content(answer)[0]["error"].startswith(f"inputs[0].shape: {shape} has no elements")


def test_a_tensor_without_elements_is_taken(tmp_path: Path) -> None:
    answer = post(free_rows(tmp_path), {"inputs": [tensor([], 1000, 0)]})
    assert content(answer)[0]["outputs"][0]["data"] == [0.0]


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
@pytest.mark.parametrize("form", ["inputs", "instances"])
def test_an_answer_that_must_be_too_large_is_refused_before_it_is_written(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, accept: str, form: str
) -> None:
    def written(*_: object) -> None:
        raise AssertionError("written")

    monkeypatch.setattr("shearling.protocol.responses.answer", written)
    monkeypatch.setattr("shearling.protocol.instances.predictions", written)
    monkeypatch.setattr("shearling.protocol.csv_rows.csv_of", written)
    outputs = {"Y": np.zeros((2_000_000, 2), np.float32)}
    model = server._ready_model()
    monkeypatch.setattr(type(model.predictor), "predict", lambda *_: outputs)
    body = {"inputs": [tensor([1, 2], 1, 2)]} if form == "inputs" else {"instances": [[1, 2]]}
    answer = post(server, body, accept=accept)
    assert answer["statusCode"] == 413
    assert "Send fewer rows" in content(answer)[0]["error"]


def test_a_table_of_missing_values_is_as_short_as_its_empty_cells() -> None:
    request = InferRequest(id=None, inputs={}, outputs=("Y",), rows="csv")
    missing = np.full((1_000_000, 2), np.nan, np.float32)
    check_outputs(request, {"Y": missing}, is_csv=True)
    with pytest.raises(PayloadTooLargeError):
        check_outputs(request, {"Y": np.zeros_like(missing)}, is_csv=True)


@pytest.mark.parametrize(("rows", "is_too_large"), [("objects", True), (None, False)])
def test_the_names_of_classes_count_for_each_row_of_predictions_and_once_for_a_tensor(
    rows: Literal["objects"] | None, *, is_too_large: bool
) -> None:
    classes = frozenset(["Y"])
    request = InferRequest(id=None, inputs={}, outputs=("Y",), rows=rows, by_class=classes)
    outputs = {"Y": np.zeros((20, 50_000), np.float32)}  # 4 MB as JSON, 8 MB with names
    expected = pytest.raises(PayloadTooLargeError) if is_too_large else nullcontext()
    with expected:
        check_outputs(request, outputs, is_csv=False)


@pytest.mark.parametrize("is_binary", [True, False])
def test_a_few_long_strings_are_too_large_an_answer(*, is_binary: bool) -> None:
    binary = frozenset(["Y"] if is_binary else [])
    request = InferRequest(id=None, inputs={}, outputs=("Y",), binary=binary)
    for length, is_too_large in ((100, False), (4_000_000, True)):
        outputs = {"Y": np.array(["x" * length] * 2, object)}
        expected = pytest.raises(PayloadTooLargeError) if is_too_large else nullcontext()
        with expected:
            check_outputs(request, outputs, is_csv=False)


def test_what_is_remembered_of_requests_does_not_grow_with_them(server: ModelServer) -> None:
    path = "/v2/models/" + "x" * 100_000
    before = router._parse_path.cache_info().currsize
    answer = respond(http(path), Call(), server)
    assert answer["statusCode"] == 404
    assert len(document(answer)["error"]) < 200
    assert router._parse_path.cache_info().currsize == before


# What is repeated of a caller's words


LONG = "y" * 100_000

BODIES: list[Any] = [
    {"inputs": [tensor([1], *[1] * 1_500_000)]},
    {"inputs": [tensor([1], *[1.5] * 1_000_000)]},
    {"inputs": [tensor([1], LONG)]},
    {"inputs": [tensor([LONG], 1, 1)]},
    {"inputs": [tensor([LONG, 1], 1, 2)]},
    {"inputs": [tensor([1, 2], 1, 2, name=LONG)]},
    {"inputs": [tensor([1, 2], 1, 2, datatype=LONG)]},
    {"inputs": [tensor([1, 2], 1, 2)], "outputs": [{"name": LONG}]},
    {"inputs": [tensor([1, 2], 1, 2)], "id": [LONG] * 10},
    {"inputs": [tensor([1, 2], 1, 2)], "parameters": LONG},
    {"instances": [{LONG: 1}]},
    {"instances": [[1, 2], LONG]},
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("payload", [*PAYLOADS, "direct"])
def test_what_is_wrong_is_told_in_a_short_sentence(
    server: ModelServer, capfd: pytest.CaptureFixture[str], body: Any, payload: str
) -> None:
    if payload == "direct":
        answer = respond(body, Call(), server)
        status, error = answer["status"], answer["error"]
    else:
        packed = gzip.compress(json.dumps(body).encode(), 1)
        sent = post(server, packed, payload=payload, content_encoding="gzip")
        status, error = sent["statusCode"], json.loads(sent["body"])["error"]
    assert status == 400
    assert len(error) < 300
    (line,) = lines(capfd)
    assert (line["status"], line["error"]) == (400, error)
    assert (line["ClientErrors"], line["ServerErrors"]) == (1, 0)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content_encoding": LONG}, b"{}"),
        ({"inference_header_content_length": LONG}, b"{}"),
        ({"content_type": "text/csv"}, f"{LONG},1\n1,2\n".encode()),
        ({"content_type": "text/csv; header=absent"}, f"{LONG},1\n".encode()),
    ],
)
def test_what_is_wrong_with_headers_or_a_table_is_told_in_a_short_sentence(
    server: ModelServer, headers: dict[str, str], body: bytes
) -> None:
    answer = post(server, body, **headers)
    assert answer["statusCode"] == 400
    assert len(content(answer)[0]["error"]) < 300


@pytest.mark.parametrize(
    "asked",
    [
        (f"/v2/models/{LONG}", "GET", 404),
        (f"/v2/models/{'x' * 900}", "GET", 404),
        (f"/v2/models/fraud/versions/{'x' * 900}", "GET", 404),
        (INFER, LONG, 405),
        (INFER, HALF, 405),
        (f"/v2/models/{HALF}", "GET", 404),
        (f"/v2/models/fraud/versions/{HALF}", "GET", 404),
        (HALF, "GET", 404),
    ],
)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_path_or_method_of_any_length_and_of_half_characters_is_answered(
    server: ModelServer,
    capfd: pytest.CaptureFixture[str],
    payload: str,
    asked: tuple[str, str, int],
) -> None:
    path, method, status = asked
    answer = respond(PAYLOADS[payload](method, path, [], b""), Call(), server)
    assert answer["statusCode"] == status
    error = json.loads(answer["body"])["error"]
    assert len(error) < 300
    (line,) = lines(capfd)
    assert line["status"] == status


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/csv", f"{HALF},b\n1,2\n"),
        ("text/csv; header=absent", f"{HALF},2\n"),
        ("application/json", f'{{"instances": [{{"{HALF}": 1}}]}}'),
        ("application/octet-stream", HALF),
    ],
)
def test_half_characters_in_a_body_of_text_are_a_400(
    server: ModelServer, capfd: pytest.CaptureFixture[str], kind: str, body: str
) -> None:
    request = http(INFER, "POST", body)
    request["headers"] = {"content-type": kind}
    if kind.endswith("stream"):
        request["headers"]["inference-header-content-length"] = "0"
    answer = respond(request, Call(), server)
    # Names that the model does not know stand above the columns of an array.
    assert answer["statusCode"] in (200, 400)
    (line,) = lines(capfd)
    assert line["ServerErrors"] == 0


@pytest.mark.parametrize(
    ("length", "status"),
    [("0" * 4400, 200), ("\u00b2", 400), ("9" * 4400, 400), ("-1", 400), ("", 400), ("00", 200)],
)
def test_any_length_of_json_before_bytes_is_taken_or_refused(
    server: ModelServer, length: str, status: int
) -> None:
    rows = np.ones((1, 2), np.float32).tobytes()
    answer = post(server, rows, inference_header_content_length=length)
    assert answer["statusCode"] == status


TEXT = st.text(st.characters(), max_size=40) | st.sampled_from([HALF, LONG])


@given(method=TEXT, path=TEXT | TEXT.map("/v2/models/{}".format), body=TEXT, kind=TEXT)
def test_no_text_at_all_makes_an_answer_or_its_line_fail(
    server: ModelServer, method: str, path: str, body: str, kind: str
) -> None:
    request = http(path, method, body)
    request["headers"] = {"content-type": kind, "accept": kind, "content-encoding": kind[:3]}
    assert respond(request, Call(), server)["statusCode"] < 500


# The log


def test_a_long_line_keeps_its_metrics_and_cuts_its_texts(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log("told", reason="x" * 10**6, other=["y" * 10**6], number=7)
    (line,) = lines(capfd)
    assert (line["event"], line["number"]) == ("told", 7)
    assert line["reason"].startswith("xxx")
    assert line["other"].startswith('["yyy')


@pytest.mark.parametrize("value", [HALF, 2**70, {1: HALF}, [HALF], {"a": {HALF: 1}}, "\0" * 10**6])
def test_whatever_is_logged_is_written(capfd: pytest.CaptureFixture[str], value: object) -> None:
    log("told", value=value)
    (line,) = lines(capfd)
    assert line["event"] == "told"


def test_a_line_of_many_long_fields_is_short(capfd: pytest.CaptureFixture[str]) -> None:
    log("told", **{f"field_{i}": "\0" * 10**5 for i in range(100)})
    (line,) = lines(capfd)
    assert len(line) == 101


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [ValueError("z" * 10**6), ValueError(HALF), SilentError()])
def test_an_error_of_any_words_is_logged_with_its_place(
    capfd: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail() -> None:
        raise error

    try:
        fail()
    except Exception as caught:  # noqa: BLE001
        log_error("failed", caught)
    (line,) = lines(capfd)
    assert line["error"].startswith(type(error).__name__)
    assert "test_hostile_requests.py" in line["traceback"]


def test_a_long_cause_leaves_room_for_the_error(capfd: pytest.CaptureFixture[str]) -> None:
    error = KeyError("here")
    error.__cause__ = ValueError("z" * 10**6)
    log_error("failed", error)
    (line,) = lines(capfd)
    assert "ValueError: zzz" in line["traceback"]
    assert "KeyError: 'here'" in line["traceback"]


def test_a_text_is_cut_with_a_mark_and_without_half_characters() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "abc..."
    assert cut(HALF, 3) == "\\ud800"


# What the model refuses


def gather() -> tuple[onnx.ModelProto, Any]:
    node = helper.make_node("Gather", ["table", "i"], ["Y"])
    info = helper.make_tensor_value_info
    table = helper.make_tensor("table", TensorProto.FLOAT, [3, 2], [1.0] * 6)
    inputs, outputs = (
        [info("i", TensorProto.INT64, ["n"])],
        [info("Y", TensorProto.FLOAT, ["n", 2])],
    )
    return graph([node], inputs, outputs, table), {"i": np.array([0, 2])}


def convolution() -> tuple[onnx.ModelProto, Any]:
    node = helper.make_node("Conv", ["X", "W"], ["Y"])
    info = helper.make_tensor_value_info
    kernel = helper.make_tensor("W", TensorProto.FLOAT, [1, 1, 3, 3], [1.0] * 9)
    inputs = [info("X", TensorProto.FLOAT, ["n", 1, "h", "w"])]
    outputs = [info("Y", TensorProto.FLOAT, ["n", 1, "a", "b"])]
    return graph([node], inputs, outputs, kernel), {"X": np.ones((1, 1, 4, 4), np.float32)}


def reshaping() -> tuple[onnx.ModelProto, Any]:
    node = helper.make_node("Reshape", ["X", "S"], ["Y"])
    info = helper.make_tensor_value_info
    shape = helper.make_tensor("S", TensorProto.INT64, [2], [-1, 2])
    inputs, outputs = (
        [info("X", TensorProto.FLOAT, ["n"])],
        [info("Y", TensorProto.FLOAT, ["m", 2])],
    )
    return graph([node], inputs, outputs, shape), {"X": np.ones(4, np.float32)}


@pytest.mark.parametrize(
    ("made", "sent", "why"),
    [
        (gather, tensor([100], 1, name="i", datatype="INT64"), "Gather: indices element out of"),
        (convolution, tensor([1] * 4, 1, 1, 2, 2), "Conv: Invalid input shape: {2,2}"),
        (reshaping, tensor([1] * 3, 3), "Reshape: The input tensor cannot be reshaped"),
    ],
)
def test_values_that_the_model_refuses_are_a_400_without_a_traceback(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    made: Any,
    sent: dict[str, Any],
    why: str,
) -> None:
    model, example = made()
    server = pushed(model, example, tmp_path)
    assert server.ready()
    capfd.readouterr()
    answer = post(server, {"inputs": [sent]})
    assert answer["statusCode"] == 400
    error = content(answer)[0]["error"]
    assert error.startswith(f"inputs: the model cannot process the values: {why}")
    assert "onnxruntime" not in error
    (line,) = lines(capfd)
    assert (line["event"], line["error"]) == ("invocation", error)
    assert (line["ClientErrors"], line["ServerErrors"]) == (1, 0)
