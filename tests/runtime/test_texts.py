"""A model of texts at every door: what it answers, what it counts, and what it refuses."""

from __future__ import annotations

import json
import struct
import sys
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.models.load import load_model
from shearling.models.push import push_model
from shearling.protocol.responses import read_answer
from shearling.registry.registry import Registry
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from tests.runtime.events.test_event_sources import content, post
from tests.runtime.test_hostile_requests import HALF, lines, tensor
from tests.runtime.test_runtime import Call, settings_of
from tests.scoring.places import Places
from tests.support.jobs import JobFunction
from tests.support.text_models import TEXTS, classifier_folder, encoder_folder

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/v2/models/embed/infer"
LONG = "the cat " * 10_000


def serve(folder: Path, directory: Path) -> ModelServer:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    version = push_model(folder, "embed", example=TEXTS, measure=False, registry=registry)
    server = ModelServer(settings_of(registry, version.pin, directory / "scratch"))
    assert server.ready()
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ModelServer:
    directory = tmp_path_factory.mktemp("texts")
    return serve(encoder_folder(directory / "st"), directory)


def request(*texts: str, **more: Any) -> dict[str, Any]:
    return {"inputs": [tensor(list(texts), len(texts), name="text", datatype="BYTES")], **more}


def binary(data: bytes, rows: int) -> tuple[bytes, str]:
    """Return a body whose input is binary data, and the length of its JSON."""
    head = tensor(None, rows, name="text", datatype="BYTES")
    del head["data"]
    head["parameters"] = {"binary_data_size": len(data)}
    text = json.dumps({"inputs": [head]}).encode()
    return text + data, str(len(text))


def encoded(*texts: str) -> bytes:
    return b"".join(struct.pack("<I", len(each.encode())) + each.encode() for each in texts)


def test_an_answer_has_the_number_of_truncated_texts(server: ModelServer) -> None:
    answer, _ = content(post(server, request("a", LONG, LONG, id="7"), path=PATH))
    assert answer["parameters"] == {"truncated": 2}
    assert answer["id"] == "7"
    assert answer["outputs"][0]["shape"] == [3, 8]


def test_a_direct_answer_has_it_too(server: ModelServer) -> None:
    assert respond(request("a", LONG), Call(), server)["parameters"] == {"truncated": 1}
    assert respond(request("a"), Call(), server)["parameters"] == {"truncated": 0}


def test_predictions_have_it_too(server: ModelServer) -> None:
    answer, _ = content(post(server, {"instances": [{"text": "a"}, {"text": LONG}]}, path=PATH))
    assert answer["parameters"] == {"truncated": 1}
    assert [len(each["embedding"]) for each in answer["predictions"]] == [8, 8]


def test_binary_texts_are_answered_as_json_ones(server: ModelServer) -> None:
    body, length = binary(encoded(*TEXTS, LONG), len(TEXTS) + 1)
    answer, tail = content(post(server, body, path=PATH, inference_header_content_length=length))
    expected, _ = content(post(server, request(*TEXTS, LONG), path=PATH))
    assert answer["parameters"] == {"truncated": 1}
    np.testing.assert_allclose(
        read_answer(answer, tail)["embedding"], read_answer(expected)["embedding"], atol=1e-6
    )


def test_a_csv_of_texts_is_answered_with_a_csv(server: ModelServer) -> None:
    answer = post(server, b'text\n"a cat, sat"\ngood\n', path=PATH, content_type="text/csv")
    assert answer["statusCode"] == 200
    assert len(answer["body"].splitlines()) == 3


def test_no_texts_are_answered_with_no_rows(server: ModelServer) -> None:
    answer, _ = content(post(server, request(), path=PATH))
    assert answer["outputs"][0]["shape"] == [0, 8]
    assert answer["parameters"] == {"truncated": 0}


