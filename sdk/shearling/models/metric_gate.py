"""Judge by labels and a metric how much worse a smaller model is, with a confidence interval."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.models.agreement_gate import Quality
from shearling.models.predictions import predictions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shearling.models.predictions import Predictions
    from shearling.tensors.spec import Signature

    Tensors = Mapping[str, NDArray[Any]]
    Score = Callable[[Predictions, NDArray[np.intp]], float]

#: How often the rows are drawn again, with replacement, and the confidence of the interval in
#: percentiles.
_DRAWS, _INTERVAL = 300, (2.5, 97.5)

#: The least share of the draws for which the metric must be defined.
_DEFINED = 0.5

#: Ends of the names of functions that return what is to be small, as in scikit-learn.
_LOSSES = ("_error", "_loss", "_deviance")


@dataclass(frozen=True, slots=True)
class MetricGate:
    """A gate for rows with labels: the loss of a metric, at its upper end, must be small.

    Attributes:
        measure: name of the metric.
        max_loss: the largest loss that is allowed.
        _read: returns a model's predictions from its answers.
        _score: returns the metric of predictions on some rows; greater is better.
        _original: the predictions of the original.
        _drawn: the metric of the original on each draw, once it was computed.
    """

    measure: str
    max_loss: float
    _read: Callable[[Tensors], Predictions]
    _score: Score
    _original: Predictions
    _drawn: list[float] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        metric: str | Callable[..., float] | None,
        labels: NDArray[Any],
        signature: Signature,
        expected: Tensors,
        max_loss: float,
    ) -> MetricGate:
        """Return the gate for a metric.

        Args:
            metric: name of a scorer or a metric of scikit-learn, a scorer, or a function of the
                true and the predicted values. None: accuracy for classes, R2 for numbers.
            labels: the true value of each row.
            signature: the model's inputs and outputs.
            expected: the original's answers to the rows.
            max_loss: the largest loss that is allowed.

        Raises:
            InvalidRequestError: the metric is unknown, or cannot be computed.
        """
        read = partial(predictions_of, signature=signature, labels=labels, metric=metric)
        original = read(expected)
        if metric is None:
            metric = "accuracy" if original.classes is not None else "r2"
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", repr(metric))
        if original.classes is not None:
            _check_classes(labels, original.values)
        score = _score_of(metric, labels)
        gate = cls(f"{name:.80}", max_loss, read, score, original)
        try:
            gate._score(original, np.arange(len(labels)))
        except Exception as error:  # metrics raise errors of any class
            raise InvalidRequestError(
                f"metric {name!r:.80} cannot be computed from the model's answers: {error!s:.300}"
            ) from error
        return gate

    def judge(self, answers: Tensors) -> Quality:
        """Judge the answers to the judging rows by the loss and its interval."""
        given, rows = self._read(answers), np.arange(len(self._original.values))
        before, after = self._score(self._original, rows), self._score(given, rows)
        losses = self._losses(given, rows)
        quality = Quality(measure=self.measure, value=after, loss=before - after)
        if len(losses) < _DEFINED * _DRAWS:
            return replace(
                quality,
                problem=f"{self.measure} is not defined for most draws of the judging rows, so its "
                "loss has no interval: pass more rows, with all classes",
            )
        low, high = (float(np.percentile(losses, place)) for place in _INTERVAL)
        problem = (
            f"the loss of {self.measure} is {before - after:.4g}, and with 95 % confidence at most "
            f"{high:.4g}, but max_loss is {self.max_loss:g}"
        )
        is_small = max(high, before - after) <= self.max_loss
        return replace(quality, interval=(low, high), problem="" if is_small else problem)

    def _losses(self, given: Predictions, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the losses on rows drawn with replacement, the same for all models."""
        if not self._drawn:
            self._drawn.extend(self._drawn_scores(self._original, rows))
        losses = np.array(self._drawn) - self._drawn_scores(given, rows)
        return losses[np.isfinite(losses)]

    def _drawn_scores(self, given: Predictions, rows: NDArray[np.intp]) -> list[float]:
        random = np.random.default_rng(0)
        return [self._draw(given, random.choice(rows, len(rows))) for _ in range(_DRAWS)]

    def _draw(self, given: Predictions, rows: NDArray[np.intp]) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return self._score(given, rows)
            except ValueError:  # such as a single class among the rows
                return float("nan")


def _check_classes(labels: NDArray[Any], answered: NDArray[Any]) -> None:
    """Refuse labels of which no answer is right: no recipe could make that worse."""
    true, own = labels.ravel().tolist(), answered.ravel().tolist()
    if set(true).isdisjoint(own):
        raise InvalidRequestError(
            f"y: no label is a class that the model answers: y has {true[0]!r:.40}, and the model "
            f"{own[0]!r:.40}"
        )


def _score_of(metric: str | Callable[..., float], labels: NDArray[Any]) -> Score:
    """Return the function that computes a metric, where greater is better."""
    found = _named(metric) if isinstance(metric, str) else metric
    if hasattr(found, "_score_func"):  # a scorer of scikit-learn
        return lambda given, rows: float(found(given.estimator(), rows, labels[rows]))
    if not callable(found):
        raise InvalidRequestError(
            f"metric {metric!r:.80} is neither the name of a metric nor a function"
        )
    sign = -1 if getattr(found, "__name__", "").endswith(_LOSSES) else 1
    return lambda given, rows: sign * float(found(labels[rows], given.values[rows]))


def _named(name: str) -> Callable[..., float]:
    """Return scikit-learn's scorer, or else its metric, of a name."""
    try:
        from sklearn import metrics
    except ImportError as error:
        raise InvalidRequestError(
            f"metric {name!r:.80} needs scikit-learn: pip install 'shearling[sklearn]', or pass a "
            "function of the true and the predicted values"
        ) from error
    known = metrics.get_scorer_names()
    for candidate in (name, f"neg_{name}"):
        if candidate in known:
            scorer: Callable[..., float] = metrics.get_scorer(candidate)
            return scorer
    function = getattr(metrics, name, None) if name in metrics.__all__ else None
    if not callable(function) or isinstance(function, type):
        raise InvalidRequestError(
            f"metric {name!r:.80} is not a metric of scikit-learn: expected for example "
            "'accuracy', 'roc_auc', 'f1_macro', 'r2' or 'neg_mean_absolute_error', or a function"
        )
    return function  # type: ignore[no-any-return] # scikit-learn has no types
