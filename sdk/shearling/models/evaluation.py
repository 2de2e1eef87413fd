"""Compute the standard metrics of a converted model on labelled rows."""

from __future__ import annotations

import warnings
from collections.abc import Sized
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.bundle.evaluation import Evaluation
from shearling.errors import FormatError, InvalidRequestError
from shearling.models.agreement_gate import are_probabilities
from shearling.models.labelled_rows import all_labels_of
from shearling.models.predictions import Predictions, predictions_of
from shearling.models.tensor_rows import count_of, in_blocks
from shearling.tensors.inputs import to_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest
    from shearling.formats.base import Predictor, Tensors
    from shearling.tensors.spec import Signature

#: Rows of one call of a model whose rows do not depend on each other.
_BLOCK = 1000

_MATRIX = 2


def check_labelled(value: object) -> None:
    """Refuse what is no pair of rows and labels.

    Raises:
        InvalidRequestError: it is none.
    """
    if not isinstance(value, tuple | list) or len(value) != 2:  # noqa: PLR2004 - X and y
        given = f"{value!r:.80}"
        if isinstance(value, Sized):  # such as a DataFrame, which has many lines
            given = f"is a {type(value).__name__} of length {len(value)}"
        raise InvalidRequestError(
            f"evaluate {given}: expected rows and their labels, as in evaluate=(X_test, y_test)"
        )
    if value[1] is None:
        raise InvalidRequestError("evaluate: y is None: pass a label for each row")


def evaluate(predictor: Predictor, manifest: Manifest, labelled: Any) -> Evaluation:
    """Return the metrics of a loaded model on labelled rows.

    Classes get accuracy, balanced accuracy and macro F1, and with probabilities also log loss and
    ROC AUC. Numbers get R2, mean absolute error and root mean squared error.

    Args:
        predictor: the loaded model.
        manifest: its manifest.
        labelled: the rows and their labels.

    Raises:
        InvalidRequestError: the rows do not fit the model, or the labels its answers.
        FormatError: scikit-learn is not installed.
    """
    rows, y = labelled
    try:
        inputs = to_tensors(rows, manifest.signature.inputs, manifest.options.get("columns", ()))
    except InvalidRequestError as error:
        raise InvalidRequestError(f"evaluate: {error}") from error
    count = count_of(inputs)
    if not count:
        raise InvalidRequestError("evaluate: there are no rows: pass some, with their labels")
    labels = all_labels_of(y, count, "evaluate: y")
    answers = answers_to(predictor, inputs, manifest.signature)
    return metrics_of_answers(answers, labels, manifest, what="evaluate: y")


def answers_to(predictor: Predictor, inputs: Tensors, signature: Signature) -> Tensors:
    """Return a model's outputs for any number of rows, which it gets in blocks.

    Raises:
        InvalidRequestError: the model fails.
    """
    size = _BLOCK if signature.independent_rows else count_of(inputs)
    try:
        return in_blocks(partial(predictor.predict, outputs=signature.output_names), inputs, size)
    except InvalidRequestError:
        raise
    except Exception as error:  # models raise errors of any class
        raise InvalidRequestError(f"the model fails on the rows: {error!s:.300}") from error


