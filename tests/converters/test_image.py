"""Networks of pictures: what is made of a picture, how that is proven, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from PIL import Image as Pictures
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import shearling as sdk
from shearling.converters import image_reference
from shearling.errors import FormatError, InvalidRequestError, ShearlingError
from shearling.models.load import load_model
from shearling.models.push import push_model
from shearling.tensors.pictures import as_pictures
from tests.support.attack import attack
from tests.support.pictures import (
    COLOURS,
    SIDE,
    drawn,
    echo,
    file_of,
    mean_colours,
    network,
    photographs,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.registry.registry import Registry

#: One step of a pixel, after scaling to numbers from 0 to 1.
STEP = 0.004

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pushed(registry: Registry, model: Any, image: Any, example: Any = None, **options: Any) -> Any:
    """Push a network of pictures, and load it."""
    example = [drawn(), photographs()[0]] if example is None else example
    push_model(model, "cats", example=example, image=image, registry=registry, **options)
    return load_model("cats", registry=registry)


def by_pillow(picture: NDArray[Any], size: tuple[int, int], method: Any) -> NDArray[Any]:
    """A picture resized by Pillow, with values from 0 to 1, as [channels, height, width]."""
    resized = Pictures.fromarray(picture).resize(size[::-1], method)
    return np.moveaxis(np.asarray(resized, np.float32) / 255, -1, 0)


# What is made of a picture


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(224, 224), (64, 200), (400, 600)])
def test_a_picture_is_resized_as_pillow_does(
    registry: Registry, method: Any, size: tuple[int, int]
) -> None:
    image = sdk.Image(size=size, interpolation=method)
    model = pushed(registry, echo(("n", 3, *size)), image, [drawn()])
    noise = np.random.default_rng(0).integers(0, 256, (333, 251, 3), np.uint8)
    # In which order Pillow's versions resize the two axes shows in noise, if the method overshoots.
    for picture in (*photographs(), *([noise, noise[:9, :14]] if method == "bilinear" else [])):
        (tensor,) = model.predict(picture)["tensor"]
        expected = by_pillow(picture, size, Pictures.Resampling[method.upper()])
        np.testing.assert_allclose(tensor, expected, atol=STEP)


@pytest.mark.parametrize("turned", [False, True])
def test_the_centre_is_cropped_and_normalised_as_torchvision_does(
    registry: Registry, *, turned: bool
) -> None:
    image = sdk.Image(size=224, crop="center", resize=256, mean=MEAN, std=STD)
    model = pushed(registry, echo(("n", 3, 224, 224)), image)
    picture = np.rot90(photographs()[0]) if turned else photographs()[0]  # 640 x 427
    resized = (383, 256) if turned else (256, 383)
    whole = by_pillow(np.ascontiguousarray(picture), resized, Pictures.Resampling.BILINEAR)
    # Of the 159 pixels that are too many, torchvision cuts `round(79.5)` before the center.
    cut = whole[:, 80:304, 16:240] if turned else whole[:, 16:240, 80:304]
    expected = (cut - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    (tensor,) = model.predict([np.ascontiguousarray(picture)])["tensor"]
    np.testing.assert_allclose(tensor, expected, atol=STEP / min(STD))


def test_layout_and_order_of_channels_are_the_networks(registry: Registry) -> None:
    image = sdk.Image(
        size=(8, 12), channels="BGR", layout="NHWC", scale=1, mean=(103.9, 116.8, 123.7)
    )
    model = pushed(registry, echo(("n", 8, 12, 3)), image)
    (tensor,) = model.predict(np.full((20, 30, 3), (10, 20, 30), np.uint8))["tensor"]
    assert tensor.shape == (8, 12, 3)
    np.testing.assert_allclose(tensor[4, 6], [30 - 103.9, 20 - 116.8, 10 - 123.7], rtol=1e-5)


def test_a_grey_network_gets_the_luminance(registry: Registry) -> None:
    model = pushed(registry, echo(("n", 1, 16, 16)), sdk.Image(size=16, channels="L"))
    (tensor,) = model.predict(Pictures.new("RGB", (16, 16), (0, 255, 0)))["tensor"]
    np.testing.assert_allclose(tensor, 150 / 255, atol=STEP)


@pytest.mark.parametrize(
    "datatype", [TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE]
)
def test_the_datatype_is_the_networks(registry: Registry, datatype: int) -> None:
    model = pushed(registry, network(datatype=datatype), sdk.Image(size=SIDE))
    answers = model.predict([drawn(), photographs()[1]])["probabilities"]
    assert answers.shape == (2, 3)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-3)


# The bundle


def test_callers_send_files_and_older_readers_refuse_the_bundle(registry: Registry) -> None:
    manifest = pushed(registry, network(), sdk.Image(size=SIDE)).manifest
    (spec,) = manifest.signature.inputs
    assert (str(spec), spec.content) == ("image BYTES[-1]", "image")
    assert (manifest.schema, manifest.requires) == (2, ("image",))
    assert manifest.options["image"] == {
        "input": "image",
        "graph": "image.onnx",
        "channels": "RGB",
        "max_pixels": 50_000_000,
    }


def test_the_same_network_with_the_same_settings_is_the_same_version(registry: Registry) -> None:
    versions = [
        push_model(
            network(), "cats", example=[drawn()], image=sdk.Image(size=SIDE), registry=registry
        )
        for _ in range(2)
    ]
    assert [version.is_new for version in versions] == [True, False]


def test_a_picture_is_a_path_bytes_an_image_or_pixels(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(file_of(drawn()))
    model = pushed(registry, network(), sdk.Image(size=SIDE), [str(file), file])
    forms = [file, str(file), file.read_bytes(), drawn(), np.asarray(drawn())]
    answers = model.predict(forms)["probabilities"]
    np.testing.assert_array_equal(answers, answers[:1].repeat(len(forms), axis=0))
    for form in forms:
        np.testing.assert_array_equal(model.predict(form)["probabilities"], answers[:1])
    np.testing.assert_array_equal(model.predict({"image": forms})["probabilities"], answers)
    stacked = np.stack([np.asarray(drawn())] * 2)
    np.testing.assert_array_equal(model.predict(stacked)["probabilities"], answers[:2])


def test_the_example_answers_again_where_the_bundle_is_loaded(registry: Registry) -> None:
    model = pushed(registry, network(), sdk.Image(size=SIDE))
    from shearling.bundle.example import Example
    from shearling.models.load import cache_directory

    file = model.manifest.file(model.manifest.example.path)
    example = Example.from_bytes((cache_directory() / file.hex).read_bytes())
    assert [type(picture) for picture in example.inputs["image"]] == [bytes, bytes]
    answers = model.predict({"image": example.inputs["image"]})
    np.testing.assert_array_equal(answers["probabilities"], example.outputs["probabilities"])


def test_a_network_that_takes_one_picture_answers_many(registry: Registry) -> None:
    many = pushed(registry, network(), sdk.Image(size=SIDE))
    one = pushed(registry, network((1, 3, SIDE, SIDE)), sdk.Image(size=SIDE))
    pictures = [*photographs(), drawn(), drawn(colour="blue")]
    together, alone = (model.predict(pictures)["probabilities"] for model in (many, one))
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_a_network_that_takes_any_size_gets_few_pictures_at_a_time(registry: Registry) -> None:
    model = pushed(registry, network(("n", 3, "h", "w")), sdk.Image(size=(200, 300)))
    assert model.predictor.rows == 14  # of 720,000 bytes each
    assert model.predict([drawn()] * 15)["probabilities"].shape == (15, 3)


def test_many_pictures_are_answered_in_batches(registry: Registry) -> None:
    model = pushed(registry, network(), sdk.Image(size=SIDE))
    pictures = {"image": as_pictures([drawn(colour=colour) for colour in COLOURS] * 3, "")}
    whole = model.predictor.predict(pictures, ["probabilities"])["probabilities"]
    by_two = replace(model.predictor, rows=2)
    answers = by_two.predict(pictures, ["probabilities"])["probabilities"]
    np.testing.assert_allclose(answers, whole, rtol=1e-5)
    with pytest.raises(InvalidRequestError, match="image: 9 pictures, and at most 2 are allowed"):
        replace(by_two, is_divisible=False).predict(pictures, ["probabilities"])


def test_classes_name_the_columns(registry: Registry) -> None:
    model = pushed(registry, mean_colours(), sdk.Image(size=SIDE), classes=COLOURS)
    (spec,) = model.signature.outputs
    assert spec.classes == ("red", "green", "blue")
    answers = model.predict([Pictures.new("RGB", (50, 40), colour) for colour in COLOURS])
    assert answers["probabilities"].argmax(axis=1).tolist() == [0, 1, 2]


# How it is proven


def test_ties_of_rounding_do_not_refuse_a_picture(registry: Registry) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (640, 640, 3), np.uint8)
    model = pushed(registry, network(("n", 3, 384, 384)), sdk.Image(size=384), [noise])
    assert model.predict([noise])["probabilities"].shape == (1, 3)


def test_a_picture_that_is_resized_otherwise_is_not_published(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two_steps_off(*arguments: Any) -> NDArray[Any]:
        return prepared(*arguments) + np.float32(2 / 255)

    prepared = image_reference.prepared
    monkeypatch.setattr("shearling.converters.image.prepared", two_steps_off)
    with pytest.raises(FormatError, match=r"example\[0\]: ONNX Runtime resizes the picture"):
        pushed(registry, network(), sdk.Image(size=SIDE))
    assert registry.models() == []


def test_a_network_with_a_random_operator_is_refused(registry: Registry) -> None:
    model = echo(("n", 3, SIDE, SIDE))
    model.graph.node[0].op_type = "Bernoulli"
    with pytest.raises(FormatError, match="Bernoulli"):
        pushed(registry, model, sdk.Image(size=SIDE))


# Refusals


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"size": 0}, "size 0 is not a whole number from 1 to 4,096"),
        ({"size": 5000}, "size 5000 is not a whole number"),
        ({"size": "224"}, "size '224' is not"),
        ({"size": 2.5}, "size 2.5 is not"),
        ({"size": True}, "size True is not"),
        ({"size": (1, 2, 3)}, r"size \(1, 2, 3\) is not a number of pixels, or height and width"),
        ({"size": 8, "crop": "centre"}, "crop 'centre' is not one of 'center', None"),
        ({"size": 8, "resize": 9}, "resize goes with a crop"),
        ({"size": 8, "crop": "center", "resize": 7}, "resize 7 is smaller than size 8"),
        ({"size": 8, "mean": (1, 2)}, r"mean \(1, 2\) is not a finite number, or 3 for"),
        ({"size": 8, "mean": "0.5"}, "mean '0.5' is not"),
        ({"size": 8, "std": 0}, "std 0 is not a number other than 0"),
        ({"size": 8, "std": float("nan")}, "std nan is not"),
        ({"size": 8, "scale": 0}, "scale 0 is not"),
        ({"size": 8, "layout": "CHW"}, "layout 'CHW' is not one of 'NCHW', 'NHWC'"),
        ({"size": 8, "channels": "rgb"}, "channels 'rgb' is not one of 'RGB', 'BGR', 'L'"),
        ({"size": 8, "channels": "L", "mean": (1, 2)}, r"mean \(1, 2\) is not .* or 1 for"),
        ({"size": 8, "interpolation": "nearest"}, "interpolation 'nearest' is not one of"),
        ({"size": 8, "max_pixels": 10**9}, "max_pixels 1000000000 is not a whole number"),
    ],
)
def test_a_setting_that_is_not_allowed_is_refused_by_name(
    settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"^image: {reason}"):
        sdk.Image(**settings)


@pytest.mark.parametrize(
    ("model", "image", "reason"),
    [
        (network(), sdk.Image(size=16), r"shape \[-1, 3, 16, 16\], and the network takes X FP32"),
        (network(), sdk.Image(size=SIDE, layout="NHWC"), "change layout='NCHW' of sdk.Image"),
        (network(), sdk.Image(size=SIDE, channels="L"), r"shape \[-1, 1, 32, 32\]"),
        (
            network((4, 3, SIDE, SIDE)),
            sdk.Image(size=SIDE),
            r"the network takes X FP32\[4, 3, 32, 32\]",
        ),
        (
            network(datatype=TensorProto.UINT8),
            sdk.Image(size=SIDE, std=0.5),
            "leave scale, mean and std out",
        ),
        (network(datatype=TensorProto.INT64), sdk.Image(size=SIDE), "pictures become FP16, FP32"),
        (network(), {"size": 32}, r"as in sdk.Image\(size=224, crop='center'\)"),
        (Path("missing.onnx"), sdk.Image(size=SIDE), "file missing.onnx does not exist"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(
    registry: Registry, model: Any, image: Any, reason: str
) -> None:
    with pytest.raises(ShearlingError, match=reason):
        pushed(registry, model, image)


def test_an_estimator_that_takes_no_pictures_is_refused(registry: Registry) -> None:
    rows, labels = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(rows, labels)
    with pytest.raises(ShearlingError):
        pushed(registry, model, sdk.Image(size=SIDE))


def test_an_output_without_a_row_for_each_picture_is_refused(registry: Registry) -> None:
    model = echo(("n", 3, SIDE, SIDE))
    model.graph.node[0].CopyFrom(onnx.helper.make_node("ReduceMax", ["X"], ["tensor"]))
    with pytest.raises(FormatError, match="has no row for each picture"):
        pushed(registry, model, sdk.Image(size=SIDE))


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        ([], "example has no pictures"),
        (["missing.jpg"], r"example\[0\]: file 'missing.jpg' cannot be read: No such file"),
        ([drawn(), b"GIF89a"], r"example\[1\]: not a JPEG, PNG or WebP picture"),
        ([np.zeros((4, 4, 3))], r"example\[0\]: an array of float64 of shape \[4, 4, 3\]"),
        ([np.zeros((4, 4, 2), np.uint8)], r"of shape \[4, 4, 2\]: pixels are uint8"),
        ([None], r"example\[0\]: null is not a path"),
        (5, "example: 5 is not a path"),
    ],
)
def test_an_example_that_is_no_picture_is_refused(
    registry: Registry, example: Any, reason: str
) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        pushed(registry, network(), sdk.Image(size=SIDE), example)


def test_pickles_and_contracts_of_endpoints_take_no_settings_of_pictures(
    registry: Registry,
) -> None:
    with pytest.raises(FormatError, match="image applies to ONNX only"):
        pushed(registry, len, sdk.Image(size=SIDE), format="cloudpickle")
    with pytest.raises(FormatError, match=r"do not apply to sdk.Remote"):
        pushed(registry, sdk.Remote([1.0]), sdk.Image(size=SIDE))


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (["a", "b"], "2 names, and no outputs have as many columns"),
        ("abc", "'abc' is not a list of names"),
        (["a", "a", "b"], "do not name the columns of output probabilities"),
        ({"scores": COLOURS}, "'scores' is not an output of the model; it gives probabilities"),
        ({"probabilities": ["a"]}, "do not name the columns of output probabilities"),
    ],
)
def test_classes_that_do_not_fit_are_refused(registry: Registry, classes: Any, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        pushed(registry, network(), sdk.Image(size=SIDE), classes=classes)


# Any picture


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Any]:
    """The steps of some settings, opened once."""
    from shearling.converters.image import _Steps
    from shearling.tensors.spec import TensorSpec

    made: dict[Any, Any] = {}
    for crop in ("center", None):
        for method in ("bilinear", "bicubic"):
            image = sdk.Image(size=(20, 24), crop=crop, interpolation=method)
            taken = TensorSpec(name="X", datatype="FP32", shape=(-1, *image.shape()))
            made[crop, method] = _Steps.write(image, taken, tmp_path_factory.mktemp("graph"))
    return made


@settings(max_examples=attack(60))
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 99))
def test_pictures_of_any_proportions_are_what_pillow_makes_of_them(
    steps: dict[Any, Any], width: int, height: int, seed: int
) -> None:
    if max(width, height) > 50 * min(width, height):
        return
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    picture = np.empty(1, object)
    picture[0] = file_of(noise)
    for each in steps.values():
        assert each.proven(picture, "picture").shape == (1, 3, 20, 24)  # raises if they differ
