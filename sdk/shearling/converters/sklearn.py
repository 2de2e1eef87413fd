"""scikit-learn estimators and pipelines, converted to ONNX with plain tensors."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters import boosting, onnx, onnx_graph, probes, sklearn_checks, sklearn_trees
from shearling.errors import FormatError
from shearling.tensors.comparison import ATOL, RTOL, compare
from shearling.tensors.inputs import as_matrix, is_frame, named_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto

    from shearling.converters.base import ConvertedModel
    from shearling.formats.base import Tensors

#: Current enough for every converter, old enough for every ONNX Runtime that Lambda may have.
_TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}

#: What splits at a value, by the names of classes.
_TREES = re.compile(r"Tree|Forest|Boost|LGBM|XGB")

#: The name of the only input, where the example is an array.
_INPUT = "X"


def is_estimator(model: object) -> bool:
    """Say whether scikit-learn made a model, without importing scikit-learn."""
    return any(kind.__module__.startswith("sklearn.") for kind in type(model).__mro__)


def convert(
    model: Any, example: Any, directory: Path, load: onnx.Load | None = None
) -> ConvertedModel:
    """Convert an estimator to ONNX and save that; inputs are the columns of the example.

    An array, and a DataFrame of numbers for a model that does not choose columns by name, become
    one input `X` of shape [-1, columns]; any other DataFrame becomes an input of shape [-1, 1] a
    column, by name. A classifier gives `label` and `probabilities`, a regressor `prediction`,
    a transformer `output`.

    Raises:
        FormatError: it has no conversion; the message says what can be done.
        InvalidRequestError: the example has other columns than the model was fitted on.
    """
    sklearn_checks.check_columns(model, example)
    sklearn_checks.check_classes(model)
    by_name = _is_by_name(model, example)
    rows = _rows(example, by_name=by_name)

    def convert_with(options: dict[Any, Any]) -> tuple[ConvertedModel, Tensors]:
        """Return a conversion that expects the estimator's answers, and the graph's own."""
        graph = _convert_example(model, example, options, by_name=by_name)
        onnx_graph.put_rows_first(graph)
        # What skl2onnx calls so, as a person would.
        for name in ("variable", "GPmean"):
            onnx_graph.rename_output(
                graph, name, "prediction" if hasattr(model, "predict") else "output"
            )
        onnx_graph.make_vectors(graph, lambda output: _ask(model, output, rows[:1]))
        converted = onnx.convert(graph, example, directory, load)
        graph_answers = converted.expected
        expected = _answers(model, rows, graph_answers)
        return replace(converted, expected=expected), graph_answers

    dividing = _dividing(model)
    converted, graph_answers = convert_with(dividing)
    if dividing and _differs(converted.expected, graph_answers):
        other, others_answers = convert_with({})
        if not _differs(other.expected, others_answers):
            converted, graph_answers = other, others_answers
    if not converted.expected:
        raise FormatError(
            f"{type(model).__name__} gives nothing that its conversion could be compared with "
            f"({', '.join(graph_answers)}): {sklearn_checks.WAY_OUT}"
        )
    specs = converted.signature.inputs

    def ask(others: Any) -> Tensors:
        answers = _answers(model, others, graph_answers)
        # Where classes tie, the last bit of their sums decides: their probabilities say it all.
        return {name: answers[name] for name in answers.keys() - {"label"}} or answers

    return replace(
        converted,
        missing_value_examples=probes.missing_value_examples(rows, specs, ask),
        resampled_example=probes.resampled_example(rows, specs, ask),
    )


def _differs(expected: Tensors, converted: Tensors) -> bool:
    return bool(compare(expected, converted, rtol=RTOL, atol=ATOL).problem)


def _convert_example(
    model: Any, example: Any, options: dict[Any, Any], *, by_name: bool
) -> ModelProto:
    """Convert an estimator for the columns of an example, integers as such where that is possible.

    Some converters want all columns of a step to be of one type. Integers are floats then, and the
    example proves whether they may be.
    """
    try:
        types = _initial_types(example, by_name=by_name, are_integers_kept=True)
        return _convert(model, types, options)
    except FormatError as error:
        try:
            types = _initial_types(example, by_name=by_name, are_integers_kept=False)
            return _convert(model, types, options)
        except FormatError:
            raise error from error.__cause__


def _convert(
    model: Any, initial_types: list[tuple[str, Any]], options: dict[Any, Any]
) -> ModelProto:
    try:
        from skl2onnx import to_onnx
    except ImportError as error:
        raise FormatError(
            "scikit-learn models are converted by skl2onnx: pip install 'shearling[sklearn]'"
        ) from error
    parts = list(_parts(model))
    sklearn_checks.check_convertible(parts)
    boosting.register(parts)
    try:
        with (
            boosting.columns_unnamed(parts),
            sklearn_trees.split_exactly(),
            _votes_stacked(parts),
            warnings.catch_warnings(),
        ):
            # Of what the converter itself calls: nobody who pushes can do anything about it.
            warnings.simplefilter("ignore")
            graph: ModelProto = to_onnx(
                model,
                initial_types=initial_types,
                options=_options(model) | options,
                target_opset=_TARGET_OPSET,
            )
    except Exception as error:  # converters raise what they like
        sklearn_checks.check_fitted(model)
        raise FormatError(
            f"{type(model).__name__} does not convert to ONNX: {sklearn_checks.reason_of(error)} - "
            f"{sklearn_checks.WAY_OUT}"
        ) from error
    onnx_graph.name_tensors(graph, [name for name, _ in initial_types])
    return graph


@contextmanager
def _votes_stacked(parts: Sequence[Any]) -> Iterator[None]:
    """Set an option that the converter demands of a vote, and only `transform` looks at."""
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
    """Yield an estimator and those inside of it: as it was given them, and as it fitted copies."""
    seen = set[int]()
    todo = [model]
    while todo:
        each = todo.pop()
        if isinstance(each, list | tuple):
            todo += each
        elif isinstance(each, dict):
            todo += each.values()
        elif hasattr(each, "get_params") and not isinstance(each, type) and id(each) not in seen:
            seen.add(id(each))
            yield each
            todo += vars(each).values()


def _dividing(model: Any) -> dict[Any, Any]:
    """Return the options by which StandardScaler divides before trees, as scikit-learn does.

    By default it is converted to a multiplication: quicker, but where a value lies on a tree's
    split, its last bit decides. On data of 64 bits neither is exact, and the example chooses.
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
    if (
        by_name and are_integers_kept
    ):  # a column of integers may be categories; in a matrix it is a number
        kinds |= {"i": Int64TensorType, "u": Int64TensorType, "b": BooleanTensorType}
    types = []
    for name, array in arrays.items():
        kind = kinds.get(array.dtype.kind, FloatTensorType if array.dtype.kind in "iub" else None)
        if kind is None:
            raise FormatError(f"example: column {name!r} is {array.dtype}, which has no tensor")
        types.append((name, kind([None, *array.shape[1:]])))
    return types


