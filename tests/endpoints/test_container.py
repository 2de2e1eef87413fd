"""A function in front of an endpoint that runs our container's server, as SageMaker would."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto

from shearling.converters.remote import Remote
from shearling.endpoints.invoke import Endpoint
from shearling.endpoints.predictor import EndpointPredictor
from shearling.errors import InvalidRequestError
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from tests.support.bundles import scaling_graph
from tests.support.production_server import production_server
from tests.support.sagemaker_runtime import KEYS, sagemaker_runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest

ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)


@contextmanager
def endpoint_of(
    model: Any, example: NDArray[Any], directory: Path
) -> Iterator[tuple[str, Manifest]]:
    """Run an endpoint, and yield its name and the contract of its model."""
    registry = Registry(str(directory / "registry"))
    pin = push_model(model, "scaled", example=example, registry=registry).pin
    with (
        production_server(directory, registry.store.uri, pin, "--workers", "1") as container,
        sagemaker_runtime() as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        container.wait_until_ready()
        patch.delenv("AWS_PROFILE", raising=False)
        for name, value in {**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url}.items():
            patch.setenv(name, value)
        yield f"container-{container.port}", registry.manifest(pin)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Manifest]]:
    """The endpoint's name, and the contract of its model in the protocol's JSON."""
    directory = tmp_path_factory.mktemp("container")
    with endpoint_of(scaling_graph(), ROWS, directory) as endpoint:
        yield endpoint


@pytest.mark.parametrize("body", ["json", "binary"])
def test_tensors_go_through_to_the_container_and_back(
    endpoint: tuple[str, Manifest], body: str
) -> None:
    name, manifest = endpoint
    predictor = EndpointPredictor(replace(manifest, options={"body": body}), Endpoint(name))
    answers = predictor.predict({"X": ROWS}, ["Y"])
    np.testing.assert_array_equal(answers["Y"], 2 * ROWS)


def test_a_model_of_16_bit_floats_that_was_pushed_is_asked_in_binary(tmp_path: Path) -> None:
    rows = ROWS.astype(np.float16)
    with endpoint_of(scaling_graph(dtype=TensorProto.FLOAT16), rows, tmp_path) as (name, manifest):
        answers = EndpointPredictor(manifest, Endpoint(name)).predict({"X": rows}, ["Y"])
    assert answers["Y"].dtype == np.float16
    np.testing.assert_array_equal(answers["Y"], 2 * rows)


def test_what_the_container_refuses_is_the_callers_error(endpoint: tuple[str, Manifest]) -> None:
    name, manifest = endpoint
    with pytest.raises(InvalidRequestError, match=r"refused the request: .*inputs"):
        EndpointPredictor(manifest, Endpoint(name)).predict({"Z": ROWS}, ["Y"])


def test_the_contract_of_a_container_may_be_pushed_alone(endpoint: tuple[str, Manifest]) -> None:
    name, _ = endpoint
    registry = Registry("memory://contract-of-a-container")
    answers: Any = {"Y": 2 * ROWS}
    remote = Remote(answers, body="binary")
    pin = push_model(remote, "remote", example=ROWS, registry=registry).pin
    answers = EndpointPredictor(registry.manifest(pin), Endpoint(name)).predict(
        {"X": ROWS[:3]}, ["Y"]
    )
    np.testing.assert_array_equal(answers["Y"], 2 * ROWS[:3])
