"""Answers by class: the columns of an output under the names of their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import Classes, Scalar

#: The output of a classifier that has the class itself.
_LABEL = "label"

#: The output of a transformer, whose columns are features with names of their own.
FEATURES = "output"

#: Types of classes that a graph cannot return: its labels are integers or texts.
_NOT_IN_GRAPHS = (bool, float)


def class_text(value: Scalar) -> str:
    """Return a class as the name of a column or of a field, as JSON writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def targets_of(classes: Classes) -> list[tuple[Scalar, ...]]:
    """Return the classes of each target, of which there may be one."""
    targets = [target for target in classes if isinstance(target, tuple)]
    return targets or [tuple(value for value in classes if not isinstance(value, tuple))]


def column_names(name: str, array: NDArray[Any], classes: Classes | None) -> list[str] | None:
    """Return the names of an output's columns, as in `probabilities[stays]`; None without classes.

    A transformer's columns have their own names, as the model that takes them knows them.

    Args:
        name: name of the output.
        array: its values, of shape [rows, columns], or [rows, targets, columns].
        classes: the classes of its columns.
    """
    names = _names(array, classes)
    if names is None:
        return None
    if array.ndim == 2:  # noqa: PLR2004 - rows and columns
        return [column if name == FEATURES else f"{name}[{column}]" for column in names]
    return [f"{name}[{i}][{column}]" for i, target in enumerate(names) for column in target]


def answers_by_class(
    outputs: Mapping[str, NDArray[Any]], classes: Mapping[str, Classes]
) -> dict[str, list[Any]]:
    """Return the rows of the outputs that say more with classes; none of the others.

    A row of probabilities is an object with a value for each class; of several targets, a list of
    objects. The label has the classes' own type.

    Args:
        outputs: arrays of at least one dimension by output name.
        classes: classes of the outputs whose columns have names, by output name.
    """
    answers: dict[str, list[Any]] = {}
    for name, array in outputs.items():
        names = _names(array, classes.get(name))
        if names is not None:
            answers[name] = [_row(row, names) for row in array]
        elif name == _LABEL and classes and array.dtype.kind in "iu":
            answers[name] = _labels(array, next(iter(classes.values())))
    return answers


def _names(array: NDArray[Any], classes: Classes | None) -> list[Any] | None:
    """Return the columns' names, or those of each target; None if they are not the array's."""
    if not classes:
        return None
    names = [[*map(class_text, target)] for target in targets_of(classes)]
    width = len(names[0])
    if isinstance(classes[0], tuple):
        fits = array.shape[1:] == (len(names), width) and all(len(each) == width for each in names)
        return names if fits else None
    return names[0] if array.shape[1:] == (width,) else None


def _row(row: NDArray[Any], names: list[Any]) -> Any:
    if row.ndim == 1:
        return dict(zip(names, row, strict=True))
    return [_row(target, inner) for target, inner in zip(row, names, strict=True)]


def _labels(array: NDArray[Any], classes: Classes) -> list[Any]:
    """Return labels in the type of the classes, each target's in that of its own."""
    kinds = [type(target[0]) for target in targets_of(classes)]
    if array.size == len(array):
        return [_typed(label, kinds[0]) for label in array.ravel().tolist()]
    if array.shape[1:] != (len(kinds),):
        return list(array.tolist())
    return [
        [_typed(label, kind) for label, kind in zip(row, kinds, strict=True)]
        for row in array.tolist()
    ]


def _typed(label: int, kind: type[Scalar]) -> Scalar:
    return kind(label) if kind in _NOT_IN_GRAPHS else label
