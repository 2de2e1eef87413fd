"""The classes or features that name the columns of a model's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.protocol.class_names import FEATURES
from shearling.tensors.conversion import shown
from shearling.tensors.spec import Scalar, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shearling.tensors.spec import Classes, Signature

#: Outputs of a classifier that have a column for each class.
_BY_CLASS = ("probabilities", "scores")

#: Dimensions of outputs: rows and classes, or rows, targets and classes.
_OF_ONE, _OF_TARGETS = 2, 3


def with_classes(signature: Signature, model: object) -> Signature:
    """Return a signature whose outputs have the classes of a classifier, or names of features.

    Names that do not fit an output's columns, one by one, are left out.

    Args:
        signature: the signature of the converted model.
        model: the original, with the attribute `classes_` if it is a classifier.
    """
    if [spec.name for spec in signature.outputs] == [FEATURES]:
        (spec,) = signature.outputs
        named = replace(spec, classes=_fitting(_features(model), spec))
        return replace(signature, outputs=(named,))
    classes = getattr(model, "classes_", None)
    is_by_pair = getattr(model, "decision_function_shape", "") == "ovo"
    if classes is None or (is_by_pair and not hasattr(model, "predict_proba")):
        return signature
    outputs = (
        replace(spec, classes=_fitting(classes, spec)) if spec.name in _BY_CLASS else spec
        for spec in signature.outputs
    )
    return replace(signature, outputs=tuple(outputs))


def _features(model: Any) -> Sequence[str]:
    """Return the names of a transformer's columns; none if it was fitted without names."""
    if not hasattr(model, "feature_names_in_"):
        return ()
    try:
        return tuple(str(name) for name in model.get_feature_names_out())
    except Exception:  # noqa: BLE001 - a part of the transformer that does not name its columns
        return ()


def _fitting(classes: Any, spec: TensorSpec) -> Classes | None:
    if len(spec.shape) == _OF_ONE and not isinstance(classes, list):
        return _scalars(classes, spec.shape[-1])
    if len(spec.shape) == _OF_TARGETS and isinstance(classes, list):
        targets = [_scalars(target, spec.shape[-1]) for target in classes]
        named = tuple(target for target in targets if target)
        if len(named) == len(targets) and spec.shape[1] in (-1, len(named)):
            return named
    return None


def _scalars(classes: Any, columns: int) -> tuple[Scalar, ...] | None:
    """Return classes as Python's own values; None unless there is a scalar for each column."""
    values = tuple(np.asarray(classes).tolist())
    kinds = {type(value) for value in values}
    is_named = (
        len(kinds) == 1 and kinds <= set(get_args(Scalar)) and len(set(values)) == len(values)
    )
    return values if is_named and columns in (-1, len(values)) else None


def with_given_classes(signature: Signature, classes: Any) -> Signature:
    """Return a signature whose outputs have the classes that a push gives.

    Args:
        signature: the signature of the converted model.
        classes: names of the columns of the only output with as many, or a dict by output name.

    Raises:
        InvalidRequestError: the classes do not fit an output, or the model has its own.
    """
    given = (
        classes if isinstance(classes, Mapping) else {_named_output(signature, classes): classes}
    )
    unknown = [name for name in given if name not in signature.output_names]
    if unknown:
        raise InvalidRequestError(
            f"classes: {shown(unknown[0])} is not an output of the model; it gives "
            f"{', '.join(signature.output_names):.200}"
        )
    outputs = (
        _with_given(spec, given[spec.name]) if spec.name in given else spec
        for spec in signature.outputs
    )
    return replace(signature, outputs=tuple(outputs))


def _named_output(signature: Signature, classes: Any) -> str:
    """Return the name of the only output that has a column for each class."""
    if isinstance(classes, str) or not hasattr(classes, "__len__"):
        raise InvalidRequestError(
            f"classes: {shown(classes)} is not a list of names, as in ['cat', 'dog']"
        )
    count = len(classes)
    fitting = [
        spec.name
        for spec in signature.outputs
        if len(spec.shape) == _OF_ONE and spec.shape[-1] in (-1, count)
    ]
    if len(fitting) == 1:
        return fitting[0]
    gives = ", ".join(map(str, signature.outputs))
    advice = "pass a dict by output name" if fitting else "pass a name for each column"
    raise InvalidRequestError(
        f"classes: {count} names, and {len(fitting) or 'no'} outputs have as many columns; the "
        f"model gives {gives:.200}: {advice}"
    )


def _with_given(spec: TensorSpec, classes: Any) -> TensorSpec:
    fitting = None if isinstance(classes, str) else _scalars(tuple(classes), spec.shape[-1])
    if fitting is None or len(spec.shape) != _OF_ONE:
        raise InvalidRequestError(
            f"classes: {shown(classes)} do not name the columns of output {spec!s:.200}: pass a "
            "different name for each column, all texts or all numbers"
        )
    if spec.classes not in (None, fitting):
        raise InvalidRequestError(
            f"classes: output {spec.name!r:.80} has the model's own classes, "
            f"{shown(spec.classes)}: leave classes out"
        )
    return replace(spec, classes=fitting)
