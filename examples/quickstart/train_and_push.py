"""Train a classifier on the breast cancer data and push it, as a data scientist would."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import shearling as sdk

Rows = NDArray[np.float32]


def data() -> tuple[Rows, Rows, NDArray[np.int64], NDArray[np.int64]]:
    """Return train rows, test rows, train labels, test labels; rows are [n, 30]."""
    rows, labels = load_breast_cancer(return_X_y=True)
    # The ONNX model computes in 32 bits, so train on 32-bit values too.
    split: Any = train_test_split(rows.astype(np.float32), labels, random_state=0)
    return tuple(split)


def train(kind: str) -> Any:
    """Return a fitted model: "logistic" or "forest"."""
    rows, _, labels, _ = data()
    if kind == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    return RandomForestClassifier(n_estimators=100, random_state=0).fit(rows, labels)


def main() -> None:
    """Train a model, push it, and wait until the alias serves it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["logistic", "forest"], default="logistic")
    parser.add_argument(
        "--alias", default="prod", help="alias to release the model to (default: prod)"
    )
    arguments = parser.parse_args()

    model = train(arguments.kind)
    _, test_rows, _, test_labels = data()
    accuracy = float(model.score(test_rows, test_labels))
    print(f"trained a {arguments.kind} model: {accuracy:.1%} accuracy on the test rows")

    version = sdk.push_model(
        model,
        "cancer",
        example=test_rows,
        alias=arguments.alias,
        wait=True,
        metadata={"trained_on": "breast cancer (scikit-learn)", "accuracy": round(accuracy, 4)},
    )
    print(f"pushed {version}")


if __name__ == "__main__":
    main()
