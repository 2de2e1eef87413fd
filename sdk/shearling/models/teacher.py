"""Ask the model that students learn from, whatever form it has, for classes or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError, InvalidRequestError
from shearling.models.agreement_gate import are_probabilities
from shearling.models.load import LoadedModel, load_model
from shearling.models.row_split import taken_rows
from shearling.progress import progress
from shearling.tensors.conversion import shown
from shearling.tensors.inputs import as_array

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from shearling.refs import Pin
    from shearling.registry.registry import Registry

#: Rows of one call of a teacher.
_BLOCK = 1000

#: Rows for each class at least: integers with fewer are numbers.
_ROWS_OF_CLASS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a teacher answered to rows.

    Attributes:
        values: probabilities of shape [rows, classes], or numbers of shape [rows] or
            [rows, targets].
        classes: the classes in the order of the probabilities; None for numbers.
        labels: the teacher's label for each row; None for numbers.
        are_soft: whether the teacher gave probabilities, and not only labels.
    """

    values: NDArray[Any]
    classes: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    are_soft: bool = False

    def taken(self, places: NDArray[np.intp]) -> Answers:
        """Return the answers to some of the rows."""
        labels = None if self.labels is None else self.labels[places]
        return Answers(
            values=self.values[places],
            classes=self.classes,
            labels=labels,
            are_soft=self.are_soft,
        )

    @property
    def kind(self) -> str:
        """What the teacher gives: "probabilities", "labels" or "numbers"."""
        if self.classes is None:
            return "numbers"
        return "probabilities" if self.are_soft else "labels"


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model to learn from.

    Attributes:
        name: what it is called in a report.
        ask: returns labels, probabilities or numbers for rows, or labels with probabilities.
        classes: the classes in the order of the probabilities, where they are known.
        original: the object behind `ask`: an estimator, a callable or a loaded version.
        pin: the version, if the registry has the teacher.
    """

    name: str
    ask: Callable[[Any], Any]
    classes: Sequence[Any] | None
    original: Any
    pin: Pin | None = None

    @classmethod
    def of(
        cls,
        teacher: Any,
        *,
        classes: Sequence[Any] | None,
        allow_pickle: bool,
        registry: Registry,
    ) -> Teacher:
        """Return a teacher.

        Args:
            teacher: a ref, a fitted estimator, or a callable.
            classes: the classes of a teacher that gives probabilities without naming them.
            allow_pickle: whether a ref may name a pickle, which runs the code in it.
            registry: where refs are resolved.

        Raises:
            InvalidRequestError: it is none of these.
        """
        if isinstance(teacher, str):
            loaded = load_model(teacher, allow_pickle=allow_pickle, registry=registry)
            known = loaded.signature.classes.get("probabilities") if classes is None else classes
            name = f"{loaded.pin.model}:{loaded.pin.version}"
            return cls(name, lambda rows: _of_outputs(loaded, rows), known, loaded, loaded.pin)
        ask = getattr(teacher, "predict", teacher)
        if isinstance(teacher, type) or not callable(ask):
            raise InvalidRequestError(
                f"teacher {teacher!r:.80}: expected a ref such as 'fraud:7', a fitted estimator, "
                "or a callable that returns labels, probabilities or numbers for rows"
            )
        name = getattr(teacher, "__name__", type(teacher).__name__)
        if not hasattr(teacher, "predict_proba"):
            if hasattr(teacher, "classes_"):  # its labels may be floats
                return cls(name, lambda rows: (ask(rows), None), classes, teacher)
            return cls(name, ask, classes, teacher)
        known = getattr(teacher, "classes_", None) if classes is None else classes
        return cls(name, lambda rows: (ask(rows), teacher.predict_proba(rows)), known, teacher)

    def answers(self, rows: Any) -> Answers:
        """Ask about rows, in blocks.

        Raises:
            FormatError: the teacher fails, or its answers are no labels, probabilities or numbers.
        """
        blocks = []
        with progress(f"ask {self.name}", len(rows), unit="row") as advance:
            for start in range(0, len(rows), _BLOCK):
                block = taken_rows(rows, slice(start, start + _BLOCK))
                blocks.append(self._block(block))
                advance(len(block))
        labels, values = (
            None if parts[0] is None else np.concatenate(parts)
            for parts in zip(*blocks, strict=True)
        )
        return self._answers(labels, values)

    def _block(self, rows: Any) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        """Return labels and values; one of them may be None."""
        try:
            answer = self.ask(rows)
        except Exception as error:
            raise FormatError(f"teacher {self.name} fails on the rows: {error!r:.300}") from error
        if isinstance(answer, tuple) and len(answer) == 2:  # noqa: PLR2004 - labels and values
            return (
                self._array(answer[0], rows),
                None if answer[1] is None else self._array(answer[1], rows),
            )
        array = self._array(answer, rows)
        if array.dtype.kind in "OU" or (array.ndim == 1 and array.dtype.kind != "f"):
            return array, None
        return None, array

    def _array(self, answer: Any, rows: Any) -> NDArray[Any]:
        array = as_array(answer, f"the answer of teacher {self.name}")
        if array.ndim > 1 and array.shape[1:] == (1,):
            array = array.ravel()
        if array.ndim not in (1, 2) or len(array) != len(rows):
            raise FormatError(
                f"teacher {self.name} returns shape {list(array.shape)} for {len(rows)} rows: "
                "expected labels or numbers of shape [rows], or probabilities of shape "
                "[rows, classes]. Pass a callable that returns one of these"
            )
        if array.dtype.kind not in "biufUO":
            raise FormatError(
                f"teacher {self.name} returns values of type {array.dtype}: expected strings, "
                "integers or booleans as labels, or floats"
            )
        return array

    def _answers(self, labels: NDArray[Any] | None, values: NDArray[Any] | None) -> Answers:
        if values is not None:
            values = values.astype(np.float64)
            if not np.isfinite(values).all():
                row = int(np.argmin(np.isfinite(values.reshape(len(values), -1)).all(axis=1)))
                raise FormatError(f"teacher {self.name}: the answer to row {row} is not finite")
        if labels is None:
            assert values is not None  # noqa: S101 - a block has labels or values
            values = self._in_columns(values)
            if not are_probabilities(values):
                return self._of_numbers(values)
        if values is None or not are_probabilities(values):
            return self._of_labels(np.asarray(labels))
        classes = self._classes(labels, values)
        if labels is None:
            labels = classes[values.argmax(axis=1)]
        return Answers(values=values, classes=classes, labels=labels, are_soft=True)

    def _in_columns(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return probabilities of the second of two classes as those of both."""
        are_two = self.classes is not None and np.size(self.classes) == 2  # noqa: PLR2004
        if are_two and values.ndim == 1 and values.min() >= 0 and values.max() <= 1:
            return np.column_stack([1 - values, values])
        return values

    def _of_numbers(self, values: NDArray[Any]) -> Answers:
        if self.classes is not None:
            raise InvalidRequestError(
                f"classes: teacher {self.name} returns numbers of shape {list(values.shape)} that "
                f"are no probabilities of {np.size(self.classes)} classes: leave out classes, or "
                "return probabilities of shape [rows, classes]"
            )
        return Answers(values=values)

    def _of_labels(self, labels: NDArray[Any]) -> Answers:
        if labels.ndim > 1:
            raise FormatError(
                f"teacher {self.name} returns labels of shape {list(labels.shape)}: distil one "
                "student for each target, with a callable that returns its labels"
            )
        if labels.dtype.kind == "O" and not all(isinstance(label, str) for label in labels):
            raise FormatError(
                f"teacher {self.name} returns objects, such as {labels[0]!r:.80}: expected "
                "strings, integers or booleans as labels, or floats"
            )
        if (
            self.classes is not None
            and not np.isin(labels, np.asarray(self.classes).tolist()).all()
        ):
            raise InvalidRequestError(
                f"classes: teacher {self.name} returns labels such as "
                f"{shown(labels.tolist()[0])}, which name their classes: leave out classes"
            )
        labels = labels.astype(str).astype(object) if labels.dtype.kind in "UO" else labels
        classes, places = np.unique(labels, return_inverse=True)
        if len(classes) == 1:
            raise FormatError(
                f"teacher {self.name} returns only one class, {shown(classes.tolist()[0])}, for "
                f"{len(labels):,} rows: pass rows of each class"
            )
        if len(classes) > len(labels) / _ROWS_OF_CLASS:
            raise FormatError(
                f"teacher {self.name} returns {len(classes):,} different labels for "
                f"{len(labels):,} rows: pass {_ROWS_OF_CLASS} rows for each class or more. If the "
                "labels are numbers, return floats"
            )
        return Answers(values=np.eye(len(classes))[places], classes=classes, labels=labels)

    def _classes(self, labels: NDArray[Any] | None, values: NDArray[Any]) -> NDArray[Any]:
        """Return the classes of the columns of probabilities."""
        columns = values.shape[1]
        if self.classes is not None:
            classes = np.asarray(self.classes)
            classes = classes.astype(object) if classes.dtype.kind == "U" else classes
            if classes.ndim != 1 or len(set(classes.tolist())) != columns:
                raise InvalidRequestError(
                    f"classes: teacher {self.name} returns {columns} probabilities for a row: pass "
                    f"{columns} different classes, in their order"
                )
            return classes
        if labels is None:
            return np.arange(columns)
        found = _classes_by_label(labels, values)
        if found is None:
            raise FormatError(
                f"teacher {self.name} does not name the classes of its {columns} probabilities, "
                "and its labels for these rows do not tell them: pass classes=[...], in the order "
                "of the probabilities"
            )
        return found


def _of_outputs(model: LoadedModel, rows: Any) -> Any:
    """Return the outputs of a loaded version that tell classes or numbers."""
    outputs = model.predict(rows)
    if "label" in outputs:
        return outputs["label"], outputs.get("probabilities")
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    raise FormatError(
        f"{model.pin.model}:{model.pin.version} has several outputs ({', '.join(outputs)}): pass a "
        "callable that returns the one to learn, such as "
        f"lambda rows: model.predict(rows)[{next(iter(outputs))!r}]"
    )


def _classes_by_label(labels: NDArray[Any], values: NDArray[Any]) -> NDArray[Any] | None:
    """Return the classes of columns, of which each is the likeliest of rows with one label."""
    likeliest = values.argmax(axis=1)
    named = [np.unique(labels[likeliest == column]) for column in range(values.shape[1])]
    if any(len(found) != 1 for found in named):
        return None
    classes = np.concatenate(named)
    return classes if len(np.unique(classes)) == len(classes) else None
