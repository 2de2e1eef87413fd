"""Push five kinds of models with what is installed here, and compare each answer with the model's.

`python push_five_models.py REGISTRY` runs in an environment with the lowest versions: it imports
nothing of the tests.
"""

from __future__ import annotations

import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from onnx import TensorProto, helper
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import shearling as sdk
from shearling.loopback import Reply, serving

if TYPE_CHECKING:
    import onnx

_RANDOM = np.random.default_rng(7)
_ROWS = _RANDOM.normal(size=(60, 3)).astype(np.float32)
_LABELS = (_ROWS.sum(axis=1) > 0).astype(np.int64)
_FRAME = pd.DataFrame({"amount": _ROWS[:, 0], "country": _RANDOM.choice(["de", "fr", "it"], 60)})


class Doubler:
    """A model that only a pickle can hold."""

    def predict(self, rows: Any) -> Any:
        """Return the rows times two."""
        return rows * 2


def _scikit_learn() -> Any:
    columns = make_column_transformer(
        (StandardScaler(), ["amount"]), (OneHotEncoder(handle_unknown="ignore"), ["country"])
    )
    return make_pipeline(columns, LogisticRegression()).fit(_FRAME, _LABELS)


def _graph() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["X", "factor"], ["Y"])],
        "doubling",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 3])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", 3])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [2.0])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _network() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["X"], ["Y"], axes=[2, 3], keepdims=0)],
        "mean",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", 3, 8, 8])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["rows", 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _check(name: str, model: Any, rows: Any, expected: dict[str, Any], **options: Any) -> None:
    """Push a model, load it again, and compare its answers with those expected of each output."""
    registry = sys.argv[1]
    version = sdk.push_model(model, name, example=rows, registry=registry, **options)
    loaded = sdk.load_model(str(version.pin), allow_pickle="format" in options, registry=registry)
    answers = loaded.predict(rows)
    for output, values in expected.items():
        np.testing.assert_allclose(answers[output], values, rtol=1e-4, atol=1e-5, err_msg=name)
    sys.stdout.write(f"{name}\n")


def _check_local_server() -> None:
    """Ask the server behind `shearling serve`, which has dependencies of its own."""
    with serving(lambda request: Reply(200, {}, request.body), body_limit=10) as port:
        url = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(url, b"abc", timeout=30) as answer:
            assert answer.read() == b"abc"


def main() -> None:
    """Push, load and compare them; the first difference ends this process with an error."""
    _check_local_server()
    pipeline = _scikit_learn()
    _check("scikit-learn", pipeline, _FRAME, {"probabilities": pipeline.predict_proba(_FRAME)})
    trees = LGBMClassifier(n_estimators=10, verbosity=-1).fit(_ROWS, _LABELS)
    _check("lightgbm", trees, _ROWS, {"probabilities": trees.predict_proba(_ROWS)})
    _check("onnx", _graph(), _ROWS, {"Y": _ROWS * 2})
    picture = np.full((16, 24, 3), 51, np.uint8)
    image = sdk.Image(size=8, crop="center")
    _check("image", _network(), picture, {"Y": [[0.2, 0.2, 0.2]]}, image=image)
    _check("cloudpickle", Doubler(), _ROWS, {"output": _ROWS * 2}, format="cloudpickle")


if __name__ == "__main__":
    main()
