"""Refuse scikit-learn models and examples that cannot be converted, and explain the remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters.sklearn_graphs import FUNCTIONS
from shearling.errors import FormatError, InvalidRequestError
from shearling.tensors.inputs import is_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What to do about an error of skl2onnx, by a part of its message.
_REMEDIES = {
    "onehot encoding not supported": "sparse output is not supported: fit with "
    "encode='onehot-dense'",
    "input(s) is(are) supported": "the columns of the example have different types, and this step "
    "takes one matrix: cast them to one type, or select them by name in a ColumnTransformer",
    "wrong type <class 'skl2onnx.common.data_types.StringTensorType'>": "a step that takes numbers "
    "gets strings or categories: encode them in a step before it, such as OrdinalEncoder() or "
    "OneHotEncoder() in a ColumnTransformer",
    "invalid literal for int() with base 10": "the classes of several targets must be integers: "
    "encode them before you fit (OrdinalEncoder().fit_transform(y))",
}

ALTERNATIVES = (
    "convert it to ONNX yourself and push the file, or pass format='cloudpickle' (a pickle runs "
    "code when it is loaded, so the function must allow pickles)"
)


def reason_of(error: Exception) -> str:
    """Return the remedy for a converter's error, or its message in one line."""
    message = str(error).strip() or repr(error)
    for words, remedy in _REMEDIES.items():
        if words in message:
            return remedy
    if unknown := re.match(
        r"Unable to find a shape calculator for type '<class '.*?(\w+)'>'", message
    ):
        return f"skl2onnx has no converter for {unknown[1]}"
    return message.splitlines()[0][:300]


def check_fitted(model: Any) -> None:
    """Raise FormatError if a model is not fitted; converters report that unclearly."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise FormatError(f"{type(model).__name__} is not fitted: call fit first") from error
    except TypeError:  # it has no method fit
        return


def check_columns(model: Any, example: Any) -> None:
    """Refuse an example whose columns differ from those the model was fitted on."""
    fitted = getattr(model, "n_features_in_", None)
    if not fitted:  # CatBoost says 0 for a model that was loaded from a file
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
            f"example has shape {list(shape)}, but the model was fitted on {fitted} columns: pass "
            f"an array of shape [rows, {fitted}]"
        )


def _check_dict(example: dict[str, Any], fitted: int) -> None:
    for name, array in example.items():
        shape = np.shape(array)
        if len(shape) != 1 and shape[1:] != (1,):
            raise InvalidRequestError(
                f"example: {name!r} has shape {list(shape)}, but each entry of a dict must be one "
                f"column: pass an array of shape [rows, {fitted}] or a DataFrame instead"
            )
    rows = {name: len(array) for name, array in example.items()}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name!r:.80} has {count}" for name, count in rows.items())
        raise InvalidRequestError(
            f"example: the columns have different numbers of rows ({counts:.400}): pass columns of "
            "the same length"
        )


def _check_names(fitted: list[str], example: Any) -> None:
    given = [str(name) for name in (example if isinstance(example, dict) else example.columns)]
    if fitted == [name.replace(" ", "_") for name in given]:  # LightGBM replaces spaces
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


def check_functions(parts: Iterable[Any], example: Any) -> None:
    """Refuse functions of NumPy that stay in the narrow type of an integer column.

    `np.square` of int8 overflows from 12 on, and `np.exp` returns 16 bits; the graph has 32 bits.
    Columns that no function reads count too, since a function may read what other steps select.

    Raises:
        FormatError: a function has so narrow a result for a column of the example.
    """
    functions = [
        part.func
        for part in parts
        if type(part).__name__ == "FunctionTransformer"
        and isinstance(part.func, np.ufunc)
        and part.func in FUNCTIONS
    ]
    for dtype in _integer_types(example) if functions else ():
        for function in functions:
            result = function(np.ones(1, dtype)).dtype
            if result == np.float16 or (result.kind in "iu" and result != np.int64):
                raise FormatError(
                    f"FunctionTransformer with func={function.__name__} cannot be converted to "
                    f"ONNX for an example of {dtype}: the function computes {result}, which "
                    "overflows or rounds where the served model does not. Pass the example as "
                    "int64 or float64 (.astype('int64')); the answers are then those of the wider "
                    "type"
                )


def _integer_types(example: Any) -> set[Any]:
    """Return the NumPy types of the columns of integers."""
    if isinstance(example, dict):
        types = [np.asarray(column).dtype for column in example.values()]
    elif is_frame(example):
        types = [getattr(dtype, "numpy_dtype", dtype) for dtype in example.dtypes]
    else:
        types = [np.asarray(example).dtype]
    return {dtype for dtype in types if getattr(dtype, "kind", "") in "iu"}


def check_classes(model: Any) -> None:
    """Refuse several targets with different numbers of classes."""
    classes = getattr(model, "classes_", None)
    if isinstance(classes, list) and len({len(names) for names in classes}) > 1:
        raise FormatError(
            "the model's targets have different numbers of classes "
            f"({', '.join(str(len(names)) for names in classes)}), so their probabilities do not "
            "fit into one tensor: push one model per target"
        )


def check_convertible(parts: Iterable[Any]) -> None:
    """Refuse estimators that skl2onnx converts incorrectly without raising an error.

    It converts splits by category to splits by number, and drops a tuned decision threshold.
    """
    for part in parts:
        if hasattr(part, "best_threshold_"):
            raise FormatError(
                f"{type(part).__name__} cannot be converted to ONNX: push its estimator_, and "
                f"compare the probabilities with the threshold, {part.best_threshold_:.4g}, in "
                "your own code"
            )
        categorical = getattr(part, "is_categorical_", None)
        if categorical is not None and np.any(categorical):
            raise FormatError(
                f"{type(part).__name__} with categorical_features cannot be converted to ONNX: "
                "encode the columns in a pipeline (OrdinalEncoder, OneHotEncoder) and fit without "
                f"categorical_features, or {ALTERNATIVES}"
            )
