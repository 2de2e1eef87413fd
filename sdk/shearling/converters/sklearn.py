"""Convert scikit-learn estimators and pipelines to ONNX."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters import boosting, onnx, onnx_graph, sklearn_checks, sklearn_trees
from shearling.converters.classes import with_classes
from shearling.converters.original import Original, example_values, like_example
from shearling.errors import FormatError
from shearling.tensors.comparison import ATOL, RTOL, compare
from shearling.tensors.inputs import as_matrix, is_frame, named_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto

    from shearling.converters.base import ConvertedModel
    from shearling.formats.base import Tensors

#: New enough for every converter, old enough for every supported ONNX Runtime.
_TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}

#: Class names of estimators that split at a threshold.
_TREES = re.compile(r"Tree|Forest|Boost|LGBM|XGB")

#: The name of the single input if the example is an array.
_INPUT = "X"


def is_estimator(model: object) -> bool:
    """Return whether a model is a scikit-learn estimator, without importing scikit-learn."""
    return any(kind.__module__.startswith("sklearn.") for kind in type(model).__mro__)


def convert(
    model: Any, example: Any, directory: Path, load: onnx.Load | None = None
) -> ConvertedModel:
    """Convert an estimator to ONNX and write it to a directory.

    An array becomes one input `X` of shape [-1, columns]. So does a DataFrame of numbers, unless
    the model selects columns by name. Any other DataFrame becomes one input of shape [-1, 1] for
    each column. The outputs are `label` and `probabilities` for a classifier, `prediction` for a
    regressor, and `output` for a transformer.

    Args:
        model: a fitted scikit-learn estimator or pipeline.
        example: an array or DataFrame of shape [rows, columns], or a dict with an array for each
            column.
        directory: existing directory to write the files to.
        load: as for `shearling.converters.onnx.convert`.

    Raises:
        FormatError: the estimator cannot be converted; the message says what to do instead.
        InvalidRequestError: the example's columns differ from those the model was fitted on.
    """
    sklearn_checks.check_columns(model, example)
    sklearn_checks.check_classes(model)
    by_name = _is_by_name(model, example)
    rows = _rows(example, by_name=by_name)

    def convert_with(options: dict[Any, Any]) -> tuple[ConvertedModel, Tensors]:
        """Return a conversion with the estimator's answers, and the graph's own answers."""
        graph = _convert_example(model, example, options, by_name=by_name)
        onnx_graph.put_rows_first(graph)
        # Replace skl2onnx's names for these outputs.
        for name in ("variable", "GPmean"):
            onnx_graph.rename_output(
                graph, name, "prediction" if hasattr(model, "predict") else "output"
            )
        onnx_graph.make_vectors(graph, lambda output: _estimator_answer(model, output, rows[:1]))
        converted = onnx.convert(graph, example, directory, load)
        graph_answers = converted.expected
        expected = _answers(model, rows, graph_answers)
        return replace(converted, expected=expected), graph_answers

    division = _division_options(model)
    converted, graph_answers = convert_with(division)
    if division and _differs(converted.expected, graph_answers):
        by_default, default_answers = convert_with({})
        if not _differs(by_default.expected, default_answers):
            converted, graph_answers = by_default, default_answers
    if not converted.expected:
        raise FormatError(
            f"{type(model).__name__} has no method whose results can be compared with the "
            f"converted model's outputs ({', '.join(graph_answers)}): "
            f"{sklearn_checks.ALTERNATIVES}"
        )

    def native(values: Tensors) -> Any:
        return like_example(values, example)

    return replace(
        converted,
        signature=with_classes(converted.signature, model),
        original=Original(
            rows=example_values(example, None if by_name else _INPUT),
            answer=lambda values: _answers(model, native(values), graph_answers),
            margin=_margin_of(model, native),
        ),
    )


def _differs(expected: Tensors, converted: Tensors) -> bool:
    return bool(compare(expected, converted, rtol=RTOL, atol=ATOL).problem)


def _convert_example(
    model: Any, example: Any, options: dict[Any, Any], *, by_name: bool
) -> ModelProto:
    """Convert an estimator for the columns of an example, as integers where that is possible.

    Some converters require one type for all columns of a step. Integer columns are then converted
    as floats, and the verification on the example shows whether that is correct.
    """
    try:
        types = _initial_types(example, by_name=by_name, are_integers_kept=True)
        return _convert(model, types, options)
    except FormatError:
        # If this fails too, its reason counts: that of the first try may be the integers alone.
        types = _initial_types(example, by_name=by_name, are_integers_kept=False)
        return _convert(model, types, options)


def _convert(
    model: Any, initial_types: list[tuple[str, Any]], options: dict[Any, Any]
) -> ModelProto:
    try:
        from skl2onnx import to_onnx
    except ImportError as error:
        raise FormatError(
            "converting scikit-learn models needs skl2onnx: pip install 'shearling[sklearn]'"
        ) from error
    parts = list(_parts(model))
    sklearn_checks.check_convertible(parts)
    boosting.register(parts)
    try:
        with (
            boosting.without_column_names(parts),
            sklearn_trees.split_exactly(),
            _unflattened_votes(parts),
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
    except Exception as error:  # converters raise errors of any class
        sklearn_checks.check_fitted(model)
        raise FormatError(
            f"{type(model).__name__} cannot be converted to ONNX: "
            f"{sklearn_checks.reason_of(error)}. You can {sklearn_checks.ALTERNATIVES}"
        ) from error
    onnx_graph.name_tensors(graph, [name for name, _ in initial_types])
    return graph


@contextmanager
def _unflattened_votes(parts: Sequence[Any]) -> Iterator[None]:
    """Set flatten_transform=False, which skl2onnx requires and only `transform` reads."""
    flat = [part for part in parts if getattr(part, "flatten_transform", False)]
    try:
        for part in flat:
            part.flatten_transform = False
        yield
    finally:
        for part in flat:
            part.flatten_transform = True


def _is_by_name(model: Any, example: Any) -> bool:
    if isinstance(example, dict):
        return True
    if not is_frame(example):
        return False
    if any(type(part).__name__ == "ColumnTransformer" for part in _parts(model)):
        return True
    return any(example[name].to_numpy().dtype.kind not in "fiub" for name in example.columns)


def _parts(model: Any) -> Iterator[Any]:
    """Yield an estimator and its inner estimators, both as passed and as fitted copies."""
    seen = set[int]()
    pending = [model]
    while pending:
        part = pending.pop()
        if isinstance(part, list | tuple):
            pending += part
        elif isinstance(part, dict):
            pending += part.values()
        elif hasattr(part, "get_params") and not isinstance(part, type) and id(part) not in seen:
            seen.add(id(part))
            yield part
            pending += vars(part).values()


def _division_options(model: Any) -> dict[Any, Any]:
    """Return converter options that make StandardScaler divide, as scikit-learn does, before trees.

    By default skl2onnx converts it to a multiplication. That is faster, but the result may differ
    in the last bit, which decides the branch where a value is equal to a tree's threshold. For
    64-bit data neither is exact, and `convert` takes the one that agrees on the example.
    """
    parts = list(_parts(model))
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
        _INPUT: as_matrix(example) if is_frame(example) else np.asarray(example)
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
    options: dict[Any, Any] = {}
    for part in _parts(model):
        if type(part).__name__ in ("CountVectorizer", "TfidfVectorizer"):
            # The default locale, en_US, is not installed everywhere. C.UTF-8 is.
            options[id(part)] = {"locale": "C.UTF-8"}
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    # LinearSVC's converter has no option zipmap and adds no ZipMap. TargetEncoder has classes_ but
    # is not a classifier.
    is_classifier = hasattr(last, "classes_") and hasattr(last, "predict")
    if is_classifier and type(last).__name__ != "LinearSVC":
        options[id(model)] = {"zipmap": False}
    return options


def _rows(example: Any, *, by_name: bool) -> Any:
    """Return the example in the form that the estimator accepts."""
    if isinstance(example, dict):
        import pandas as pd

        return pd.DataFrame({name: np.ravel(array) for name, array in example.items()})
    return example if by_name or is_frame(example) else np.asarray(example)


def _answers(model: Any, rows: Any, converted: Tensors) -> dict[str, NDArray[Any]]:
    """Return the estimator's answers to rows, in the shapes of the converted model's outputs."""
    answers = {}
    for name, array in converted.items():
        answer = _estimator_answer(model, name, rows)
        shape = (len(rows), *array.shape[1:])
        # For two classes the graph returns the margin with both signs and the estimator only once.
        # The label is compared instead.
        if answer is not None and answer.size == prod(shape):
            answers[name] = answer.reshape(shape)
    return answers


def _estimator_answer(model: Any, output: str, rows: Any) -> NDArray[Any] | None:
    """Return the estimator's answer for an output; None if it has no method for it."""
    methods = {
        "label": ["predict"],
        "probabilities": ["predict_proba", "decision_function"],
        "prediction": ["predict"],
        "output": ["transform"],
        "scores": ["decision_function", "transform"],  # outlier detection, clustering
    }.get(output, [])
    method = next((name for name in methods if hasattr(model, name)), None)
    if method is None:
        return None
    try:
        answer = getattr(model, method)(rows)
    except Exception as error:  # estimators raise errors of any class
        raise FormatError(f"the model fails on the example: {error}") from error
    if isinstance(answer, list):  # several targets: one matrix for each
        answer = np.stack(answer, axis=1)
    answer = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
    return answer.astype(object) if answer.dtype.kind == "U" else answer


def _margin_of(model: Any, native: Callable[[Tensors], Any]) -> Callable[[Tensors], Any] | None:
    """Return a function for how far a classifier's label is ahead of the next class."""
    rank = next(
        (
            getattr(model, name)
            for name in ("decision_function", "predict_proba")
            if hasattr(model, name)
        ),
        None,
    )
    if rank is None or not hasattr(model, "classes_"):
        return None

    def margin(values: Tensors) -> NDArray[Any]:
        scores = rank(native(values))
        scores = np.stack(scores, axis=1) if isinstance(scores, list) else np.asarray(scores)
        if scores.ndim == 1:  # two classes: the sign decides
            scores = np.stack([scores, -scores], axis=-1)
        second, best = np.moveaxis(np.partition(scores, -2, axis=-1)[..., -2:], -1, 0)
        relative: NDArray[Any] = (best - second) / np.maximum(1, np.abs(best))
        return relative

    return margin
