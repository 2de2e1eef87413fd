"""Data sets, models and graphs for tests of push."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shearling.bundle.digests import digest_of
from shearling.models.load import LoadedModel, load_model
from shearling.models.push import push_model
from shearling.registry.registry import Registry
from shearling.storage.blobs import blob_key
from tests.support.bundles import ROWS

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.bundle.manifest import Manifest
    from shearling.models.model_version import ModelVersion


RANDOM = np.random.default_rng(7)


X = RANDOM.normal(size=(60, 4)).astype(np.float32)


BINARY = (X[:, 0] > 0).astype(int)


TWO_LABELS = np.stack([BINARY, (X[:, 1] > 0).astype(int)], axis=1)


WORDS = np.array(["no", "yes"], object)[BINARY]


FRAME = pd.DataFrame(
    {"amount": X[:, 0].astype(np.float64), "count": np.arange(60), "country": WORDS}
)


def classifier(model: Any, labels: Any = BINARY) -> Any:
    return model.fit(X, labels)


def mixed_pipeline() -> Any:
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["amount", "count"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["country"]),
        ]
    )
    return Pipeline([("columns", columns), ("model", LogisticRegression())]).fit(FRAME, WORDS)


def blob_graph(manifest: Manifest, cache: Path) -> onnx.ModelProto:
    path = cache / "shearling" / "blobs" / "sha256" / manifest.file(manifest.entry).hex
    return onnx.load(str(path), load_external_data=False)


def rewrite(registry: Registry, version: ModelVersion, old: bytes, new: bytes) -> str:
    """Commit a changed copy of a version's manifest, and return its pin."""
    data = registry.store.read(blob_key(version.digest.removeprefix("sha256:")))
    assert data is not None
    assert old in data
    return commit(registry, version.model, data.replace(old, new))


def echo_graph(*shape: int | str) -> onnx.ModelProto:
    """Return a graph whose output is its input."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["X"], ["Y"])],
        "echo",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def pushed_pickle(registry: Registry) -> ModelVersion:
    return push_model(
        lambda rows: rows, "echo", example=ROWS, format="cloudpickle", registry=registry
    )


def load_pinned(version: ModelVersion, registry: Registry) -> LoadedModel:
    return load_model(str(version.pin), allow_pickle=True, registry=registry)


def served(model: Any, example: Any) -> LoadedModel:
    """Push a model to a registry of its own, and load it."""
    registry = Registry(f"memory://{uuid.uuid4().hex}")
    push_model(model, "served", example=example, registry=registry)
    return load_model("served", registry=registry)


def commit(registry: Registry, model: str, manifest: bytes) -> str:
    digest = digest_of(manifest)
    registry.store.write(blob_key(digest.removeprefix("sha256:")), manifest)
    number, _ = registry.version_log(model).commit(digest, {})
    return f"{model}:{number}@{digest}"
