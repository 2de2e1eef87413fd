"""Folders as MLflow 3 writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

RUN, MODEL = "9d23e2a864274a6ab3d6a674703fa1c4", "m-0dcae7683e974310a717c39b8319f8dd"

_PYFUNC = {"env": {"conda": "conda.yaml"}, "loader_module": "mlflow.x", "python_version": "3.13.1"}


def mlflow_folder(tracking: Path, flavors: dict[str, Any], **fields: Any) -> Path:
    """Write the folder of a model, with the metrics of its run, and return it.

    Args:
        tracking: the folder of an experiment.
        flavors: the flavours besides `python_function`.
        fields: further fields of `MLmodel`; None leaves a field out.
    """
    folder = tracking / "models" / MODEL / "artifacts"
    folder.mkdir(parents=True)
    document = {
        "artifact_path": folder.as_uri(),
        "flavors": {"python_function": _PYFUNC, **flavors},
        "mlflow_version": "3.17.2",
        "model_id": MODEL,
        "model_uuid": MODEL,
        "run_id": RUN,
        "utc_time_created": "2026-11-27 17:13:30.532928",
    } | fields
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    metrics = tracking / RUN / "metrics"
    (metrics / "val").mkdir(parents=True)
    (metrics / "auc").write_text("1795799649111 0.91 0\n1795799649112 0.93 1\n")
    (metrics / "val" / "loss").write_text("1795799649112 0.1 0\n")
    return folder


def logged_array(folder: Path, rows: NDArray[np.generic]) -> None:
    """Log an array as the input example."""
    spec = {"dtype": rows.dtype.name, "shape": [-1, *rows.shape[1:]]}
    _log(folder, "ndarray", rows.tolist(), [{"type": "tensor", "tensor-spec": spec}])


def logged_frame(folder: Path, rows: pd.DataFrame) -> None:
    """Log a DataFrame as the input example."""
    types = {"float64": "double", "float32": "float", "int64": "long"}
    columns = [
        {"type": types.get(str(kind), "string"), "name": name, "required": True}
        for name, kind in rows.dtypes.items()
    ]
    content = {"columns": list(rows.columns), "data": rows.to_numpy().tolist()}
    _log(folder, "dataframe", content, columns, pandas_orient="split")


def _log(folder: Path, kind: str, content: Any, inputs: list[Any], **more: str) -> None:
    (folder / "input_example.json").write_text(json.dumps(content))
    change(
        folder,
        saved_input_example_info={"artifact_path": "input_example.json", "type": kind, **more},
        signature={"inputs": json.dumps(inputs), "outputs": None, "params": None},
    )


def change(folder: Path, **fields: Any) -> None:
    """Change fields of `MLmodel`."""
    document = yaml.safe_load((folder / "MLmodel").read_text())
    (folder / "MLmodel").write_text(yaml.safe_dump(document | fields))
