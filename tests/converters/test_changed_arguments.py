"""A model that changes its argument in place is served, and changes no rows but its own."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

from shearling.models.push import push_model
from shearling.registry.registry import Registry
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from tests.runtime.test_runtime import Call, document, http, settings_of
from tests.support.datasets import BINARY, FRAME, X, load_pinned

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = FRAME[["amount", "count"]]
TENSORS = {"a": X[:, 0], "b": X[:, 1]}


def filling(rows: Any) -> Any:
    rows[rows < 0] = 0
    return rows[:, 0]


def subtracting(rows: Any) -> Any:
    rows -= 1
    return rows


def sorting(rows: Any) -> Any:
    rows.sort()
    return rows[:, 0]


def changing_a_frame(frame: Any) -> Any:
    frame["amount"] -= 1
    frame["new"] = frame["amount"] * 2
    return frame["new"].to_numpy()


def changing_a_dict(tensors: Any) -> Any:
    tensors["a"] -= 1
    return tensors.pop("a")


class Probable:
    def predict(self, rows: Any) -> Any:
        rows -= 1
        return (rows[:, 0] > 0).astype(int)

    def predict_proba(self, rows: Any) -> Any:
        rows -= 1
        return rows[:, :2]


class Buffered:
    """Returns the same array for each call."""

    def __init__(self) -> None:
        self.answers = np.zeros(len(X))

    def predict(self, rows: Any) -> Any:
        answers = self.answers[: len(rows)]
        answers[:] = rows[:, 0]
        return answers


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (filling, X),
        (subtracting, X),
        (sorting, X),
        (Probable(), X),
        (changing_a_frame, NUMBERS),
        (changing_a_dict, TENSORS),
    ],
)
def test_a_pickle_that_changes_its_argument_is_served(
    tmp_path: Path, model: Any, example: Any
) -> None:
    registry, given = Registry(f"memory://{uuid.uuid4().hex}"), copied(example)
    version = push_model(
        model, "fraud", example=given, format="cloudpickle", requirements=[], registry=registry
    )
    assert_same(given, example)
    expected = getattr(model, "predict", model)(copied(example))
    loaded = load_pinned(version, registry)
    answers = next(iter(loaded.predict(given).values()))
    np.testing.assert_allclose(answers, expected, rtol=1e-6)
    assert_same(given, example)
    server = ModelServer(replace(settings_of(registry, version.pin, tmp_path), allow_pickle=True))
    assert server.problem() == ""
    body = json.dumps({"instances": [instance(example)]})
    for _ in range(2):
        answer = respond(http("/v2/models/fraud/infer", "POST", body), Call(), server)
        assert answer["statusCode"] == 200, document(answer)


def test_probabilities_are_of_the_rows_that_were_asked_about(registry: Registry) -> None:
    version = push_model(
        Probable(), "fraud", example=X, format="cloudpickle", requirements=[], registry=registry
    )
    answers = load_pinned(version, registry).predict(X)
    np.testing.assert_allclose(answers["probabilities"], X[:, :2] - 1, rtol=1e-6)


def test_a_later_answer_does_not_change_an_earlier_one(registry: Registry) -> None:
    version = push_model(
        Buffered(), "fraud", example=X, format="cloudpickle", requirements=[], registry=registry
    )
    loaded = load_pinned(version, registry)
    first = loaded.predict(X)["output"]
    loaded.predict(X + 1)
    np.testing.assert_array_equal(first, X[:, 0])


@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame])
@pytest.mark.parametrize(
    "step",
    [
        StandardScaler(copy=False),
        MinMaxScaler(copy=False),
        MaxAbsScaler(copy=False),
    ],
    ids=str,
)
def test_a_step_without_copies_leaves_the_example_as_it_is(
    registry: Registry, step: Any, form: Any
) -> None:
    rows = X * 3 + 1
    model = make_pipeline(step, LogisticRegression()).fit(rows.copy(), BINARY)
    example = form(rows.copy())
    push_model(model, "fraud", example=example, registry=registry)
    np.testing.assert_array_equal(np.asarray(example), rows)


def copied(example: Any) -> Any:
    if isinstance(example, dict):
        return {name: array.copy() for name, array in example.items()}
    return example.copy()


def assert_same(given: Any, example: Any) -> None:
    for one, other in zip(columns(given), columns(example), strict=True):
        np.testing.assert_array_equal(one, other)


def columns(example: Any) -> list[Any]:
    if isinstance(example, np.ndarray):
        return [example]
    return [example[name] for name in example]


def instance(example: Any) -> Any:
    if isinstance(example, np.ndarray):
        return example[0].tolist()
    return {name: np.asarray(example[name])[0].item() for name in example}
