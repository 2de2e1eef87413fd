"""Fitted transformers are pushed like models, and their columns keep the names of the features."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shearling.models.load import load_model
from shearling.models.push import push_model
from shearling.protocol.csv_rows import columns_of, parse_csv
from shearling.registry.registry import Registry

RANDOM = np.random.default_rng(0)
NUMBERS = pd.DataFrame(RANDOM.normal(size=(60, 2)).astype(np.float32), columns=["amount", "age"])
TABLE = NUMBERS.assign(country=RANDOM.choice(["de", "fr"], 60))


def column_transformer(**options: Any) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("number", StandardScaler(), ["amount", "age"]),
            ("is", OneHotEncoder(handle_unknown="ignore"), ["country"]),
        ],
        **options,
    )


def header(registry: Registry, name: str, rows: Any) -> list[str]:
    """Return the column names of the CSV that a model answers."""
    outputs = load_model(name, registry=registry).predict(rows)
    classes = registry.manifest(name).signature.classes
    return [column for column, _ in columns_of(outputs, classes=classes)]


@pytest.fixture
def registry() -> Registry:
    return Registry(f"memory://{uuid.uuid4().hex}")


@pytest.mark.parametrize(
    ("transformer", "table"),
    [
        (column_transformer(), TABLE),
        (column_transformer(verbose_feature_names_out=False), TABLE),
        (FeatureUnion([("scaled", StandardScaler()), ("main", PCA(1))]), NUMBERS),
        (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        (make_pipeline(column_transformer(), PCA(2)), TABLE),
    ],
    ids=["columns", "plain names", "union", "pipeline", "pipeline of columns"],
)
def test_a_transformer_answers_features_under_their_names(
    registry: Registry, transformer: Any, table: pd.DataFrame
) -> None:
    transformer.fit(table)
    push_model(transformer, "prepare", example=table.head(8), registry=registry)
    answer = load_model("prepare", registry=registry).predict(table)
    expected = transformer.transform(table)
    dense = expected.toarray() if hasattr(expected, "toarray") else expected
    np.testing.assert_allclose(answer["output"], dense, rtol=1e-4, atol=1e-5)
    assert header(registry, "prepare", table) == list(transformer.get_feature_names_out())


def test_a_transformer_of_arrays_has_columns_by_number(registry: Registry) -> None:
    rows = NUMBERS.to_numpy()
    push_model(StandardScaler().fit(rows), "prepare", example=rows[:8], registry=registry)
    assert header(registry, "prepare", rows) == ["output[0]", "output[1]"]


def test_the_next_model_takes_the_columns_by_name_in_any_order(registry: Registry) -> None:
    prepare = column_transformer().fit(TABLE)
    push_model(prepare, "prepare", example=TABLE.head(8), registry=registry)
    names = header(registry, "prepare", TABLE)
    features = pd.DataFrame(prepare.transform(TABLE).astype(np.float32), columns=names)
    model = LogisticRegression().fit(features, TABLE["amount"] > 0)
    push_model(model, "score", example=features.head(8), registry=registry)

    manifest = registry.manifest("score")
    text = f"{','.join(reversed(names))}\r\n4,3,2,1\r\n"
    request = parse_csv(text, manifest.signature, manifest.options["columns"])

    assert request.inputs["X"].tolist() == [[1, 2, 3, 4]]