def test_truncated_texts_are_a_metric(
    server: ModelServer, capfd: pytest.CaptureFixture[str]
) -> None:
    post(server, request("a", LONG), path=PATH)
    post(server, b"text\nthe\n" + LONG.encode() + b"\n", path=PATH, content_type="text/csv")
    written = lines(capfd)
    assert [line["TruncatedTexts"] for line in written] == [1, 1]
    metrics = written[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert {"Name": "TruncatedTexts", "Unit": "Count"} in metrics


def test_a_model_of_numbers_has_no_such_metric(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from tests.runtime.test_runtime import serve as serve_numbers

    numbers = serve_numbers(Registry(f"memory://{uuid.uuid4().hex}"), tmp_path).server()
    assert numbers.ready()
    capfd.readouterr()
    answer = respond({"inputs": [tensor([1.0, 2.0], 1, 2)]}, Call(), numbers)
    assert "parameters" not in answer
    assert "TruncatedTexts" not in lines(capfd)[0]


@pytest.mark.parametrize("name", ["texts.csv", "texts.jsonl"])
def test_the_outcome_of_an_object_has_the_number_of_truncated_texts(
    server: ModelServer, tmp_path: Path, name: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    places = Places(tmp_path)
    texts = [*TEXTS, LONG, LONG]
    rows = [json.dumps({"text": each}) if name.endswith("l") else each for each in texts]
    head = [] if name.endswith("l") else ["text"]
    places.put(name, "\n".join([*head, *rows]).encode() + b"\n")
    outcome = places.score(name, server.scorer(), block_bytes=100_000)
    assert (outcome.rows, outcome.truncated) == (5, 2)
    assert outcome.document()["truncated"] == 2
    again = places.score(name, server.scorer())
    assert (again.status, again.truncated) == ("unchanged", 2)


def test_a_job_counts_truncated_texts_in_its_result_and_metric(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    folder = encoder_folder(tmp_path / "st")
    version = push_model(folder, "fraud", example=TEXTS, measure=False, registry=registry)
    function = JobFunction(tmp_path / "scratch", registry=registry, pin=version.pin)
    job = function.submit(request("a", LONG)).document["id"]
    capfd.readouterr()
    assert function.deliver(job) == []
    assert json.loads(function.result(job))["parameters"] == {"truncated": 1}
    assert lines(capfd)[-1]["TruncatedTexts"] == 1


def test_scoring_on_this_machine_counts_truncated_texts_too(tmp_path: Path) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    folder = encoder_folder(tmp_path / "st")
    push_model(folder, "embed", example=TEXTS, measure=False, registry=registry)
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    places = Places(tmp_path)
    places.put("a.csv", f"text\na\n{LONG}\n".encode())
    outcome = places.score("a.csv", load_model("embed", registry=registry).scorer())
    assert (outcome.rows, outcome.truncated) == (2, 1)


@pytest.mark.parametrize("text", [HALF, f"a{HALF}b"])
def test_half_a_surrogate_pair_is_a_400(server: ModelServer, text: str) -> None:
    assert post(server, request("a", text), path=PATH)["statusCode"] == 400
    assert respond(request("a", text), Call(), server)["status"] == 400


@given(st.binary(max_size=40))
def test_bytes_are_answered_if_they_are_utf_8_and_else_refused(
    server: ModelServer, data: bytes
) -> None:
    body, length = binary(struct.pack("<I", len(data)) + data, 1)
    answer = post(server, body, path=PATH, inference_header_content_length=length)
    try:
        data.decode()
    except UnicodeDecodeError:
        assert answer["statusCode"] == 400
        assert "is not UTF-8" in json.loads(answer["body"])["error"]
    else:
        assert answer["statusCode"] == 200


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
        max_leaves=5,
    ),
    st.integers(0, 4),
)
def test_no_value_in_the_place_of_texts_fails_the_function(
    server: ModelServer, value: Any, rows: int
) -> None:
    for document in (
        {"inputs": [tensor(value, rows, name="text", datatype="BYTES")]},
        {"instances": value},
        {"instances": [{"text": value}]},
    ):
        assert respond(document, Call(), server).get("status", 200) in (200, 400)


def test_the_check_of_a_release_names_the_package_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    folder = encoder_folder(tmp_path / "st")
    version = push_model(folder, "embed", example=TEXTS, measure=False, registry=registry)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    verdict = ModelServer(settings_of(registry, version.pin, tmp_path / "scratch")).check()
    assert verdict["passed"] is False
    assert "`shearling package runtime --with text`" in verdict["reason"]


def test_labels_have_the_probabilities_of_their_classes(tmp_path: Path) -> None:
    server = serve(classifier_folder(tmp_path / "classifier"), tmp_path)
    answer = respond(request(*TEXTS, parameters={"classes": True}), Call(), server)
    labels, probabilities = answer["outputs"]
    assert set(labels["data"]) <= {"bad", "good"}
    assert probabilities["parameters"] == {"classes": ["bad", "good"]}
    columns = np.reshape(probabilities["data"], (3, 2))
    np.testing.assert_allclose(columns.sum(axis=1), 1, atol=1e-6)
    assert labels["data"] == [("bad", "good")[place] for place in columns.argmax(axis=1)]
