"""Train a classifier in a SageMaker training job, and push it to the registry.

The channel `train` holds CSV files with a header; the last column is the label.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

import shearling as sdk

# SageMaker's training toolkit sets these variables.
hyperparameters = json.loads(os.environ["SM_HPS"])
files = sorted(Path(os.environ["SM_CHANNEL_TRAIN"]).glob("*.csv"))

table = np.concatenate([np.loadtxt(file, delimiter=",", skiprows=1) for file in files])
rows, labels = table[:, :-1].astype(np.float32), table[:, -1].astype(np.int64)
train_rows, test_rows, train_labels, test_labels = train_test_split(rows, labels, random_state=0)

model = RandomForestClassifier(
    n_estimators=int(hyperparameters.get("n_estimators", 100)),
    max_depth=int(hyperparameters.get("max_depth", 8)),
    random_state=0,
).fit(train_rows, train_labels)
accuracy = model.score(test_rows, test_labels)
print(f"accuracy={accuracy:.4f};")  # the metric definition of the job reads this line

# SHEARLING_REGISTRY is in the job's environment. The record of the version names this job.
version = sdk.push_model(
    model, os.environ["MODEL_NAME"], example=test_rows[:100], metadata={"accuracy": accuracy}
)
print(f"pushed {version}")
