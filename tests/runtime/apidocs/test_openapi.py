"""The OpenAPI document of a model is valid and matches the server."""

from __future__ import annotations

import contextlib
import json
import urllib.request
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from shearling.bundle.example import Example
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from shearling.tensors.spec import DATATYPES, Signature, TensorSpec
from shearling_runtime.apidocs.openapi import describe_api
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from tests.protocol.test_csv_rows import frame_server
from tests.runtime.events.test_event_sources import columns_model
from tests.runtime.test_runtime import Call, serve, settings_of
from tests.support.attack import attack
from tests.support.http_server import http_api

if TYPE_CHECKING:
    from collections.abc import Iterator

#: JSON Schema cannot express that `data` has as many elements as `shape` says, so the server may
#: refuse a request that is valid by the document. The examples below are accepted.
_BEYOND_A_SCHEMA = [positive_data_acceptance]


def _api(server: ModelServer) -> Any:
    return http_api(lambda event: respond(event, Call(), server))


@pytest.fixture(scope="module")
def rows_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("rows")
    server = serve(Registry(f"memory://{uuid.uuid4().hex}"), directory).server()
    with _api(server) as url:
        yield url


@pytest.fixture(scope="module")
def columns_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("columns")
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    example = {
        "age": np.array([[1.5], [np.nan]], np.float32),
        "country": np.array([["de"], ["fr"]], object),
    }
    version = push_model(
        columns_model, "fraud", example=example, format="cloudpickle", registry=registry
    )
    settings = replace(settings_of(registry, version.pin, directory), allow_pickle=True)
    with _api(ModelServer(settings)) as url:
        yield url


@pytest.fixture(scope="module")
def frame_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with _api(frame_server(tmp_path_factory.mktemp("frame"))) as url:
        yield url


def _fetched(url: str, path: str = "/v2/models/fraud") -> Any:
    with urllib.request.urlopen(f"{url}{path}/openapi.json", timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize("fixture", ["rows_url", "columns_url", "frame_url"])
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("path", ["", "/ready", "/infer"])
def test_schemathesis_finds_no_error(
    request: pytest.FixtureRequest, fixture: str, mode: GenerationMode, path: str
) -> None:
    url = request.getfixturevalue(fixture)
    api = schemathesis.openapi.from_dict(_fetched(url))
    api.config.update(base_url=url)
    # Without its pytest plugin, which does not support pytest 9.1 and later.
    operation = api[f"/v2/models/fraud{path}"]["POST" if path == "/infer" else "GET"]

    @settings(
        max_examples=attack(60) if path == "/infer" else 5,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(excluded_checks=_BEYOND_A_SCHEMA)

    with contextlib.suppress(Unsatisfiable):  # a GET without parameters cannot be wrong
        check()


@pytest.mark.parametrize("fixture", ["rows_url", "columns_url", "frame_url"])
@pytest.mark.parametrize("path", ["/v2/models/fraud", "/v2/models/fraud/versions/prod"])
def test_the_document_is_valid_and_its_examples_are_accepted(
    request: pytest.FixtureRequest, fixture: str, path: str
) -> None:
    url = request.getfixturevalue(fixture)
    document = _fetched(url, path)
    validate(document)
    assert list(document["paths"]) == [path, f"{path}/ready", f"{path}/infer"]
    assert document["servers"] == [{"url": "/".join([".."] * path.count("/"))}]
    assert document["security"] == [{}, {"signature": []}, {"token": []}, {"key": []}]
    for said in document["paths"].values():
        assert {"401", "403", "429"} < set(*(each["responses"] for each in said.values()))
    content = document["paths"][f"{path}/infer"]["post"]["requestBody"]["content"]
    examples = content["application/json"]["examples"]
    assert set(examples) == {"tensors", "instances"}
    bodies = [("application/json", json.dumps(each["value"])) for each in examples.values()]
    if "example" in content["text/csv"]:
        bodies.append(("text/csv", content["text/csv"]["example"]))
    assert len(bodies) == 2 + (fixture != "rows_url")  # whose columns have no names
    for kind, body in bodies:
        asked = urllib.request.Request(
            f"{url}{path}/infer", body.encode(), headers={"content-type": kind}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
@pytest.mark.parametrize("shape", [(), (-1,), (-1, 3), (2, -1, 4)])
def test_every_datatype_and_rank_has_a_valid_document(
    datatype: str, shape: tuple[int, ...]
) -> None:
    spec = TensorSpec(name="X", datatype=datatype, shape=shape)
    signature = Signature(inputs=(spec,), outputs=(spec,))
    validate(describe_api({"name": "m", "versions": ["1"]}, signature))


def test_half_floats_have_no_example_in_json() -> None:
    spec = TensorSpec(name="X", datatype="FP16", shape=(-1,))
    example = Example({"X": np.zeros(1, np.float16)}, {"X": np.zeros(1, np.float16)})
    signature = Signature(inputs=(spec,), outputs=(spec,))
    document = describe_api({"name": "m", "versions": ["1"]}, signature, example)
    body = document["paths"]["/v2/models/m/infer"]["post"]["requestBody"]["content"]
    assert not any({"example", "examples"} & set(each) for each in body.values())
