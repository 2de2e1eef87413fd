"""A model's signature in its metadata, which the runtime writes and clients read.

The protocol's metadata of a tensor are its name, datatype and shape. What else the signature says
is in `parameters`, as the protocol's own messages have them: other clients ignore them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shearling.errors import InferenceError
from shearling.tensors.spec import Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.tensors.spec import Categories, Classes, Scalar

#: Known categories of a column that metadata list at most, so that they fit into a response. The
#: runtime knows the others too.
_MOST_CATEGORIES = 1_000

_SCALARS = (str, int, float, type(None))


def signature_metadata(signature: Signature) -> dict[str, Any]:
    """Return the inputs and outputs of a model's metadata."""
    return {
        "inputs": [_tensor_metadata(spec) for spec in signature.inputs],
        "outputs": [_tensor_metadata(spec) for spec in signature.outputs],
    }


def read_signature(document: Mapping[str, Any]) -> Signature:
    """Return the signature in a model's metadata.

    Raises:
        InferenceError: the metadata have an invalid input or output.
    """
    return Signature(
        inputs=_read_specs(document, "inputs"),
        outputs=_read_specs(document, "outputs"),
        independent_rows=_parameters(document).get("independent_rows") is not False,
    )


def read_columns(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the column names of the only input in a model's metadata; none if it has none."""
    columns = _parameters(document).get("columns")
    return tuple(map(str, columns)) if isinstance(columns, list) else ()


def _tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": spec.name,
        "datatype": spec.datatype,
        "shape": list(spec.shape),
    }
    parameters: dict[str, Any] = {}
    if not spec.nullable:
        parameters["nullable"] = False
    if spec.finite:
        parameters["finite"] = True
    if spec.classes:
        parameters["classes"] = spec.classes
    if spec.content:
        parameters["content"] = spec.content
    if spec.categories:
        parameters["categories"] = [
            values if values and len(values) <= _MOST_CATEGORIES else None
            for values in spec.categories
        ]
    return document | ({"parameters": parameters} if parameters else {})


def _read_specs(document: Mapping[str, Any], group: str) -> tuple[TensorSpec, ...]:
    try:
        return tuple(map(_read_spec, document.get(group) or ()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InferenceError(
            f"the model's metadata have invalid {group}: {document[group]!r:.200}"
        ) from error


def _read_spec(tensor: Mapping[str, Any]) -> TensorSpec:
    parameters = _parameters(tensor)
    shape = tuple(map(int, tensor["shape"]))
    return TensorSpec(
        name=str(tensor["name"]),
        datatype=str(tensor["datatype"]),
        shape=shape,
        nullable=parameters.get("nullable") is not False,
        finite=parameters.get("finite") is True,
        classes=_read_classes(parameters.get("classes")),
        categories=_read_categories(parameters.get("categories"), shape),
        content="image" if parameters.get("content") == "image" else None,
    )


def _read_classes(classes: object) -> Classes | None:
    if not isinstance(classes, list) or not classes:
        return None
    if all(isinstance(target, list) for target in classes):
        return tuple(map(tuple, classes))
    return tuple(classes)


def _read_categories(columns: object, shape: tuple[int, ...]) -> Categories | None:
    count = shape[-1] if shape[1:] else 1
    if not isinstance(columns, list) or len(columns) != count:
        return None
    return tuple(map(_read_column, columns))


def _read_column(values: object) -> tuple[Scalar, ...] | None:
    if not isinstance(values, list) or not all(isinstance(v, _SCALARS) for v in values):
        return None
    # JSON has no NaN: null is the missing value.
    return tuple(math.nan if value is None else value for value in values)


def _parameters(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a document; none if another server has something else there."""
    parameters = document.get("parameters")
    return parameters if isinstance(parameters, dict) else {}
