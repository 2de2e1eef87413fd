"""PyTorch networks that take pictures answer as the module does to Pillow's own pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import nn

import shearling as sdk
from tests.support.pictures import COLOURS, drawn, file_of, photographs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.registry.registry import Registry

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(8, len(COLOURS)),
    )


def by_hand(picture: NDArray[np.uint8]) -> torch.Tensor:
    """What torchvision's usual steps make of a picture of 640 x 427 pixels."""
    resized = Image.fromarray(picture).resize((95, 64), Image.Resampling.BILINEAR)
    cropped = resized.crop((20, 4, 76, 60))
    values = (np.asarray(cropped) / 255 - np.array(MEAN)) / np.array(STD)
    return torch.tensor(values.transpose(2, 0, 1)[np.newaxis], dtype=torch.float32)


def test_a_module_of_pictures_answers_files(registry: Registry) -> None:
    module = network().train()
    image = sdk.Image(size=56, crop="center", resize=64, mean=MEAN, std=STD)
    example = [drawn(), file_of(drawn(), "JPEG")]
    sdk.push_model(module, "cats", example=example, image=image, classes=COLOURS, registry=registry)
    assert module.training
    model = sdk.load_model("cats", registry=registry)
    (spec,) = model.signature.outputs
    assert spec.classes == tuple(COLOURS)
    with torch.no_grad():
        expected = [module.eval()(by_hand(picture)).numpy()[0] for picture in photographs()]
    answers = model.predict([file_of(picture) for picture in photographs()])[spec.name]
    np.testing.assert_allclose(answers, expected, atol=0.01)


def test_a_module_of_half_precision_answers_files(registry: Registry) -> None:
    module = network().half().eval()
    sdk.push_model(module, "cats", example=[drawn()], image=sdk.Image(size=56), registry=registry)
    model = sdk.load_model("cats", registry=registry)
    assert np.isfinite(model.predict([*photographs()])[model.signature.output_names[0]]).all()
