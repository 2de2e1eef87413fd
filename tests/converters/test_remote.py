"""The contract of an endpoint's model: what is pushed, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import shearling as sdk
from shearling.errors import FormatError, InvalidRequestError

if TYPE_CHECKING:
    from shearling.registry.registry import Registry

ROWS = np.arange(24, dtype=np.float32).reshape(12, 2)


def test_only_signature_and_example_are_pushed(registry: Registry) -> None:
    version = sdk.push_model(
        sdk.Remote({"score": ROWS[:, 0], "both": ROWS}), "legacy", example=ROWS, registry=registry
    )
    manifest = registry.manifest(version.pin)
    assert manifest.format == version.format == "remote"
    assert [file.path for file in manifest.files] == ["example.tensors"]
    assert [str(spec) for spec in manifest.signature.inputs] == ["X FP32[-1, 2]"]
    assert [str(spec) for spec in manifest.signature.outputs] == [
        "score FP32[-1]",
        "both FP32[-1, 2]",
    ]


def test_the_same_contract_is_the_same_version(registry: Registry) -> None:
    first, again = (
        sdk.push_model(sdk.Remote(ROWS), "legacy", example=ROWS, registry=registry)
        for _ in range(2)
    )
    assert (again.pin, again.is_new) == (first.pin, False)


@pytest.mark.parametrize(
    ("example", "inputs"),
    [
        ({"a": ROWS, "b": ROWS[:, 0]}, ["a FP32[-1, 2]", "b FP32[-1]"]),
        (pd.DataFrame(ROWS, columns=["age", "height"]), ["X FP32[-1, 2]"]),
        (
            pd.DataFrame({"age": range(12), "job": ["x"] * 12}),
            ["age INT64[-1, 1]", "job BYTES[-1, 1]"],
        ),
    ],
)
def test_inputs_are_those_of_the_example(
    registry: Registry, example: Any, inputs: list[str]
) -> None:
    version = sdk.push_model(sdk.Remote(ROWS), "legacy", example=example, registry=registry)
    manifest = registry.manifest(version.pin)
    assert [str(spec) for spec in manifest.signature.inputs] == inputs
    assert manifest.signature.output_names == ("output",)


@pytest.mark.parametrize(
    ("model", "options", "kind", "message"),
    [
        (sdk.Remote(ROWS[:5]), {}, InvalidRequestError, "shape \\[5, 2\\], but the example has 12"),
        (sdk.Remote({}), {}, InvalidRequestError, "answers: there are none"),
        (sdk.Remote(np.float32(1)), {}, InvalidRequestError, "output 'output' has shape"),
        (sdk.Remote([[1], [1, 2]]), {}, InvalidRequestError, "answers: the rows have different"),
        (sdk.Remote([object()] * 12), {}, FormatError, "answers 'output' has type object"),
        (sdk.Remote(ROWS, body="xml"), {}, FormatError, "body 'xml': expected one of 'json'"),  # type: ignore[arg-type]
        (
            sdk.Remote({"a": ROWS, "b": ROWS}, body="csv"),
            {},
            FormatError,
            "one input and one output of numbers",
        ),
        (sdk.Remote(["a"] * 12, body="csv"), {}, FormatError, "of numbers"),
        (sdk.Remote(ROWS.astype(np.float16)), {}, FormatError, "cannot carry 16-bit floats"),
        (
            sdk.Remote(np.full(12, np.inf)),
            {},
            FormatError,
            "cannot carry infinite values: use 'binary'",
        ),
        (sdk.Remote(ROWS), {"format": "onnx"}, FormatError, "do not apply to sdk.Remote"),
        (sdk.Remote(ROWS), {"load": "latency"}, FormatError, "do not apply to sdk.Remote"),
    ],
)
def test_what_is_no_contract_is_refused(
    registry: Registry,
    model: sdk.Remote,
    options: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        sdk.push_model(model, "legacy", example=ROWS, registry=registry, **options)
    assert registry.models() == []


def test_an_example_without_inputs_is_refused(registry: Registry) -> None:
    with pytest.raises(InvalidRequestError, match="example has no inputs"):
        sdk.push_model(sdk.Remote(ROWS), "legacy", example={}, registry=registry)


def test_a_contract_cannot_be_loaded_here(registry: Registry) -> None:
    sdk.push_model(sdk.Remote(ROWS), "legacy", example=ROWS, registry=registry)
    with pytest.raises(FormatError, match="only the contract of a model that an endpoint serves"):
        sdk.load_model("legacy", registry=registry)


def test_a_change_of_the_contract_is_shown(registry: Registry) -> None:
    for answers in ({"score": ROWS}, {"probability": ROWS}):
        sdk.push_model(sdk.Remote(answers), "legacy", example=ROWS, registry=registry)
    assert sdk.diff("legacy:1", "legacy:2", registry=registry).breaking
