"""Find the estimators that answer at prediction, inside those that only choose or fit them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def served_estimator(model: Any) -> Any:
    """Return an estimator that answers as a model does, without what matters for fitting only.

    - A search becomes its best estimator, and a frozen or self-trained estimator the inner one.
    - Steps of a pipeline that do nothing at prediction are left out, such as those that sample
      rows, as imbalanced-learn's do.
    - Feature elimination at the end of a pipeline becomes a selection and the inner estimator.
    - Weights of an ensemble become an array, and the columns of a ColumnTransformer names or places
      from 0 on, as skl2onnx requires.

    Nothing that belongs to the caller is changed.

    Args:
        model: a fitted estimator.

    Raises:
        FormatError: a search kept no estimator.
    """
    if hasattr(model, "best_estimator_"):
        return served_estimator(model.best_estimator_)
    if hasattr(model, "refit") and hasattr(model, "cv_results_"):
        raise FormatError(
            f"{type(model).__name__} with refit={model.refit!r} has no best estimator: fit it with "
            "refit=True, or push an estimator that you fit with best_params_"
        )
    if hasattr(model, "steps"):
        return _pipeline(model)
    rewrite = _REWRITES.get(type(model).__name__)
    return rewrite(model) if rewrite else model


def parts_of(model: Any) -> Iterator[Any]:
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


def _pipeline(model: Any) -> Any:
    from sklearn.pipeline import Pipeline

    steps = [
        (name, step)
        for name, step in model.steps
        if not hasattr(step, "fit_resample") and step not in (None, "passthrough")
    ]
    inner = [(name, _inner(step)) for name, step in steps[:-1]]
    last = [(name, served_estimator(step)) for name, step in steps[-1:]]
    return Pipeline(inner + last)


def _inner(step: Any) -> Any:
    """Return a step that is used by its `transform`."""
    return step if hasattr(step, "get_support") else served_estimator(step)


def _voting(model: Any) -> Any:
    voting = copy.copy(model)
    voting.estimators_ = [served_estimator(one) for one in model.estimators_]
    if model.weights is not None:
        named = zip(model.estimators, model.weights, strict=True)
        # Dropped estimators have no weight.
        voting.weights = np.array([weight for (_, one), weight in named if one != "drop"])
    if getattr(model, "flatten_transform", False):
        voting.flatten_transform = False  # which only `transform` reads
    return voting


def _feature_union(model: Any) -> Any:
    union = copy.copy(model)
    union.transformer_list = [(name, _inner(step)) for name, step in model.transformer_list]
    return union


def _column_transformer(model: Any) -> Any:
    transformer = copy.copy(model)
    transformer.transformers_ = [
        (name, _inner(step), _places(columns, model)) for name, step, columns in model.transformers_
    ]
    return transformer


def _places(columns: Any, model: Any) -> Any:
    """Return the columns of a step as their names, or as places from 0 on."""
    if isinstance(columns, slice):
        return _sliced(columns, model)
    if isinstance(columns, str):
        return columns
    width = model.n_features_in_
    if np.ndim(columns) == 0:
        return int(columns) % width
    listed = list(columns)
    if all(isinstance(one, bool | np.bool_) for one in listed):
        return np.flatnonzero(listed).tolist()
    return [one if isinstance(one, str) else int(one) % width for one in listed]


def _sliced(columns: slice, model: Any) -> list[Any]:
    """Return the columns of a slice of places, or of names, whose end counts."""
    if not isinstance(columns.start, str) and not isinstance(columns.stop, str):
        return list(range(model.n_features_in_))[columns]
    names = list(model.feature_names_in_)
    start = None if columns.start is None else names.index(columns.start)
    stop = None if columns.stop is None else names.index(columns.stop) + 1
    return names[start : stop : columns.step]


def _elimination(model: Any) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline([("selection", model), ("estimator", served_estimator(model.estimator_))])


_REWRITES: dict[str, Callable[[Any], Any]] = {
    "ColumnTransformer": _column_transformer,
    "FeatureUnion": _feature_union,
    "FrozenEstimator": lambda model: served_estimator(model.estimator),
    "RFE": _elimination,
    "RFECV": _elimination,
    "SelfTrainingClassifier": lambda model: served_estimator(model.estimator_),
    "VotingClassifier": _voting,
    "VotingRegressor": _voting,
}
