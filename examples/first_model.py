"""Train a classifier of iris flowers and push it to the registry at SHEARLING_REGISTRY."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import shearling as sdk

rows, species = load_iris(return_X_y=True)
rows = rows.astype(np.float32)  # the type that the deployed model computes in
model = LogisticRegression(max_iter=1000).fit(rows, species)

version = sdk.push_model(model, "iris", example=rows)
print(f"pushed {version}")
