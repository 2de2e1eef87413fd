"""Read a model's answers as predictions that can be compared with labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.models.agreement_gate import are_probabilities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature

    Tensors = Mapping[str, NDArray[Any]]

_MATRIX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a model predicts for some rows.

    Attributes:
        values: the class or the number for each row; for other outputs, what the model answers.
        classes: the classes; None for numbers.
        scores: probabilities or scores of the classes, one column each; None if the model does not
            answer them.
    """

    values: NDArray[Any]
    classes: NDArray[Any] | None = None
    scores: NDArray[Any] | None = None

    def estimator(self) -> Any:
        """Return an estimator for scikit-learn's scorers, which predicts for places of rows."""
        from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

        values, scores = self.values, self.scores

        class _Answers(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
            def fit(self, *_: Any) -> Any:
                return self

            def __sklearn_is_fitted__(self) -> bool:
                return True

            def predict(self, rows: NDArray[np.intp]) -> NDArray[Any]:
                return values[rows]

        class _Classes(ClassifierMixin, _Answers):  # type: ignore[misc]
            classes_ = self.classes

        class _Probabilities(_Classes):
            def predict_proba(self, rows: NDArray[np.intp]) -> NDArray[Any]:
                assert scores is not None  # noqa: S101 - the class is for models with scores
                return scores[rows]

        class _Numbers(RegressorMixin, _Answers):  # type: ignore[misc]
            pass

        if self.classes is None:
            return _Numbers()
        return _Classes() if scores is None else _Probabilities()


def predictions_of(
    answers: Tensors, *, signature: Signature, labels: NDArray[Any], metric: object
) -> Predictions:
    """Return what a model's answers predict.

    Answers are classes if there is an output `label`, or probabilities, or as many scores as the
    labels need, or no floats; a function as the metric gets anything else as the model answers it.

    Args:
        answers: the model's answers by output name.
        signature: the model's inputs and outputs.
        labels: the true value of each row.
        metric: what is to be computed.

    Raises:
        InvalidRequestError: the answers do not have a value for each label.
    """
    scores, classes = _scores(answers, signature, labels, metric)
    if "label" in answers:
        values = answers["label"]
        known = (
            np.unique(np.concatenate([values.ravel(), labels.ravel()]))
            if not len(classes)
            else classes
        )
        return Predictions(values=values, classes=known, scores=scores)
    if scores is not None:
        return Predictions(values=classes[scores.argmax(axis=1)], classes=classes, scores=scores)
    values = answers[signature.output_names[0]]
    if values.shape[1:] == (1,) and labels.ndim == 1:
        values = values[:, 0]
    if len(values) != len(labels):
        raise InvalidRequestError(
            f"y: {len(labels)} labels, but the model has {len(values)} answers to their rows"
        )
    are_classes = values.dtype.kind != "f" and not callable(metric)
    return Predictions(values=values, classes=np.unique(values) if are_classes else None)


def _scores(
    answers: Tensors, signature: Signature, labels: NDArray[Any], metric: object
) -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """Return the first output with a score for each class, and the classes."""
    is_named = not callable(metric)
    for name in signature.output_names:
        array, named = answers[name], signature.classes.get(name)
        if is_named and _is_probability(array, labels, metric):
            second = array.reshape(-1)
            return np.stack([1 - second, second], axis=1), np.arange(2)
        if array.ndim != _MATRIX or array.dtype.kind != "f" or array.shape[1] < 2:  # noqa: PLR2004
            continue
        if named is not None and len(named) == array.shape[1]:
            return array, np.array(named)
        numbers = np.arange(array.shape[1])
        are_places = labels.dtype.kind in "iub" and bool(np.isin(labels, numbers).all())
        if are_places and (are_probabilities(array) or is_named):
            return array, numbers
    return None, np.empty(0)


def _is_probability(array: NDArray[Any], labels: NDArray[Any], metric: object) -> bool:
    """Return whether an output has the probability of the second of two classes, 0 and 1.

    The labels may be floats, as torch wants them, unless a metric is named: it may be for numbers.
    """
    kinds = "iubf" if metric is None else "iub"
    is_single = array.dtype.kind == "f" and array.shape in ((len(labels),), (len(labels), 1))
    are_two = (
        labels.dtype.kind in kinds and labels.ndim == 1 and bool(np.isin(labels, (0, 1)).all())
    )
    return is_single and are_two and bool(((array >= 0) & (array <= 1)).all())
