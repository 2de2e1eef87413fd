"""The input example that a model of MLflow was logged with, in the types of its signature."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError, InvalidRequestError
from shearling.models.mlflow_folder import MLMODEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.models.mlflow_folder import MlflowModel

_ADVICE = "pass example=X"

#: Types of the columns of MLflow's signatures that NumPy names otherwise.
_TYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "object",
}


def example_of(model: MlflowModel) -> Any:
    """Return the input example of a model: an array, a dict of arrays, or a DataFrame.

    Raises:
        InvalidRequestError: there is none, or it is of a kind that requests cannot carry.
        FormatError: its files are missing or invalid, or pandas is not installed.
    """
    where = f"{model.path / MLMODEL}: saved_input_example_info"
    saved = model.fields.get("saved_input_example_info")
    if saved is None:
        raise InvalidRequestError(f"example: the model was logged without one: {_ADVICE}")
    if not isinstance(saved, dict):
        raise FormatError(f"{where}: expected an object; or {_ADVICE}")
    place = model.inside("saved_input_example_info.artifact_path", saved.get("artifact_path"))
    content, kind = model.json(place), saved.get("type")
    types = _types(model)
    try:
        if kind == "dataframe":
            return _frame(content, types)
        if kind in ("ndarray", "json_object"):
            return _arrays(content, types)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise FormatError(f"{place} has no rows ({error!s:.200}): {_ADVICE}") from error
    raise InvalidRequestError(
        f"example: the model was logged with one of type {kind!r:.80}, which is not read: {_ADVICE}"
    )


def _types(model: MlflowModel) -> dict[str, str]:
    """Return the types of the inputs that the model's signature states, by name; '' without one."""
    signature = model.fields.get("signature")
    try:
        inputs = json.loads(signature["inputs"]) if isinstance(signature, dict) else []
        stated = {
            column.get("name") or "": column.get("tensor-spec", column).get("dtype")
            or column["type"]
            for column in inputs
        }
        return {
            name: str(np.dtype(_TYPES.get(kind, kind)))
            for name, kind in stated.items()
            if kind != "str"
        }
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return {}  # a signature that states no type for each input


def _frame(content: Any, types: Mapping[str, str]) -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise FormatError(
            f"reading the input example needs pandas: pip install 'shearling[pandas]', or {_ADVICE}"
        ) from error
    if isinstance(content, list):
        frame = pd.DataFrame(content)
    else:
        frame = pd.DataFrame(content["data"], columns=content.get("columns"))
    # Missing values stay as they are: integers cannot be missing.
    casts = {
        name: kind
        for name, kind in types.items()
        if name in frame and not (kind[0] in "iub" and frame[name].isna().any())
    }
    return frame.astype(casts)


def _arrays(content: Any, types: Mapping[str, str]) -> NDArray[Any] | dict[str, NDArray[Any]]:
    if isinstance(content, dict) and set(content) == {"inputs"}:
        content = content["inputs"]  # as older versions of MLflow write arrays
    if isinstance(content, dict):
        return {name: np.array(rows, types.get(name)) for name, rows in content.items()}
    return np.array(content, types.get(""))
