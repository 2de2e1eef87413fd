"""Loading a version by any kind of ref."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shearling.errors import (
    BundleError,
    FormatError,
    InvalidRequestError,
    ModelNotFoundError,
)
from shearling.models.load import load_model
from shearling.models.push import push_model
from shearling.storage.blobs import blob_key
from tests.support.bundles import ROWS, scaling_graph
from tests.support.datasets import rewrite

if TYPE_CHECKING:
    from shearling.registry.registry import Registry


def test_an_unknown_format_is_refused_by_name(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    rewrite(registry, version, b'"format":"onnx"', b'"format":"wasm"')
    formats = "onnx, cloudpickle, remote"
    with pytest.raises(FormatError, match=f"format 'wasm' is not one of {formats}: upgrade"):
        load_model("fraud", registry=registry)


def test_a_blob_that_was_tampered_with_is_not_loaded(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    manifest = registry.manifest(version.pin)
    key = blob_key(manifest.file(manifest.entry).hex)
    data = registry.store.read(key)
    assert data is not None
    registry.store.write(key, bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(BundleError, match=r"model\.onnx .* is corrupt or was changed"):
        load_model("fraud", registry=registry)


def test_a_model_is_loaded_by_any_ref_and_prints_its_signature(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, alias="prod", registry=registry)
    for ref in ("fraud", "fraud:1", "fraud:prod", str(version.pin)):
        loaded = load_model(ref, registry=registry)
        assert repr(loaded) == "<fraud:1 (X FP32[-1, 2]) -> (Y FP32[-1, 2])>"
        assert loaded.pin == version.pin
    with pytest.raises(ModelNotFoundError, match="the newest is 1"):
        load_model("fraud:2", registry=registry)


def test_inputs_that_do_not_fit_are_refused_before_the_model_sees_them(registry: Registry) -> None:
    push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    loaded = load_model("fraud", registry=registry)
    with pytest.raises(
        InvalidRequestError, match=r"input 'X'\.shape: \[3\] does not fit \[-1, 2\]"
    ):
        loaded.predict([1, 2, 3])
