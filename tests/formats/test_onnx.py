"""Graphs that an older ONNX Runtime can load, and errors for those that it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from shearling.errors import (
    FormatError,
)
from shearling.formats.base import LoadSettings, load_bundle
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.bundles import ROWS, scaling_bundle, scaling_graph
from tests.support.datasets import rewrite

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry


def test_a_graph_that_an_older_onnx_runtime_can_run_is_loaded_by_it(registry: Registry) -> None:
    version = push_model(scaling_graph(), "fraud", example=ROWS, registry=registry)
    rewrite(registry, version, b'"onnxruntime":"', b'"onnxruntime":"9')
    np.testing.assert_array_equal(
        load_model("fraud", registry=registry).predict(ROWS)["Y"], 2 * ROWS
    )


@pytest.mark.parametrize(
    ("ir", "opsets", "reason"),
    [
        (99, {"": 17}, "Unsupported model IR version: 99"),
        (8, {"": 999}, r"Opset 999 .* for domain ai\.onnx is till"),
        (8, {"": 17, "ai.onnx.ml": 99}, r"Opset 99 .* for domain ai\.onnx\.ml is till"),
    ],
    ids=["ir", "opset", "other-opset"],
)
def test_a_graph_that_an_older_onnx_runtime_cannot_run_is_refused_with_the_reason(
    tmp_path: Path, ir: int, opsets: dict[str, int], reason: str
) -> None:
    graph = scaling_graph()
    graph.ir_version = ir
    del graph.opset_import[:]
    graph.opset_import.extend(helper.make_opsetid(*each) for each in opsets.items())
    bundle = scaling_bundle(tmp_path)
    name = bundle.manifest.file("model.onnx").hex
    (tmp_path / name).write_bytes(graph.SerializeToString())
    options = {**bundle.manifest.options, "onnxruntime": "99.1.0"}
    with pytest.raises(FormatError, match=reason) as caught:
        load_bundle(replace(bundle.manifest, options=options), tmp_path, LoadSettings())
    assert f"this is ONNX Runtime {onnxruntime.__version__}" in str(caught.value)
    assert "install 99.1.0 or newer, or rebuild the function's package" in str(caught.value)
    assert "onnxruntime_src" not in str(caught.value)
