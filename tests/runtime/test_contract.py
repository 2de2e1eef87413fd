"""What a signature promises, from the stored bundle to the caller."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shearling.client.connect import connect
from shearling.errors import InvalidRequestError
from shearling.models.load import load_model
from shearling.tensors.spec import Signature
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
