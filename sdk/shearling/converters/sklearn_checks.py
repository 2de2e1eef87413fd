"""What of a scikit-learn model or its example is refused, and what there is to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError, InvalidRequestError
from shearling.tensors.inputs import is_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What there is to do, by the converters' own words.
_REMEDIES = {
    "missing values are string": "strings in ONNX have no NaN: fill it by '' in the data "
    "(frame.fillna('')), and fit with SimpleImputer(missing_values='', ...)",
    "onehot encoding not supported": "a tensor is not sparse: fit with encode='onehot-dense'",
    "The converter only supports string and int64 categories": "categories are to be strings or "
    "integers: cast the column before it is fitted",
}

WAY_OUT = (
    "convert it to ONNX yourself and push the file, or pass format='cloudpickle' (which runs code "
    "when it is loaded: the function must allow it)"
)


def reason_of(error: Exception) -> str:
    """Return what a converter says, in a line, or what there is to do about it."""
    said = str(error).strip() or repr(error)
    for words, remedy in _REMEDIES.items():
        if words in said:
            return remedy
    if unknown := re.match(
        r"Unable to find a shape calculator for type '<class '.*?(\w+)'>'", said
    ):
        return f"skl2onnx knows no {unknown[1]}"
    return said.splitlines()[0][:300]


def check_fitted(model: Any) -> None:
    """Say that a model is not fitted, which no converter says."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise FormatError(f"{type(model).__name__} is not fitted: call its fit first") from error
    except TypeError:  # it has no fit
        return


def check_columns(model: Any, example: Any) -> None:
    """Refuse an example that has other columns than the model was fitted on."""
    fitted = getattr(model, "n_features_in_", None)
    if fitted is None:
        return
    shape = np.shape(example)
    if isinstance(example, dict):
        _check_dict(example, fitted)
        shape = (-1, len(example))
    names = getattr(model, "feature_names_in_", None)
    if names is not None and (isinstance(example, dict) or is_frame(example)):
        _check_names([str(name) for name in names], example)
    if len(shape) != 2 or shape[1] != fitted:  # noqa: PLR2004 - rows and columns
        raise InvalidRequestError(
            f"example: shape {list(shape)}, but the model was fitted on {fitted} columns: pass "
            f"rows of shape [rows, {fitted}]"
        )


def _check_dict(example: dict[str, Any], fitted: int) -> None:
    for name, array in example.items():
        shape = np.shape(array)
        if len(shape) != 1 and shape[1:] != (1,):
            raise InvalidRequestError(
                f"example: {name!r} has shape {list(shape)}, and a dict has one column an entry: "
                f"pass the array itself, of shape [rows, {fitted}], or a DataFrame"
            )


def _check_names(fitted: list[str], example: Any) -> None:
    given = [str(name) for name in (example if isinstance(example, dict) else example.columns)]
    spelt = [name.replace(" ", "_") for name in given]  # as LightGBM does
    if fitted == spelt:
        return
    missing = [name for name in fitted if name not in given]
    unknown = [name for name in given if name not in fitted]
    if missing or unknown:
        problems = [f"missing {', '.join(missing)}"] * bool(missing)
        problems += [f"unknown {', '.join(unknown)}"] * bool(unknown)
        raise InvalidRequestError(
            f"example: columns {' and '.join(problems)}; the model was fitted on "
            f"{', '.join(fitted)}"
        )


def check_classes(model: Any) -> None:
    """Refuse several targets whose probabilities no tensor holds."""
    classes = getattr(model, "classes_", None)
    if isinstance(classes, list) and len({len(each) for each in classes}) > 1:
        raise FormatError(
            "the model's targets have different numbers of classes "
            f"({', '.join(str(len(each)) for each in classes)}), and no tensor holds their "
            "probabilities: push a model for each target"
        )


def check_convertible(parts: Iterable[Any]) -> None:
    """Refuse what skl2onnx converts without a word, and otherwise than it is.

    It has trees that split by category split by number, and leaves out a tuned threshold.
    """
    for part in parts:
        if hasattr(part, "best_threshold_"):
            raise FormatError(
                f"{type(part).__name__} does not convert to ONNX: push its estimator_, and hold "
                f"its probabilities to the threshold, {part.best_threshold_:.4g}, yourself"
            )
        categorical = getattr(part, "is_categorical_", None)
        if categorical is not None and np.any(categorical):
            raise FormatError(
                f"{type(part).__name__} with categorical_features does not convert to ONNX: encode "
                "them in a pipeline (OrdinalEncoder, OneHotEncoder) and fit without "
                f"categorical_features, or {WAY_OUT}"
            )
