"""Requests of pictures at every door of a function, and the answers to what is no picture."""

from __future__ import annotations

import base64
import json
import sys
import tracemalloc
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from PIL import Image

import shearling as sdk
from shearling.client.http_model import HttpModel
from shearling.client.lambda_model import LambdaModel
from shearling.errors import InvalidRequestError
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from tests.support.attack import attack
from tests.support.http_server import http_api
from tests.support.jobs import JobFunction, served_with_jobs
from tests.support.lambda_server import LocalLambda, served
from tests.support.pictures import COLOURS, SIDE, drawn, file_of, mean_colours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.lambda_server import Handler

RED, BLUE = (file_of(Image.new("RGB", (50, 40), colour), "JPEG") for colour in ("red", "blue"))
KINDS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/jpg": "JPEG"}
INFER = "/v2/models/cats/infer"


@pytest.fixture(scope="module")
def pin(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A registry with a network that tells colours, and the network's pin."""
    uri = str(tmp_path_factory.mktemp("registry"))
    version = push_model(
        mean_colours(),
        "cats",
        example=[drawn(), BLUE],
        image=sdk.Image(size=SIDE, crop="center"),
        classes=COLOURS,
        registry=uri,
    )
    return uri, str(version.pin)


@pytest.fixture(scope="module")
def function(pin: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Handler:
    return served(*pin, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module", params=["2.0", "1.0", "alb"])
def url(request: pytest.FixtureRequest, function: Handler) -> Iterator[str]:
    """The network behind each kind of API."""
    with http_api(function, payload=request.param) as address:
        yield address


@pytest.fixture(scope="module")
def api(function: Handler) -> Iterator[str]:
    with http_api(function) as address:
        yield address


def post(url: str, body: bytes, kind: str, **headers: str) -> tuple[int, bytes]:
    names = {"content-type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = urllib.request.Request(f"{url}{INFER}", body, names)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def winner(document: Any) -> str:
    """The class of the first row with the highest probability."""
    (tensor,) = document["outputs"]
    return COLOURS[int(np.argmax(np.reshape(tensor["data"], tensor["shape"])[0]))]


# Doors


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_the_body_of_a_request(url: str, kind: str) -> None:
    status, body = post(url, file_of(Image.new("RGB", (9, 9), "blue"), KINDS[kind]), kind)
    document = json.loads(body)
    assert (status, winner(document)) == (200, "blue")
    assert document["outputs"][0]["parameters"] == {"classes": COLOURS}


def test_the_answer_to_a_picture_is_csv_where_that_is_accepted(api: str) -> None:
    status, body = post(api, RED, "image/jpeg", accept="text/csv")
    names, values = body.decode().splitlines()
    assert status == 200
    assert names == "probabilities[red],probabilities[green],probabilities[blue]"
    assert float(values.split(",")[0]) > 0.95


def tensors(*pictures: bytes, **parameters: Any) -> dict[str, Any]:
    data = [base64.b64encode(picture).decode() for picture in pictures]
    tensor = {"name": "image", "shape": [len(data)], "datatype": "BYTES", "data": data}
    return {"inputs": [tensor | ({"parameters": parameters} if parameters else {})]}


@pytest.mark.parametrize(
    "document",
    [
        tensors(BLUE, RED),
        tensors(BLUE, RED, content_type="base64"),
        {"instances": [{"image": base64.b64encode(p).decode()} for p in (BLUE, RED)]},
        {"instances": [base64.b64encode(p).decode() for p in (BLUE, RED)]},
        {
            "instances": [
                f"data:image/jpeg;base64,{base64.b64encode(p).decode()}" for p in (BLUE, RED)
            ]
        },
    ],
)
def test_json_carries_pictures_as_base64(function: Handler, document: Any) -> None:
    answer = function(document)
    found = answer.get("predictions") or np.reshape(answer["outputs"][0]["data"], (2, 3)).tolist()
    rows = [row["probabilities"] if isinstance(row, dict) else row for row in found]
    assert np.argmax(rows, axis=1).tolist() == [2, 0]


def test_binary_tensors_carry_the_bytes_of_files(api: str) -> None:
    data = b"".join(len(p).to_bytes(4, "little") + p for p in (RED, BLUE))
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES"}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}]})
    status, body = post(
        api,
        head.encode() + data,
        "application/octet-stream",
        inference_header_content_length=str(len(head)),
    )
    assert (status, winner(json.loads(body))) == (200, "red")
    status, body = post(api, BLUE, "application/octet-stream", inference_header_content_length="0")
    assert status == 200
    assert np.frombuffer(body[-12:], np.float32).argmax() == 2


def test_csv_carries_pictures_as_base64(api: str) -> None:
    status, body = post(api, b"image\n" + base64.b64encode(BLUE) + b"\n", "text/csv")
    assert (status, body.decode().splitlines()[1].split(",")[0]) == (200, "0.0")


@pytest.mark.parametrize("target", ["api", "lambda"])
def test_the_client_takes_paths_bytes_images_and_pixels(
    target: str, api: str, function: Handler, tmp_path: Path
) -> None:
    file = tmp_path / "blue.jpg"
    file.write_bytes(BLUE)
    client = LocalLambda({"acme-cats:prod": function}).client
    model = (
        HttpModel(api, model="cats")
        if target == "api"
        else LambdaModel("acme-cats:prod", client=client)
    )
    pictures = [str(file), file, RED, Image.new("RGB", (4, 4), "lime")]
    answers = model.infer(pictures)["probabilities"]
    assert answers.argmax(axis=1).tolist() == [2, 2, 0, 1]
    many = model.infer_many(pictures * 3, rows_per_call=5)["probabilities"]
    np.testing.assert_allclose(many, np.tile(answers, (3, 1)), rtol=1e-6)
    assert model.infer(str(file))["probabilities"].shape == (1, 3)
    assert model.infer({"image": [RED]})["probabilities"].argmax() == 0
    assert winner(function(model.request([file]))) == "blue"
    with pytest.raises(InvalidRequestError, match=r"input 'image'\[1\]: file 'x.jpg' cannot be"):
        model.infer([file, "x.jpg"])


def test_a_picture_is_the_body_of_a_job(pin: tuple[str, str], tmp_path: Path) -> None:
    registry = Registry(pin[0])
    function = JobFunction(tmp_path, registry=registry, pin=registry.resolve("cats"))
    with served_with_jobs(function) as url:
        job = HttpModel(url, model="cats").infer_async([BLUE])
        assert job.result(timeout=30)["probabilities"].argmax() == 2
        request = urllib.request.Request(
            f"{url}{INFER}", RED, {"content-type": "image/jpeg", "prefer": "respond-async"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            created = json.loads(answer.read())
        result = HttpModel(url, model="cats").job(created["id"]).result(timeout=30)
        assert result["probabilities"].argmax() == 0


# What callers can know


def test_metadata_and_openapi_say_that_the_input_takes_pictures(api: str) -> None:
    with urllib.request.urlopen(f"{api}/v2/models/cats", timeout=30) as answer:
        metadata = json.loads(answer.read())
    assert metadata["inputs"][0]["parameters"] == {"content": "image"}
    with urllib.request.urlopen(f"{api}/v2/models/cats/openapi.json", timeout=30) as answer:
        document = json.loads(answer.read())
    validate(document)
    content = document["paths"][INFER]["post"]["requestBody"]["content"]
    assert {"image/jpeg", "image/png", "image/webp"} <= content.keys()
    value = document["components"]["schemas"]["TensorRequest"]["properties"]["inputs"]["items"]
    assert value["properties"]["data"]["items"] == {"type": "string", "contentEncoding": "base64"}


# Refusals


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"GIF89a\x01", "image/gif", "content-type: image/gif is not one of image/jpeg"),
        (b"GIF89a\x01", "image/png", "image: not a JPEG, PNG or WebP picture: it begins with"),
        (BLUE[:200], "image/jpeg", "image: the JPEG picture cannot be decoded"),
        (b'{"instances": ["abc"]}', "application/json", "'abc' is not a picture in base64"),
        (b'{"instances": [5]}', "application/json", "instances: 'image'"),
        (
            json.dumps(tensors(RED, b"GIF89a")).encode(),
            "application/json",
            "image[1]: not a JPEG, PNG or WebP picture",
        ),
        (b"image\n%%%\n", "text/csv", "is not a picture in base64"),
    ],
)
def test_what_is_no_picture_is_a_400_that_names_the_row(
    api: str, body: bytes, kind: str, reason: str
) -> None:
    status, answer = post(api, body, kind)
    assert status == 400
    assert reason in json.loads(answer)["error"]


def test_a_picture_that_arrives_as_text_is_refused(function: Handler) -> None:
    event = {
        "version": "2.0",
        "rawPath": INFER,
        "headers": {"content-type": "image/png"},
        "requestContext": {"http": {"method": "POST", "path": INFER}, "stage": "$default"},
        "body": "\ufffdPNG",
        "isBase64Encoded": False,
    }
    answer = function(event)
    assert answer["statusCode"] == 400
    assert "the picture arrived as text" in answer["body"]


def test_a_model_that_takes_no_pictures_says_what_it_takes(tmp_path: Path) -> None:
    function = JobFunction(tmp_path)
    answer = function.send("POST", "/infer", RED, content_type="image/jpeg")
    assert answer.status == 400
    assert "a picture, but this model takes X FP32[-1, 2]: send JSON" in answer.document["error"]


def test_a_package_without_pillow_says_how_to_build_one(
    pin: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    answer = served(*pin, tmp_path)({"shearling": "check"})
    assert not answer["passed"]
    assert "shearling package runtime --with image" in answer["reason"]


def test_many_small_pictures_take_little_memory(function: Handler) -> None:
    picture = file_of(Image.new("RGB", (3, 3), "red"))
    tracemalloc.start()
    try:
        answer = function(tensors(*[picture] * 3000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer["outputs"][0]["shape"] == [3000, 3]
    assert (
        peak < 30_000_000
    )  # all inputs of the network together take 37 MB, and twice that at once


@settings(max_examples=attack(50))
@given(st.binary(max_size=64), st.sampled_from([RED, file_of(drawn()), b""]), st.integers(0, 999))
def test_any_bytes_get_an_answer_or_a_400(
    function: Handler, noise: bytes, picture: bytes, place: int
) -> None:
    body = picture[:place] + noise + picture[place + len(noise) :]
    answer = function(tensors(body or b"x"))
    assert "outputs" in answer or answer["status"] == 400
