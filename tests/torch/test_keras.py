"""Keras models on the backend PyTorch, pushed as ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

import shearling as sdk
from shearling.errors import FormatError, InvalidRequestError
from tests.torch.modules import IDS, STEPS, X, inputs_of, outputs_of, pushed

if TYPE_CHECKING:
    from shearling.registry.registry import Registry

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras's own

PICTURES = np.random.default_rng(1).normal(size=(8, 8, 8, 1)).astype(np.float32)


def perceptron() -> Any:
    return keras.Sequential(
        [layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(3)]
    )


def two_inputs(*, by_key: bool = False, are_named: bool = True) -> Any:
    """A functional model of two inputs and two outputs."""
    age, income = keras.Input((4,), name="age"), keras.Input((2,), name="income")
    both = layers.Concatenate()([age, income])
    names = ("risk", "price") if are_named else (None, None)
    outputs = [
        layers.Dense(width, name=name)(both) for width, name in zip((3, 1), names, strict=True)
    ]
    if by_key:
        return keras.Model(
            {"age": age, "income": income}, dict(zip(("r", "p"), outputs, strict=True))
        )
    return keras.Model([age, income], outputs)


class Own(keras.Model):
    """A model with a `call` of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.dropout = layers.Dense(2), layers.Dropout(0.5)

    def call(self, left: Any, right: Any, training: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
        return {"logits": self.dropout(self.dense(left) + right[:, :2], training=training)}


class OfOneDict(keras.Model):
    """A model whose only parameter is a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs["left"]) - self.dense(inputs["right"])


class Branch(keras.Model):
    def call(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


def attention() -> Any:
    steps = keras.Input((6, 4))
    return keras.Model(
        steps, layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(steps, steps))
    )


@pytest.mark.filterwarnings("ignore:if a value of 'input' is missing")  # ONNX Runtime's LSTM
@pytest.mark.parametrize(
    ("make", "rows"),
    [
        (perceptron, X),
        (
            lambda: keras.Sequential(
                [layers.Conv2D(4, 3), layers.AveragePooling2D(2), layers.Flatten()]
            ),
            PICTURES,
        ),
        (
            lambda: keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(10, 4)]),
            IDS,
        ),
        (lambda: keras.Sequential([layers.LSTM(5), layers.Dense(2)]), STEPS),
        (attention, STEPS),
    ],
    ids=["perceptron", "convolutions", "embedding", "LSTM", "attention"],
)
def test_a_model_answers_any_number_of_rows_as_itself(
    make: Any, rows: Any, registry: Registry
) -> None:
    model = make()
    version = pushed(model, rows[:8], registry)
    for count in (1, 2, len(rows)):
        expected = model.predict(rows[:count], verbose=0)
        np.testing.assert_allclose(version.predict(rows[:count])["output"], expected, atol=1e-5)
    assert [spec.name for spec in version.manifest.signature.inputs] == ["input"]


def test_a_fitted_model_keeps_its_state_and_its_training_flags(registry: Registry) -> None:
    model = perceptron()
    model.compile(loss="mse", optimizer="sgd")
    model.fit(X, X[:, :3], verbose=0)
    flags = [part.training for part in model.modules()]
    weights = [weight.copy() for weight in model.get_weights()]
    pushed(model, X, registry)
    assert [part.training for part in model.modules()] == flags
    for before, after in zip(weights, model.get_weights(), strict=True):
        assert np.array_equal(before, after)


def test_pushing_again_gives_the_same_version(registry: Registry) -> None:
    model = perceptron()
    assert pushed(model, X, registry).pin == pushed(model, X.astype(np.float64), registry).pin


@pytest.mark.parametrize(
    "example",
    [(X, X[:, :2]), [X, X[:, :2]], {"income": X[:, :2], "age": X}],
    ids=["tuple", "list", "dict"],
)
def test_a_functional_model_keeps_its_names(example: Any, registry: Registry) -> None:
    version = pushed(two_inputs(), example, registry)
    assert inputs_of(version) == ["age FP32[-1, 4]", "income FP32[-1, 2]"]
    assert outputs_of(version) == ["risk FP32[-1, 3]", "price FP32[-1, 1]"]


def test_a_functional_model_of_dicts_keeps_its_keys(registry: Registry) -> None:
    version = pushed(two_inputs(by_key=True), {"income": X[:, :2], "age": X}, registry)
    assert {spec.name for spec in version.manifest.signature.outputs} == {"r", "p"}


def test_names_that_keras_makes_up_are_not_part_of_the_contract(registry: Registry) -> None:
    version = pushed(two_inputs(are_named=False), (X, X[:, :2]), registry)
    assert outputs_of(version) == ["output_0 FP32[-1, 3]", "output_1 FP32[-1, 1]"]


def test_the_name_of_a_sequential_models_input_is_kept(registry: Registry) -> None:
    model = keras.Sequential([keras.Input((4,), name="size"), layers.Dense(2)])
    assert inputs_of(pushed(model, X, registry)) == ["size FP32[-1, 4]"]


def test_a_model_of_ones_own_is_called_as_it_is_written(registry: Registry) -> None:
    model = Own()
    for example in ((X, X), {"right": X, "left": X}):
        version = pushed(model, example, registry)
        assert {spec.name for spec in version.manifest.signature.inputs} == {"left", "right"}
        assert outputs_of(version) == ["logits FP32[-1, 2]"]
    expected = model(X, X)["logits"].detach()
    np.testing.assert_allclose(
        version.predict({"left": X, "right": X})["logits"], expected, atol=1e-5
    )


def test_a_dict_may_be_the_only_argument(registry: Registry) -> None:
    version = pushed(OfOneDict(), {"left": X, "right": X * 2}, registry)
    assert inputs_of(version) == ["left FP32[-1, 4]", "right FP32[-1, 4]"]


def test_a_table_keeps_the_names_of_its_columns(registry: Registry) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    version = pushed(perceptron(), frame, registry)
    assert version.manifest.options["columns"] == list("abcd")


def test_further_sizes_vary_by_name(registry: Registry) -> None:
    steps = keras.Input((None, 4))
    model = keras.Model(steps, layers.Dense(2)(layers.GlobalAveragePooling1D()(steps)))
    version = pushed(model, STEPS, registry, dynamic={"input": {1: "steps"}})
    assert inputs_of(version) == ["input FP32[-1, -1, 4]"]


@pytest.mark.parametrize(
    ("model", "example", "error", "message"),
    [
        (two_inputs(), X, InvalidRequestError, "has 1 inputs, and the model takes age, income"),
        (two_inputs(), {"age": X}, InvalidRequestError, "has the inputs age, and the model takes"),
        (Branch(), X, FormatError, "Branch decides by the values of a tensor"),
        (attention(), X, FormatError, "the model fails on the example: ValueError"),
        (Own(), X, InvalidRequestError, "example has no 'right', which Own.call needs"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    model: Any, example: Any, error: type[Exception], message: str, registry: Registry
) -> None:
    with pytest.raises(error) as caught:
        sdk.push_model(model, "net", example=example, registry=registry)
    assert message in str(caught.value)
