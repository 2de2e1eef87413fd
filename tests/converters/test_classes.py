"""A classifier's classes name the columns of its outputs, in the original's own type."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from openapi_spec_validator import validate
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shearling.cli import main
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from shearling_runtime.events.dispatch import respond
from shearling_runtime.serving.model_server import ModelServer
from tests.runtime.test_runtime import Call, http, settings_of

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.tensors.spec import Classes

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
IS_HIGH, IS_WIDE = X[:, 0] > 0, X[:, 1] > 0
THREE = np.where(IS_HIGH, "a", np.where(IS_WIDE, "b", "c"))


@pytest.fixture
def registry() -> Registry:
    return Registry(f"memory://{uuid.uuid4().hex}")


def classes_of(model: Any, registry: Registry) -> Classes | None:
    push_model(model, "fraud", example=X[:10], registry=registry)
    return registry.manifest("fraud").signature.classes.get("probabilities")


@pytest.mark.parametrize(
    ("model", "target", "classes"),
    [
        (LogisticRegression(), np.where(IS_HIGH, "stays", "leaves"), ("leaves", "stays")),
        (LogisticRegression(), IS_HIGH, (False, True)),
        (LogisticRegression(), np.where(IS_HIGH, 7, 3), (3, 7)),
        (LogisticRegression(), np.where(IS_HIGH, 1.0, 0.0), (0.0, 1.0)),
        (make_pipeline(StandardScaler(), LogisticRegression()), THREE, ("a", "b", "c")),
        (GridSearchCV(LogisticRegression(), {"C": [1, 2]}), THREE, ("a", "b", "c")),
        (KNeighborsClassifier(), np.c_[IS_HIGH, IS_WIDE].astype(int), ((0, 1), (0, 1))),
        (
            OneVsRestClassifier(LogisticRegression()),
            np.c_[IS_HIGH, IS_WIDE].astype(int),
            (0, 1),
        ),
        (LinearRegression(), X[:, 0], None),
    ],
    ids=["texts", "truths", "integers", "floats", "pipeline", "search", "targets", "sets", "none"],
)
def test_the_classes_of_the_original_are_in_the_contract(
    model: Any, target: Any, classes: Classes | None, registry: Registry
) -> None:
    found = classes_of(model.fit(X, target), registry)
    assert found == classes
    assert repr(found) == repr(classes)  # 0, False and 0.0 are equal


def infer(server: ModelServer, body: object, **headers: str) -> dict[str, Any]:
    event = http("/v2/models/fraud/infer", "POST", json.dumps(body))
    answer: dict[str, Any] = respond(
        event | {"headers": event["headers"] | headers}, Call(), server
    )
    assert answer["statusCode"] == 200
    return answer


def test_every_answer_says_what_its_columns_mean(registry: Registry, tmp_path: Path) -> None:
    model = RandomForestClassifier(5, random_state=0).fit(X, IS_HIGH)
    pin = push_model(model, "fraud", example=X[:10], registry=registry).pin
    server = ModelServer(settings_of(registry, pin, tmp_path))
    (shares,) = model.predict_proba(X[:1]).tolist()

    (metadata,) = (each for each in server.metadata()["outputs"] if each["shape"] == [-1, 2])
    assert json.dumps(metadata["parameters"]["classes"]) == "[false, true]"

    rows = {"instances": X[:1].tolist(), "parameters": {"classes": True}}
    (prediction,) = json.loads(infer(server, rows)["body"])["predictions"]
    assert prediction == {
        "label": bool(model.predict(X[:1])[0]),
        "probabilities": pytest.approx({"false": shares[0], "true": shares[1]}),
    }
    assert type(prediction["label"]) is bool

    table = infer(server, {"instances": X[:1].tolist()}, accept="text/csv")["body"]
    assert table.splitlines()[0] == "label,probabilities[false],probabilities[true]"

    document = server.openapi()
    validate(document)
    schemas = document["components"]["schemas"]
    predictions = schemas["PlainAnswer"]["properties"]["predictions"]
    assert "probabilities" in predictions["description"]
    assert '"required": ["false", "true"]' in json.dumps(schemas)


def test_classes_are_shown_with_the_version(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    push_model(LogisticRegression().fit(X, THREE), "fraud", example=X[:10], registry=registry)
    assert main(["show", "fraud", "--registry", registry.store.uri]) == 0
    assert "classes    probabilities: a, b, c" in capsys.readouterr().out
