"""What a signature promises, from the stored bundle to the caller."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from openapi_spec_validator import validate

from shearling.cli import main
from shearling.client.connect import connect
from shearling.errors import InvalidRequestError
from shearling.models.load import load_model
from shearling.registry.registry import Registry
from shearling.tensors.spec import Signature, TensorSpec
from shearling_runtime.apidocs.openapi import describe_api
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from tests.runtime.test_runtime import Call, http, settings_of
from tests.support.bundles import ROWS, scaling_bundle
from tests.support.lambda_server import LocalLambda, served

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.client.lambda_model import LambdaModel

TARGET = "acme-fraud:prod"


def deployed(
    directory: Path,
    *,
    inputs: dict[str, Any] | None = None,
    outputs: dict[str, Any] | None = None,
    **signature: Any,
) -> LambdaModel:
    """Return a deployed `scaling_bundle` whose signature says more."""
    bundle = scaling_bundle(directory)
    old = bundle.manifest.signature
    new = Signature(
        inputs=(replace(old.inputs[0], **inputs or {}),),
        outputs=(replace(old.outputs[0], **outputs or {}),),
        **signature,
    )
    changed = replace(bundle.manifest, signature=new)
    registry = str(directory / "registry")
    pin = replace(bundle, manifest=changed).publish(registry).pin
    function = served(registry, str(pin), directory / "scratch")
    return connect(TARGET, client=LocalLambda({TARGET: function}).client)


KNOWN = {"categories": ((1.0, 3.0, 5.0), None)}


def test_a_client_gets_the_signature_that_was_stored(tmp_path: Path) -> None:
    model = deployed(
        tmp_path, inputs=KNOWN, outputs={"classes": ("no", "yes")}, independent_rows=False
    )
    stored = load_model("fraud", registry=str(tmp_path / "registry")).signature
    assert model.signature == stored
    assert model.signature.outputs[0].classes == ("no", "yes")
    assert not model.signature.independent_rows


def test_the_command_explains_the_contract(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = deployed(
        tmp_path, inputs=KNOWN, outputs={"classes": ("no", "yes")}, independent_rows=False
    )
    local_lambda = LocalLambda({TARGET: lambda _: model.metadata()})
    assert main(["invoke", TARGET], lambda_client=lambda _: local_lambda.client) == 0
    shown = capsys.readouterr().out
    assert "classes     Y: no, yes" in shown
    assert "categories  X[0]: 1.0, 3.0, 5.0" in shown
    assert "rows        depend on the other rows of a request" in shown


def test_an_unknown_category_is_refused_by_runtime_client_and_loaded_model(tmp_path: Path) -> None:
    model = deployed(tmp_path, inputs=KNOWN)
    np.testing.assert_array_equal(model.infer(ROWS)["Y"], ROWS * 2)
    rows = np.concatenate([ROWS, ROWS + 1])
    refusal = "inputs: row 3, column 0 of input 'X': 2.0 is not a category that the model knows"
    event = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [6, 2], "data": rows.tolist()}]}
    with pytest.raises(InvalidRequestError, match=refusal):
        model.call(event)
    with pytest.raises(InvalidRequestError, match=refusal):
        model.infer(rows)
    with pytest.raises(InvalidRequestError, match=refusal):
        load_model("fraud", registry=str(tmp_path / "registry")).predict(rows)


def test_rows_that_depend_on_each_other_are_never_cut(tmp_path: Path) -> None:
    model = deployed(tmp_path, independent_rows=False)
    np.testing.assert_array_equal(model.infer_many(ROWS)["Y"], ROWS * 2)
    with pytest.raises(InvalidRequestError, match="the 3 rows cannot be split into calls of 2"):
        model.infer_many(ROWS, rows_per_call=2)
    with pytest.raises(InvalidRequestError, match="rows cannot be split"):
        model.infer_many(np.tile(ROWS, (200_000, 1)))


MATRIX = TensorSpec(name="X", datatype="FP32", shape=(-1, 2), categories=((1.0, math.nan), None))
CITY = TensorSpec(name="city", datatype="BYTES", shape=(-1, 1), categories=(("Bern", "Oslo"),))


@pytest.mark.parametrize(
    ("spec", "columns", "listed"),
    [
        (MATRIX, [], [1.0, None]),
        (MATRIX, ["grade", "height"], [1.0, None]),
        (CITY, [], ["Bern", "Oslo"]),
    ],
)
def test_the_api_description_lists_known_categories(
    spec: TensorSpec, columns: list[str], listed: list[object]
) -> None:
    metadata = {"name": "m", "versions": ["1"], "parameters": {"columns": columns}}
    document = describe_api(metadata, Signature(inputs=(spec,), outputs=(CITY,)))
    validate(document)
    assert json.dumps({"enum": listed}) in json.dumps(document["components"]["schemas"])


def test_an_unknown_category_is_a_400_over_http(tmp_path: Path) -> None:
    bundle = scaling_bundle(tmp_path)
    signature = bundle.manifest.signature
    known = replace(signature.inputs[0], categories=((1.0, 3.0, 5.0), None))
    changed = replace(
        bundle.manifest,
        signature=replace(signature, inputs=(known,)),
        options={**bundle.manifest.options, "columns": ["grade", "height"]},
    )
    registry = Registry(tmp_path / "registry")
    pin = replace(bundle, manifest=changed).publish(registry).pin
    server = ModelServer(settings_of(registry, pin, tmp_path / "scratch"))
    bodies = {
        json.dumps({"instances": [[1, 2], [2, 2]]}): ("application/json", "instances: row 1"),
        json.dumps({"instances": [{"grade": 2, "height": 2}]}): ("", "instances: row 0"),
        "grade,height\n1,2\n2,2\n": ("text/csv", "body: row 3"),
    }
    for body, (kind, place) in bodies.items():
        event = http("/v2/models/fraud/infer", "POST", body)
        event["headers"] = {"content-type": kind}
        answer = respond(event, Call(), server)
        assert answer["statusCode"] == 400
        assert json.loads(answer["body"])["error"].startswith(f"{place}, column 'grade': 2.0 is no")
