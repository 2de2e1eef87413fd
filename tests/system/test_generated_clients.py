"""Clients that generators make from a model's OpenAPI document call the model."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from shearling.models.push import push_model
from tests.support.client_generators import python_client, typescript_answer, why_no_typescript
from tests.support.http_server import http_api
from tests.support.lambda_server import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

FRAME = pd.DataFrame({"age": [31.0, 22.0, 57.0, 40.0] * 5, "country": ["de", "fr", "de", "us"] * 5})
LABELS = ["leaves", "stays", "leaves", "stays"] * 5

PYTHON = """
import json, sys
from churn_client import Client
from churn_client.api.default import infer, metadata
from churn_client.models import Instance, PlainAnswer, PlainRequest, Prediction

client = Client(base_url=sys.argv[1])
assert metadata.sync(client=client).name == "churn"
rows = [Instance(age=31.0, country="de"), Instance(age=22.0, country="fr")]
answer = infer.sync(client=client, body=PlainRequest(instances=rows))
assert isinstance(answer, PlainAnswer), answer
assert all(isinstance(each, Prediction) for each in answer.predictions), answer
print(json.dumps([[each.label, each.probabilities] for each in answer.predictions]))
"""

TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] });
const rows: components["schemas"]["Instance"][] = [
  { age: 31, country: "de" }, { age: 22, country: "fr" },
];
const { data, error } = await client.POST("/v2/models/churn/infer", { body: { instances: rows } });
if (!data || typeof data === "string" || !("predictions" in data)) {
  throw new Error(JSON.stringify(error ?? data));
}
const named = data.predictions as components["schemas"]["Prediction"][];
console.log(JSON.stringify(named.map((each) => [each.label, each.probabilities])));
"""


@pytest.fixture(scope="module")
def model() -> LogisticRegression:
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["country"]), remainder="passthrough"
    )
    return make_pipeline(encoder, LogisticRegression()).fit(FRAME, LABELS)


@pytest.fixture(scope="module")
def url(model: LogisticRegression, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("churn")
    registry = str(directory / "registry")
    pushed = push_model(model, "churn", example=FRAME, registry=registry)
    with http_api(served(registry, str(pushed.pin), directory / "scratch")) as api:
        yield api


@pytest.fixture
def document(url: str, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    with urllib.request.urlopen(f"{url}/v2/models/churn/openapi.json", timeout=10) as answer:
        path.write_bytes(answer.read())
    return path


def check(printed: str, model: LogisticRegression) -> None:
    """Compare what a client printed with the local model's answers to the first two rows."""
    labels, probabilities = zip(*json.loads(printed), strict=True)
    assert list(labels) == model.predict(FRAME[:2]).tolist()
    np.testing.assert_allclose(probabilities, model.predict_proba(FRAME[:2]), atol=1e-5)


def test_a_python_client_calls_the_model(
    url: str, document: Path, model: LogisticRegression, tmp_path: Path
) -> None:
    python = python_client(document, tmp_path / "churn_client")
    command = [str(python), "-c", PYTHON, url]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    check(done.stdout, model)


@pytest.mark.skipif(bool(why_no_typescript()), reason=why_no_typescript() or "Node.js is here")
def test_a_typescript_client_calls_the_model(
    url: str, document: Path, model: LogisticRegression, tmp_path: Path
) -> None:
    check(typescript_answer(document, TYPESCRIPT, tmp_path, url), model)