def _options(model: Any) -> dict[Any, Any]:
    options: dict[Any, Any] = {}
    for part in _parts(model):
        if type(part).__name__ in ("CountVectorizer", "TfidfVectorizer"):
            # The default, en_US, is not installed everywhere; C.UTF-8 is.
            options[id(part)] = {"locale": "C.UTF-8"}
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    # The converter of LinearSVC alone has no such option, and never a ZipMap; of what has classes,
    # TargetEncoder is no classifier.
    is_classifier = hasattr(last, "classes_") and hasattr(last, "predict")
    if is_classifier and type(last).__name__ != "LinearSVC":
        options[id(model)] = {"zipmap": False}
    return options


def _rows(example: Any, *, by_name: bool) -> Any:
    """Return the example as the estimator itself takes it."""
    if isinstance(example, dict):
        import pandas as pd

        return pd.DataFrame({name: np.ravel(array) for name, array in example.items()})
    return example if by_name or is_frame(example) else np.asarray(example)


def _answers(model: Any, rows: Any, converted: Tensors) -> dict[str, NDArray[Any]]:
    """Return what the estimator itself says for rows, shaped as its conversion answers."""
    found = {}
    for name, array in converted.items():
        answer = _ask(model, name, rows)
        shape = (len(rows), *array.shape[1:])
        # The margin between two classes is given twice, with either sign: the label proves it.
        if answer is not None and answer.size == prod(shape):
            found[name] = answer.reshape(shape)
    return found


def _ask(model: Any, output: str, rows: Any) -> NDArray[Any] | None:
    """Return what the estimator itself says for an output, or None if it has no such method."""
    methods = {
        "label": ["predict"],
        "probabilities": ["predict_proba", "decision_function"],
        "prediction": ["predict"],
        "output": ["transform"],
        "scores": ["decision_function", "transform"],  # of outliers, and of clusters
    }.get(output, [])
    method = next((name for name in methods if hasattr(model, name)), None)
    if method is None:
        return None
    try:
        answer = getattr(model, method)(rows)
    except Exception as error:  # an estimator's own
        raise FormatError(f"the model fails on the example: {error}") from error
    if isinstance(answer, list):  # of several targets, a matrix each
        answer = np.stack(answer, axis=1)
    answer = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
    return answer.astype(object) if answer.dtype.kind == "U" else answer
