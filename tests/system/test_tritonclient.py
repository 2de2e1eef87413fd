"""Triton's client against the runtime, over a real socket."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from shearling.registry.registry import Registry
from shearling_runtime.events.dispatch import respond
from tests.runtime.test_runtime import Call, serve
from tests.support.bundles import ROWS
from tests.support.http_server import http_api

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["2.0", "1.0"])
def client(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Any]:
    directory = tmp_path_factory.mktemp("served")
    server = serve(Registry(f"memory://{uuid.uuid4().hex}"), directory).server()
    with (
        http_api(
            lambda event: respond(event, Call(), server), payload=request.param, stage="live"
        ) as url,
        triton.InferenceServerClient(url.removeprefix("http://")) as client,
    ):
        yield client


def _input(*, is_binary: bool) -> Any:
    tensor = triton.InferInput("X", list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=is_binary)
    return tensor


def test_it_finds_server_and_model_ready(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("fraud")
    assert client.is_model_ready("fraud", "prod")
    assert not client.is_model_ready("fraud", "7")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]


def test_it_reads_the_metadata(client: Any) -> None:
    for version in ("", "1", "prod"):
        metadata = client.get_model_metadata("fraud", version)
        assert (metadata["name"], metadata["versions"]) == ("fraud", ["1"])
        assert metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 2]}]


@pytest.mark.parametrize("is_binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("wants_binary", [True, False, None], ids=["binary", "json", "default"])
@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_it_gets_the_models_answers(
    client: Any, *, is_binary: bool, wants_binary: bool | None, packing: str | None
) -> None:
    outputs = None
    if wants_binary is not None:
        outputs = [triton.InferRequestedOutput("Y", binary_data=wants_binary)]
    answer = client.infer(
        "fraud",
        [_input(is_binary=is_binary)],
        model_version="prod",
        outputs=outputs,
        request_id="r",
        request_compression_algorithm=packing,
    )
    np.testing.assert_array_equal(answer.as_numpy("Y"), 2 * ROWS)
    assert answer.get_response()["id"] == "r"


def test_it_is_told_what_is_wrong(client: Any) -> None:
    tensor = triton.InferInput("X", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 3), np.float32))
    with pytest.raises(InferenceServerException, match=r"does not fit \[-1, 2\] of input 'X'"):
        client.infer("fraud", [tensor])
