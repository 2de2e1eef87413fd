"""Python objects are pickled with the environment that they need."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import cloudpickle
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shearling.models.push import push_model
from tests.support.datasets import FRAME, X, classifier, load_pinned, pushed_pickle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.registry.registry import Registry


def test_a_function_is_pushed_with_the_environment_it_needs(registry: Registry) -> None:
    version = push_model(
        lambda rows: np.asarray(rows).sum(axis=1),
        "total",
        example=X,
        format="cloudpickle",
        registry=registry,
    )
    environment = registry.manifest(version.pin).environment
    assert environment is not None
    assert f"numpy=={np.__version__}" in environment.requirements
    assert f"cloudpickle=={cloudpickle.__version__}" in environment.requirements
    assert not any(each.startswith("shearling") for each in environment.requirements)
    loaded = load_pinned(version, registry)
    np.testing.assert_allclose(loaded.predict(X)["output"], X.sum(axis=1), rtol=1e-6)


def test_a_pickle_that_no_function_can_run_is_published_with_a_warning(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shearling.models.push.OLDEST_ON_AWS", (3, 99))
    with pytest.warns(UserWarning, match=r"a pickle made by Python 3\.\d+ cannot run on AWS"):
        pushed_pickle(registry)
    assert registry.models() == ["echo"]


def test_a_pickle_that_functions_can_run_is_published_without_a_warning(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shearling.models.push.OLDEST_ON_AWS", (3, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pushed_pickle(registry)


def test_an_object_with_predict_answers_by_name(registry: Registry) -> None:
    class Model:
        def predict(self, rows: NDArray[Any]) -> dict[str, Any]:
            return {"double": rows * 2, "kind": ["big" if row[0] > 0 else "small" for row in rows]}

    version = push_model(Model(), "both", example=X, format="cloudpickle", registry=registry)
    loaded = load_pinned(version, registry)
    assert [str(spec) for spec in loaded.signature.outputs] == [
        "double FP32[-1, 4]",
        "kind BYTES[-1]",
    ]
    answers = loaded.predict(X[:3])
    np.testing.assert_array_equal(answers["double"], X[:3] * 2)
    assert set(answers["kind"]) <= {"big", "small"}


def test_a_function_of_a_frame_gets_a_frame(registry: Registry) -> None:
    version = push_model(
        lambda frame: frame["amount"].where(frame["country"] == "yes", 0.0),
        "filter",
        example=FRAME,
        format="cloudpickle",
        registry=registry,
    )
    answer = load_pinned(version, registry).predict(FRAME.iloc[:4])["output"]
    wanted = FRAME["amount"].where(FRAME["country"] == "yes", 0.0)[:4]
    np.testing.assert_array_equal(answer, wanted)


def test_a_pickled_classifier_gives_its_probabilities_too(registry: Registry) -> None:
    model = classifier(LogisticRegression())
    version = push_model(model, "fraud", example=X, format="cloudpickle", registry=registry)
    answers = load_pinned(version, registry).predict(X)
    np.testing.assert_array_equal(answers["label"], model.predict(X))
    np.testing.assert_array_equal(answers["probabilities"], model.predict_proba(X))
    environment = registry.manifest(version.pin).environment
    assert environment is not None
    names = {each.partition("==")[0] for each in environment.requirements}
    assert {"scikit-learn", "scipy", "joblib", "threadpoolctl", "numpy"} <= names
