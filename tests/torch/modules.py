"""Small modules of PyTorch, and what a version of them answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import shearling as sdk

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from shearling.models.load import LoadedModel
    from shearling.registry.registry import Registry

RANDOM = np.random.default_rng(0)

#: Rows of four numbers, of six steps of four numbers, and of three words out of ten.
X = RANDOM.normal(size=(20, 4)).astype(np.float32)
STEPS = RANDOM.normal(size=(12, 6, 4)).astype(np.float32)
IDS = RANDOM.integers(0, 10, (20, 3))


class Written(nn.Module):
    """A linear layer, further parts, and a `forward` that a test writes."""

    def __init__(self, forward: Callable[[Any, torch.Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.written = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> Any:
        return self.written(self, x)


class Two(nn.Module):
    """Two inputs and, in a dict, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(2, 3)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            "sum": self.first(left) + self.second(right),
            "difference": self.first(left) - self.second(right),
        }


class LastStep(nn.Module):
    """A recurrent layer, and a linear one on its last step."""

    def __init__(self, cell: type[nn.Module]) -> None:
        super().__init__()
        self.cell, self.head = cell(4, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.cell(x)
        answer: torch.Tensor = self.head(steps[:, -1])
        return answer


def perceptron() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)
    )


def convolutions() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def encoder() -> Any:
    layer = nn.TransformerEncoderLayer(4, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 2)


def pushed(module: Any, example: Any, registry: Registry, **options: Any) -> LoadedModel:
    """Push a module, and load the version."""
    version = sdk.push_model(module, "net", example=example, registry=registry, **options)
    return sdk.load_model(str(version.pin), registry=registry)


def inputs_of(model: LoadedModel) -> list[str]:
    return [str(spec) for spec in model.manifest.signature.inputs]


def outputs_of(model: LoadedModel) -> list[str]:
    return [str(spec) for spec in model.manifest.signature.outputs]


def answered(module: nn.Module, *inputs: NDArray[Any]) -> Any:
    """What the module itself answers in evaluation mode."""
    was_training = module.training
    with torch.no_grad():
        answer = module.eval()(*map(torch.tensor, inputs))
    module.train(was_training)
    return answer
