"""A network of pictures is made smaller on pictures, and keeps the steps before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import shearling as sdk
from shearling.models.load import load_model
from shearling.models.quantize import quantize
from tests.support.networks import digits, digits_network

if TYPE_CHECKING:
    import pytest
    from numpy.typing import NDArray

    from shearling.registry.registry import Registry

#: The lightest pixel of a picture of a digit; pixels of digits are from 0 to 16.
LIGHTEST = 240


def grey(rows: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    return [*(rows.reshape(-1, 8, 8) * LIGHTEST).astype(np.uint8)]


def test_pictures_judge_a_smaller_network_which_answers_pictures(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether so small a network becomes faster is no matter here.
    monkeypatch.setattr("shearling.models.trial.gain_missing", lambda *_: "")
    train, _, test, labels = digits()
    image = sdk.Image(size=8, channels="L", scale=1 / LIGHTEST)
    sdk.push_model(
        digits_network(), "digits", example=grey(train[:50]), image=image, registry=registry
    )
    report = quantize("digits", grey(test), y=labels, registry=registry)
    assert report.version is not None
    before, after = (load_model(f"digits:{n}", registry=registry) for n in (1, 2))
    assert after.manifest.options["image"] == before.manifest.options["image"]
    (name,) = after.signature.output_names
    found = after.predict(grey(test))[name].argmax(axis=1)
    assert (found == labels).mean() > 0.95