def metrics_of_answers(
    answers: Tensors, labels: NDArray[Any], manifest: Manifest, *, what: str
) -> Evaluation:
    """Return the metrics of answers.

    Args:
        answers: the answers by output name.
        labels: the label of each row.
        manifest: the model's manifest.
        what: what messages call the labels.

    Raises:
        InvalidRequestError: the labels do not fit the answers.
        FormatError: scikit-learn is not installed.
    """
    try:
        import sklearn.metrics  # noqa: F401 - a clear error if it is missing
    except ImportError as error:
        raise FormatError("metrics need scikit-learn: pip install 'shearling[sklearn]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as a class that is never predicted
        try:
            found = dict(_metrics(answers, labels, manifest.signature))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{what}: {error}") from error
        except (ValueError, TypeError) as error:
            raise InvalidRequestError(
                f"{what}: the metrics cannot be computed: {error!s:.300}"
            ) from error
    return Evaluation(
        rows=len(labels),
        metrics={name: float(value) for name, value in found.items() if np.isfinite(value)},
    )


def _metrics(
    answers: Tensors, labels: NDArray[Any], signature: Signature
) -> Iterator[tuple[str, float]]:
    given = _predicted(answers, labels, signature)
    values, classes = given.values, given.classes
    if classes is None:
        if values.size != labels.size:
            raise InvalidRequestError(
                f"it has shape {list(labels.shape)}, and the model's answers have shape "
                f"{list(values.shape)}: pass a number for each of these, or for scores of classes "
                "the place of a class for each row, from 0"
            )
        yield from _of_numbers(values.reshape(labels.shape).astype(float), labels.astype(float))
        return
    if labels.ndim > 1 or not np.isin(labels, classes.tolist()).any():
        raise InvalidRequestError(
            f"no label is a class of the model: y has {labels.tolist()[0]!r:.40}, and the model "
            f"{classes.tolist()[0]!r:.40}"
        )
    yield from _of_classes(values, labels)
    are_known = np.isin(labels, classes.tolist()).all()
    if given.scores is not None and are_probabilities(given.scores) and are_known:
        yield from _of_probabilities(given.scores, labels, classes)


def _of_numbers(values: NDArray[Any], labels: NDArray[Any]) -> Iterator[tuple[str, float]]:
    from sklearn import metrics

    yield "r2", metrics.r2_score(labels, values)
    yield "mean_absolute_error", metrics.mean_absolute_error(labels, values)
    yield "root_mean_squared_error", metrics.root_mean_squared_error(labels, values)


def _of_classes(values: NDArray[Any], labels: NDArray[Any]) -> Iterator[tuple[str, float]]:
    from sklearn import metrics

    yield "accuracy", metrics.accuracy_score(labels, values)
    yield "balanced_accuracy", metrics.balanced_accuracy_score(labels, values)
    yield "f1_macro", metrics.f1_score(labels, values, average="macro")


def _of_probabilities(
    probabilities: NDArray[Any], labels: NDArray[Any], classes: NDArray[Any]
) -> Iterator[tuple[str, float]]:
    from sklearn import metrics

    order = np.argsort(classes)  # as scikit-learn wants the columns
    columns = probabilities[:, order].astype(float).clip(0)  # trees answer -1e-7 for zero
    columns /= columns.sum(axis=1, keepdims=True)
    known = classes[order]
    yield "log_loss", metrics.log_loss(labels, columns, labels=known)
    if set(labels.tolist()) != set(known.tolist()):
        return  # not defined without rows of each class
    if len(known) == _MATRIX:
        yield "roc_auc", metrics.roc_auc_score(labels == known[1], columns[:, 1])
    else:
        yield "roc_auc", metrics.roc_auc_score(labels, columns, multi_class="ovr", labels=known)


def _predicted(answers: Tensors, labels: NDArray[Any], signature: Signature) -> Predictions:
    """Return predicted values, with probabilities as the scores of classes.

    Unlike `predictions_of`, this takes the classes of a `label` from the model alone, so that other
    labels are found, and does not choose one of several outputs.

    Raises:
        InvalidRequestError: the outputs do not tell what to compare with the labels.
    """
    if "label" in answers:
        values = answers["label"]
        named = signature.classes.get("probabilities")
        scores = answers.get("probabilities")
        if named is None or scores is None or not are_probabilities(scores):
            return Predictions(values=values, classes=np.unique(values))
        classes = np.array(named, object if isinstance(named[0], str) else None)
        return Predictions(values=values, classes=classes, scores=scores)
    if len(answers) > 1:
        raise InvalidRequestError(
            f"the model has several outputs ({', '.join(answers)}) and none is named "
            "'label': compute the metrics yourself, and push the model with them as its metadata"
        )
    return predictions_of(answers, signature=signature, labels=labels, metric=None)
