"""A request without rows gets an empty answer of the right shapes, from any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier

from shearling.client.connect import connect
from shearling.models.load import load_model
from shearling.models.push import push_model
from tests.support.datasets import BINARY, TWO_LABELS, X
from tests.support.lambda_server import LocalLambda, served

if TYPE_CHECKING:
    from pathlib import Path

TARGET = "acme-fraud:prod"


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier().fit(X, BINARY),
        KNeighborsRegressor().fit(X, X[:, 0]),
        GaussianNB().fit(X, BINARY),
        MLPClassifier([4], tol=0.1, random_state=0).fit(X, BINARY),
        KNeighborsClassifier().fit(X, TWO_LABELS),
        LinearRegression().fit(X, X[:, :2]),
    ],
    ids=["neighbours", "neighbours-regressor", "bayes", "network", "two-labels", "two-targets"],
)
def test_no_rows_give_empty_outputs(tmp_path: Path, model: Any) -> None:
    registry = str(tmp_path / "registry")
    version = push_model(model, "fraud", example=X, registry=registry)
    function = served(registry, str(version.pin), tmp_path / "scratch")
    deployed = connect(TARGET, client=LocalLambda({TARGET: function}).client)
    some = deployed.infer(X[:3])
    for answers in (deployed.infer(X[:0]), load_model("fraud", registry=registry).predict(X[:0])):
        assert {name: array.shape for name, array in answers.items()} == {
            name: (0, *array.shape[1:]) for name, array in some.items()
        }
        assert {name: array.dtype for name, array in answers.items()} == {
            name: array.dtype for name, array in some.items()
        }
