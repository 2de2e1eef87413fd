"""Convert scikit-learn estimators and pipelines to ONNX."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters import boosting, catboost, onnx, onnx_graph, sklearn_checks
from shearling.converters.classes import with_classes
from shearling.converters.known_categories import with_categories
from shearling.converters.original import Original, example_values, like_example
from shearling.converters.sklearn_conversion import ARRAY_INPUT, graph_of, is_scaled_before_trees
from shearling.converters.sklearn_served import parts_of
from shearling.errors import FormatError
from shearling.tensors.comparison import ATOL, RTOL, compare
from shearling.tensors.inputs import is_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.converters.base import ConvertedModel
    from shearling.converters.onnx_files import Load
    from shearling.formats.base import Tensors
    from shearling.tensors.spec import Signature


def is_estimator(model: object) -> bool:
    """Return whether skl2onnx converts a model of a class, without importing its library."""
    return catboost.is_catboost(model) or any(
        kind.__module__.startswith("sklearn.") for kind in type(model).__mro__
    )


def convert(model: Any, example: Any, directory: Path, load: Load | None = None) -> ConvertedModel:
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
    catboost.check_convertible(parts_of(model))
    example = catboost.in_fitted_order(model, example)
    sklearn_checks.check_columns(model, example)
    sklearn_checks.check_classes(model)
    boosting.check_no_categories(model, example)
    original, example = example, _typed(example)
    sklearn_checks.check_functions(parts_of(model), example)
    by_name = _is_by_name(model, example)
    rows = _rows(original, by_name=by_name)

    def convert_with(*, exact_division: bool) -> tuple[ConvertedModel, Tensors]:
        """Return a conversion with the estimator's answers, and the graph's own answers."""
        graph = graph_of(
            model,
            example,
            answer_of=lambda output: _estimator_answer(model, output, rows[:1]),
            rows=rows[:1],
            by_name=by_name,
            exact_division=exact_division,
        )
        converted = onnx.convert(graph.model, example, directory, load, graph.text)
        if margins := _margins(model, rows, converted.expected):
            for output, column in margins.items():
                onnx_graph.take_column(graph.model, output, column)
            converted = onnx.convert(graph.model, example, directory, load, graph.text)
        signature = with_categories(converted.signature, graph.categories, converted.inputs)
        graph_answers = converted.expected
        expected = _answers(model, rows, graph_answers)
        return replace(converted, expected=expected, signature=signature), graph_answers

    converted, graph_answers = convert_with(exact_division=True)
    if is_scaled_before_trees(model) and _differs(converted.expected, graph_answers):
        by_default, default_answers = convert_with(exact_division=False)
        if not _differs(by_default.expected, default_answers):
            converted, graph_answers = by_default, default_answers
    if not converted.expected:
        raise _not_comparable(model, rows, graph_answers)

    def native(values: Tensors) -> Any:
        return like_example(values, original)

    return replace(
        converted,
        options={**converted.options, **_fitted_columns(model, example, converted.signature)},
        signature=with_classes(converted.signature, model),
        original=Original(
            rows=example_values(example, None if by_name else ARRAY_INPUT),
            answer=lambda values: _answers(model, native(values), graph_answers),
            margin=_margin_of(model, native),
        ),
    )


def _fitted_columns(model: Any, example: Any, signature: Signature) -> dict[str, list[str]]:
    """Return the option with the column names that a model was fitted on, for an array of rows.

    Without it, a table with names in another order would be read by position.
    """
    if is_frame(example) or isinstance(example, dict) or len(signature.inputs) != 1:
        return {}
    # LightGBM replaces characters in names, and names the columns of arrays.
    if type(model).__module__.startswith("lightgbm."):
        return {}
    names = (
        catboost.fitted_names(model)
        if catboost.is_catboost(model)
        else getattr(model, "feature_names_in_", ())
    )
    if not len(names) or not all(isinstance(name, str) for name in names):
        return {}
    return {"columns": [str(name) for name in names]}


def _margins(model: Any, rows: Any, converted: Tensors) -> dict[str, int]:
    """Return the column of each output that is the margin between a classifier's two classes.

    The estimator returns a vector; the graph may return a column, or the margin with both signs.
    """
    margins = {}
    for name, array in converted.items():
        if array.shape[1:] not in ((1,), (2,)):
            continue
        answer = _estimator_answer(model, name, rows)
        if answer is not None and answer.ndim == 1:
            differences = np.abs(array - answer[:, np.newaxis]).max(axis=0)
            margins[name] = int(differences.argmin())
    return margins


def _differs(expected: Tensors, converted: Tensors) -> bool:
    return bool(compare(expected, converted, rtol=RTOL, atol=ATOL).problem)


def _typed(example: Any) -> Any:
    """Return an example whose numbers of dtype object have a type of numbers."""
    if hasattr(example, "infer_objects"):
        return example.infer_objects()
    if isinstance(example, dict):
        return {name: _typed(np.asarray(column)) for name, column in example.items()}
    is_object = isinstance(example, np.ndarray) and example.dtype.kind == "O"
    if not is_object or any(isinstance(value, str) for value in example.flat):
        return example
    typed = np.array(example.tolist())
    return typed if typed.dtype.kind in "fiub" else example


def _is_by_name(model: Any, example: Any) -> bool:
    if isinstance(example, dict):
        return True
    if not is_frame(example):
        return False
    if any(type(part).__name__ == "ColumnTransformer" for part in parts_of(model)):
        return True
    return any(example[name].to_numpy().dtype.kind not in "fiub" for name in example.columns)


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
        if answer is not None and answer.size == prod(shape):
            answers[name] = answer.reshape(shape)
    return answers


def _not_comparable(model: Any, rows: Any, converted: Tensors) -> FormatError:
    """Return the error for a model that has no answer in the shape of a converted output."""
    for name, array in converted.items():
        answer = _estimator_answer(model, name, rows)
        if answer is not None:
            return FormatError(
                f"the {name} of {type(model).__name__} for the {len(rows)} rows of the example has "
                f"shape {list(answer.shape)}, and that of the converted model "
                f"{list(array.shape)}: pass the example in the form that the model was fitted on, "
                "such as a column of a DataFrame (frame['text']) for a vectorizer"
            )
    return FormatError(
        f"{type(model).__name__} has no method whose results can be compared with the "
        f"converted model's outputs ({', '.join(converted)}): {sklearn_checks.ALTERNATIVES}"
    )


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
        answer = getattr(model, method)(deepcopy(rows))  # steps with copy=False change their rows
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
        scores = rank(deepcopy(native(values)))
        scores = np.stack(scores, axis=1) if isinstance(scores, list) else np.asarray(scores)
        if scores.ndim == 1:  # two classes: the sign decides
            scores = np.stack([scores, -scores], axis=-1)
        second, best = np.moveaxis(np.partition(scores, -2, axis=-1)[..., -2:], -1, 0)
        relative: NDArray[Any] = (best - second) / np.maximum(1, np.abs(best))
        return relative

    return margin
