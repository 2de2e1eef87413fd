"""A graph that the user exported with PyTorch's own exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import shearling as sdk

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry


@pytest.mark.filterwarnings("ignore")  # the exporter warns about itself
def test_a_file_that_pytorch_exported_answers_as_the_module(
    tmp_path: Path, registry: Registry
) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    torch.onnx.export(
        net,
        (torch.from_numpy(rows),),
        tmp_path / "net.onnx",
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("rows")},),
        verbose=False,
    )
    sdk.push_model(tmp_path / "net.onnx", "net", example=rows, registry=registry)
    (answer,) = sdk.load_model("net", registry=registry).predict(rows[:1]).values()
    np.testing.assert_allclose(answer, net(torch.from_numpy(rows[:1])).detach(), atol=1e-5)
