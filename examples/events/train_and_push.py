"""Fit the preparation of customers and the classifier of what it writes, and push both."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import shearling as sdk

if TYPE_CHECKING:
    from numpy.typing import NDArray


def customers(count: int, seed: int = 0) -> pd.DataFrame:
    """Return customers as a file has them."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": random.normal(100, 25, count).astype(np.float32),
            "age": random.integers(18, 90, count).astype(np.float32),
            "country": random.choice(["de", "fr", "it"], count),
        }
    )


def fit(
    table: pd.DataFrame, regularisation: float = 1.0
) -> tuple[ColumnTransformer, LogisticRegression]:
    """Return the preparation of a table, and a classifier of its features."""
    prepare = ColumnTransformer(
        [
            ("number", StandardScaler(), ["amount", "age"]),
            ("is", OneHotEncoder(sparse_output=False), ["country"]),
        ],
        verbose_feature_names_out=False,
    ).fit(table)
    labels: NDArray[np.bool_] = (table["amount"] * 2 > table["age"] * 4).to_numpy()
    return prepare, LogisticRegression(C=regularisation).fit(features(prepare, table), labels)


def features(prepare: ColumnTransformer, table: pd.DataFrame) -> pd.DataFrame:
    """Return what the preparation makes of a table, under the names that its output has."""
    values = prepare.transform(table).astype(np.float32)
    return pd.DataFrame(values, columns=prepare.get_feature_names_out())


def main() -> None:
    """Fit and push both models, and wait until their functions serve them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--regularisation", type=float, default=1.0)
    arguments = parser.parse_args()

    table = customers(1000)
    prepare, score = fit(table, arguments.regularisation)
    example = table.head(5)
    sdk.push_model(prepare, "prepare", example=example, alias="prod", wait=True)
    sdk.push_model(score, "score", example=features(prepare, example), alias="prod", wait=True)


if __name__ == "__main__":
    main()
