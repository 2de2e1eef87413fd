"""Judge a student by held-out rows: its agreement with the teacher, and its quality by labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.models.labelled_rows import are_known
from shearling.models.r2 import least_r2
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.models.teacher import Answers

#: Share of the errors of a constant answer that a student may make.
_OF_CONSTANT = 0.5

#: Standard errors beyond which a difference between two students is not chance.
_BEYOND_CHANCE = 1.64


@dataclass(frozen=True, slots=True)
class Judge:
    """Compares answers to the held-out rows with the teacher's and with the labels.

    Attributes:
        expected: the teacher's labels or numbers.
        labels: the right ones, with None or NaN where there is none; None if there are none at all.
        min_agreement: the agreement that passes.
        are_classes: whether the answers are classes, rather than numbers.
    """

    expected: NDArray[Any]
    labels: NDArray[Any] | None
    min_agreement: float
    are_classes: bool

    @classmethod
    def of(cls, answers: Answers, labels: Any, min_agreement: float) -> Judge:
        """Return the judge for the teacher's answers to the held-out rows.

        Raises:
            InvalidRequestError: the labels are of another kind than the teacher's answers.
        """
        if answers.labels is None:
            judge = cls(answers.values, labels, min_agreement, are_classes=False)
        else:
            judge = cls(answers.labels, labels, min_agreement, are_classes=True)
        judge._check(answers)
        return judge

    @property
    def labelled_rows(self) -> int:
        """Number of held-out rows with a label."""
        return 0 if self.labels is None else int(self.is_labelled(self.labels).sum())

    def agreement(self, own: NDArray[Any]) -> float:
        """Return the share of equal labels, or R2."""
        return _score(own, self.expected, are_classes=self.are_classes)

    def quality(self, own: NDArray[Any]) -> float | None:
        """Return the same against the labels; None without labels."""
        if self.labels is None or not self.labelled_rows:
            return None
        known = self.is_labelled(self.labels)
        return _score(own[known], self._known(), are_classes=self.are_classes)

    def verdict(self, own: NDArray[Any]) -> str:
        """Return "passes", or why the answers fail."""
        agreement = self.agreement(own)
        if agreement < self.min_agreement:
            return f"fails: {agreement:.3f} is below {self.min_agreement:g}"
        if not self.are_classes:
            return "passes"
        classes, counts = np.unique(self.expected, return_counts=True)
        constant = 1 - counts.max() / len(self.expected)
        if 1 - agreement > _OF_CONSTANT * constant:
            usual = classes[counts.argmax()]
            return (
                f"fails: it disagrees in {1 - agreement:.1%} of the rows, and the answer "
                f"{shown(usual)} to all of them in {constant:.1%}"
            )
        return "passes"

    def conclusion(self, own: NDArray[Any], on_labels: NDArray[Any]) -> str:
        """Return whether the same student, fitted on the labels, is as good."""
        before, after = self.quality(on_labels), self.quality(own)
        if before is None or after is None or self.labels is None:
            return ""
        known = self.is_labelled(self.labels)
        right = self._known()
        losses = [
            _losses(answers[known], right, are_classes=self.are_classes)
            for answers in (on_labels, own)
        ]
        gain = losses[0] - losses[1]
        error = gain.std() / np.sqrt(len(gain))
        numbers = (
            f"{before:.3f} on the labels, {after:.3f} on the teacher's answers, judged by "
            f"{len(gain):,} labelled rows"
        )
        if gain.mean() <= 0:
            return (
                f"Fitted on the labels, the same student is as good ({numbers}): you do not need "
                "the teacher"
            )
        if gain.mean() <= _BEYOND_CHANCE * error:
            return (
                "Fitted on the labels, the same student is as good as so few rows can tell "
                f"({numbers})"
            )
        return f"The student is better than the same one fitted on the labels ({numbers})"

    def is_labelled(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which rows have a label."""
        return are_known(labels)

    def _known(self) -> NDArray[Any]:
        assert self.labels is not None  # noqa: S101 - asked only with labels
        known = self.labels[self.is_labelled(self.labels)]
        return known if self.are_classes else known.astype(np.float64)

    def _check(self, answers: Answers) -> None:
        """Refuse labels that can never be equal to the teacher's, such as '1' and 1."""
        if self.labels is None or not self.labelled_rows:
            return
        try:
            known = self._known()
        except ValueError as error:
            raise InvalidRequestError(
                f"y: {error!s:.100}, but the teacher gives numbers: pass numbers"
            ) from error
        if answers.classes is None:
            if not np.isfinite(known).all():
                raise InvalidRequestError("y has an infinite number: leave out its row")
            if known.shape[1:] != answers.values.shape[1:]:
                raise InvalidRequestError(
                    f"y has shape {list(known.shape)}, but the teacher's numbers "
                    f"{list(answers.values.shape)}"
                )
            return
        if known.ndim > 1 or not np.isin(known, answers.classes.tolist()).any():
            raise InvalidRequestError(
                f"y: no label is a class of the teacher: y has {shown(known.tolist()[0])}, and "
                f"the teacher {shown(answers.classes.tolist()[0])}: pass y in the teacher's classes"
            )


def labels_of(y: Any, rows: int) -> Any:
    """Return labels as an array; None for no labels.

    Raises:
        InvalidRequestError: there is not one for each row.
    """
    if y is None:
        return None
    labels = np.asarray(y)
    if labels.dtype.kind == "U":
        labels = labels.astype(object)
    if labels.ndim > 1 and labels.shape[1:] == (1,):
        labels = labels.ravel()
    if labels.ndim not in (1, 2) or len(labels) != rows:
        raise InvalidRequestError(
            f"y has shape {list(labels.shape)}, but X has {rows} rows: pass one label for each, "
            "and None or NaN for a row without one"
        )
    return labels


def _score(own: NDArray[Any], right: NDArray[Any], *, are_classes: bool) -> float:
    if are_classes:
        return float(np.mean(own == right))
    return least_r2(own.reshape(right.shape), right)


def _losses(own: NDArray[Any], right: NDArray[Any], *, are_classes: bool) -> NDArray[Any]:
    losses: NDArray[Any]
    if are_classes:
        losses = (own != right).astype(float)
    else:
        squared = (own.reshape(right.shape) - right) ** 2
        losses = squared.reshape(len(right), -1).sum(axis=1)
    return losses
