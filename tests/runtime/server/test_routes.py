"""Which requests the server answers without a thread of their own."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shearling_runtime.http.messages import Request
from shearling_runtime.server.options import parse_options
from shearling_runtime.server.routes import Routes
from shearling_runtime.serving.model_server import ModelServer
from shearling_runtime.settings import Settings
from tests.support.bundles import scaling_bundle

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


def test_a_page_is_not_quick(settings: Settings) -> None:
    assert not is_quick(settings, b"", "/v2/models/fraud/docs")


def test_a_large_body_is_not_quick_and_neither_is_a_compressed_one(settings: Settings) -> None:
    assert not is_quick(settings, ONE_ROW + b" " * 20_000)
    headers = {"content-encoding": "gzip"}
    assert not is_quick(settings, gzip.compress(ONE_ROW), **headers)


def test_a_request_that_may_run_a_pickle_is_not_quick(settings: Settings) -> None:
    assert not is_quick(replace(settings, allow_pickle=True), ONE_ROW)
