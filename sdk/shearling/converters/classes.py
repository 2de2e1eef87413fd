"""The classes or features that name the columns of a model's outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from shearling.protocol.class_names import FEATURES
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
