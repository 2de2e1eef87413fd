"""Which requests need no thread of their own, and how long an error may be."""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import shearling as sdk
from shearling.errors import InvalidRequestError
from shearling_runtime.http.messages import Request
from shearling_runtime.server.options import parse_options
from shearling_runtime.server.routes import Routes
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings
from tests.support.bundles import scaling_bundle
from tests.support.pictures import SIDE, drawn, file_of, mean_colours

if TYPE_CHECKING:
    from pathlib import Path

ONE_ROW = b'{"instances": [[1, 2]]}'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    pin = scaling_bundle(tmp_path).publish(str(tmp_path / "registry")).pin
    variables = {
        "SHEARLING_REGISTRY": str(tmp_path / "registry"),
        "SHEARLING_MODEL": str(pin),
        "SHEARLING_SCRATCH": str(tmp_path / "scratch"),
    }
    return Settings.from_environment(variables)


def is_quick(settings: Settings, body: bytes, path: str = "/invocations", **headers: str) -> bool:
    routes = Routes(ModelServer(settings), "fraud", parse_options(["serve"], {}))
    request = Request("POST", path, headers, body, is_base64=False)
    assert not routes.is_quick(request)  # before the model is loaded
    assert routes.load() == ""
    return routes.is_quick(request)


def test_a_small_request_to_a_fast_graph_is_quick(settings: Settings) -> None:
    assert is_quick(settings, ONE_ROW)
    assert is_quick(settings, ONE_ROW, "/v2/models/fraud/infer")


def test_a_picture_is_not_quick_since_its_few_bytes_may_have_many_pixels(tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    version = sdk.push_model(
        mean_colours(), "cats", example=[drawn()], image=sdk.Image(size=SIDE), registry=registry
    )
    variables = {
        "SHEARLING_REGISTRY": registry,
        "SHEARLING_MODEL": str(version.pin),
        "SHEARLING_SCRATCH": str(tmp_path / "scratch"),
    }
    settings = Settings.from_environment(variables)
    body, headers = file_of(drawn()), {"content-type": "image/png"}
    assert not is_quick(settings, body, **headers)
    routes = Routes(ModelServer(settings), "cats", parse_options(["serve"], {}))
    routes.load()
    request = Request("POST", "/invocations", headers, body, is_base64=False)
    assert routes.answer(request, time.monotonic()).status == 200


def test_a_page_is_not_quick(settings: Settings) -> None:
    assert not is_quick(settings, b"", "/v2/models/fraud/docs")


def test_a_large_body_is_not_quick_and_neither_is_a_compressed_one(settings: Settings) -> None:
    assert not is_quick(settings, ONE_ROW + b" " * 20_000)
    headers = {"content-encoding": "gzip"}
    assert not is_quick(settings, gzip.compress(ONE_ROW), **headers)


def test_a_request_that_may_run_a_pickle_is_not_quick(settings: Settings) -> None:
    assert not is_quick(replace(settings, allow_pickle=True), ONE_ROW)


@pytest.mark.parametrize("character", ["x", "\N{GRINNING FACE}", "\x01"])
def test_a_long_error_is_cut_to_what_sagemaker_passes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise InvalidRequestError(f"inputs: {character * 9000}")

    monkeypatch.setattr(ModelServer, "infer", refusing)
    routes = Routes(ModelServer(settings), "fraud", parse_options(["serve"], {}))
    assert routes.load() == ""
    invocation, infer = (
        routes.answer(Request("POST", path, {}, ONE_ROW, is_base64=False), time.monotonic())
        for path in ("/invocations", "/v2/models/fraud/infer")
    )
    assert invocation.status == infer.status == 400
    assert 300 < len(invocation.body) <= 2048 < len(infer.body)
    assert json.loads(invocation.body)["error"].startswith(f"inputs: {character * 200}")
