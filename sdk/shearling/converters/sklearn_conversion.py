"""Make the ONNX graph of a scikit-learn estimator with skl2onnx."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters import (
    allowed_settings,
    boosting,
    catboost,
    known_categories,
    onnx_graph,
    sklearn_checks,
    sklearn_encoders,
    sklearn_graphs,
    sklearn_text,
    sklearn_trees,
)
from shearling.converters.skl2onnx_registry import allowed_options, registered
from shearling.converters.sklearn_served import parts_of, served_estimator
from shearling.errors import FormatError
from shearling.tensors.inputs import as_matrix, is_frame, named_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from onnx import ModelProto

    from shearling.converters.skl2onnx_registry import Converter
    from shearling.formats.text import TextNormalization

    Converters = Mapping[type, Converter]

#: New enough for every converter, old enough for every supported ONNX Runtime.
_TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}

#: Class names of estimators that split at a threshold.
_TREES = re.compile(r"Tree|Forest|Boost|LGBM|XGB")

#: The name of the single input if the example is an array.
ARRAY_INPUT = "X"


@dataclass(frozen=True, slots=True)
class SklearnGraph:
    """The graph of an estimator.

    Attributes:
        model: the graph.
        text: for each input of texts, what happens to them before the graph reads them.
        categories: the known values by input and column, where the estimator refuses others.
    """

    model: ModelProto
    text: dict[str, TextNormalization]
    categories: dict[tuple[str, int], tuple[Any, ...]]


def graph_of(
    model: Any,
    example: Any,
    *,
    answer_of: Callable[[str], NDArray[Any] | None],
    rows: Any,
    by_name: bool,
    exact_division: bool,
) -> SklearnGraph:
    """Return the graph of an estimator, with named inputs and outputs.

    Args:
        model: a fitted estimator.
        example: the example as it was pushed.
        answer_of: returns the estimator's answer to a row, for an output name.
        rows: a row in the form that the estimator accepts.
        by_name: whether each column of the example is an input.
        exact_division: whether scalers before trees divide, as scikit-learn does.

    Raises:
        FormatError: the estimator cannot be converted; the message says what to do instead.
    """
    if boosting.library_of(model) in ("catboost", "lightgbm", "sklearn", "xgboost"):
        sklearn_checks.check_fitted(model)
    served = served_estimator(model)
    absent_is_missing = boosting.is_fed_sparse(served, rows)
    options = _division_options(served) if exact_division else {}
    parts = list(parts_of(served))
    sklearn_checks.check_convertible(parts)
    allowed_settings.check_settings(parts)
    own = (
        sklearn_text.converters()
        | sklearn_encoders.converters()
        | sklearn_graphs.converters()
        | boosting.converters(parts, absent_is_missing=absent_is_missing)
        | catboost.converters(parts)
    )
    graph = _convert_example(served, example, options, own, by_name=by_name)
    onnx_graph.put_rows_first(graph)
    onnx_graph.make_vectors(graph, answer_of)
    text = sklearn_text.take_normalizations(graph)
    return SklearnGraph(graph, text, known_categories.take_categories(graph))


def _convert_example(
    model: Any, example: Any, options: dict[Any, Any], own: Converters, *, by_name: bool
) -> ModelProto:
    """Convert an estimator for the columns of an example, as integers where that is possible.

    Some converters require one type for all columns of a step. Integer columns are then converted
    as floats, and the verification on the example shows whether that is correct. So they are before
    an imputer, since only floats can be missing.
    """
    has_imputer = any(type(part).__name__.endswith("Imputer") for part in parts_of(model))
    try:
        types = _initial_types(example, by_name=by_name, are_integers_kept=not has_imputer)
        return _convert(model, types, options, own)
    except FormatError:
        # If this fails too, its reason counts: that of the first try may be the integers alone.
        types = _initial_types(example, by_name=by_name, are_integers_kept=False)
        return _convert(model, types, options, own)


def _convert(
    model: Any, initial_types: list[tuple[str, Any]], options: dict[Any, Any], own: Converters
) -> ModelProto:
    try:
        from skl2onnx import to_onnx
    except ImportError as error:
        raise FormatError(
            "converting scikit-learn models needs skl2onnx: pip install 'shearling[sklearn]'"
        ) from error
    parts = list(parts_of(model))
    try:
        with (
            boosting.without_column_names(parts),
            sklearn_trees.split_exactly(),
            registered(own),
            warnings.catch_warnings(),
        ):
            # skl2onnx's own deprecated calls warn, and the user cannot change them.
            warnings.simplefilter("ignore")
            graph: ModelProto = to_onnx(
                model,
                initial_types=initial_types,
                options=_options(model) | options,
                target_opset=_TARGET_OPSET,
            )
    except FormatError:
        raise
    except Exception as error:  # converters raise errors of any class
        sklearn_checks.check_fitted(model)
        raise FormatError(
            f"{type(model).__name__} cannot be converted to ONNX: "
            f"{sklearn_checks.reason_of(error)}. You can {sklearn_checks.ALTERNATIVES}"
        ) from error
    # Before the inputs get their names: a column may have the name that skl2onnx gives the output.
    onnx_graph.rename_only_output(graph, "prediction" if hasattr(model, "predict") else "output")
    onnx_graph.name_tensors(graph, [name for name, _ in initial_types])
    return graph


def is_scaled_before_trees(model: Any) -> bool:
    """Return whether a model has trees, and scalers that may divide or multiply."""
    return bool(_division_options(model))


def _division_options(model: Any) -> dict[Any, Any]:
    """Return converter options that make StandardScaler divide, as scikit-learn does, before trees.

    By default skl2onnx converts it to a multiplication. That is faster, but the result may differ
    in the last bit, which decides the branch where a value is equal to a tree's threshold. For
    64-bit data neither is exact, and `convert` takes the one that agrees on the example.
    """
    parts = list(parts_of(model))
    if not any(_TREES.search(type(part).__name__) for part in parts):
        return {}
    scalers = (part for part in parts if type(part).__name__ == "StandardScaler")
    return {id(scaler): {"div": "div"} for scaler in scalers}


def _initial_types(
    example: Any, *, by_name: bool, are_integers_kept: bool
) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    arrays = (named_arrays(example) if by_name else None) or {
        ARRAY_INPUT: as_matrix(example) if is_frame(example) else np.asarray(example)
    }
    kinds = {"O": StringTensorType, "U": StringTensorType, "f": FloatTensorType}
    # A named integer column may hold categories; in a matrix, integers are numbers.
    if by_name and are_integers_kept:
        kinds |= {"i": Int64TensorType, "u": Int64TensorType, "b": BooleanTensorType}
    types = []
    for name, array in arrays.items():
        kind = kinds.get(array.dtype.kind, FloatTensorType if array.dtype.kind in "iub" else None)
        if kind is None:
            raise FormatError(
                f"example: column {name!r} has dtype {array.dtype}, which is not supported: cast "
                "it to numbers, booleans or strings, and fit the model on it"
            )
        types.append((name, kind([None, *array.shape[1:]])))
    return types


def _options(model: Any) -> dict[Any, Any]:
    """Return options that make classifiers return a tensor of probabilities."""
    last = model
    while hasattr(last, "steps"):
        last = last.steps[-1][1]
    if "zipmap" in allowed_options(type(last)):
        return {id(model): {"zipmap": False}}
    # An entry keeps skl2onnx from setting an option that the converter does not have.
    return {id(last): {}} if hasattr(last, "classes_") else {}
