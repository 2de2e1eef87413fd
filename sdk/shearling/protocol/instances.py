"""Plain JSON for people: `{"instances": [...]}`, answered as `{"predictions": [...]}`.

An instance is an object with a value for each input, or a list of such values in the signature's
order; of a model with one input it is that input's row, or an object with a value for each of the
columns that the model was pushed with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError, PredictionError
from shearling.protocol.requests import InferRequest, id_of, wanted_outputs
from shearling.protocol.responses import InferResponse
from shearling.tensors.conversion import array_of, check_array, shown
from shearling.tensors.dtypes import datatype_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature, TensorSpec

_EXPECTED = 'expected a list of rows, as in {"instances": [{"age": 40}, {"age": 20}]}'


def parse_instances(
    document: Mapping[str, Any], signature: Signature, columns: Sequence[str] = ()
) -> InferRequest:
    """Check a request of instances against a signature.

    Args:
        document: its JSON.
        signature: what the model takes and gives.
        columns: of the model's only input, if they have names.

    Raises:
        InvalidRequestError: it does not fit; the message names the row.
    """
    instances = document["instances"]
    if not isinstance(instances, list) or not instances:
        raise InvalidRequestError(f"instances: {_EXPECTED}")
    are_objects = isinstance(instances[0], dict)
    if are_objects:
        values = _by_name(instances, signature, columns)
    else:
        values = _by_place(instances, signature)
    outputs, binary = wanted_outputs(document, signature)
    if binary:
        raise InvalidRequestError("outputs: predictions are JSON; ask for bytes with `inputs`")
    return InferRequest(
        id=id_of(document),
        inputs={spec.name: _tensor(values[spec.name], spec) for spec in signature.inputs},
        outputs=outputs,
        rows="objects" if are_objects else "values",
    )


def predictions(
    model: str, version: str, request: InferRequest, outputs: Mapping[str, NDArray[Any]]
) -> InferResponse:
    """Return the answer in kind: objects for objects; values if there is one output, else objects.

    Raises:
        InvalidRequestError: an output has no form in JSON, or no row for each instance.
    """
    count = row_count(request)
    columns = {name: _rows(name, outputs[name], count) for name in request.outputs}
    document: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    if request.rows == "values" and len(columns) == 1:
        (document["predictions"],) = columns.values()
    else:
        rows = zip(*columns.values(), strict=True)
        document["predictions"] = [dict(zip(columns, row, strict=True)) for row in rows]
    return InferResponse(document)


def _by_name(
    instances: list[Any], signature: Signature, columns: Sequence[str]
) -> dict[str, list[Any]]:
    """Return the values of each input; rows of columns, if it is these that the objects name."""
    inputs = signature.by_name
    if not columns or instances[0].keys() == inputs.keys():
        _check_names(instances, {name: str(spec) for name, spec in inputs.items()}, "an input")
        return {name: [instance[name] for instance in instances] for name in inputs}
    _check_names(instances, {name: name for name in columns}, "a column")
    (only,) = inputs
    return {only: [[instance[name] for name in columns] for instance in instances]}


def _check_names(instances: list[Any], known: Mapping[str, str], kind: str) -> None:
    """Refuse an instance that is not an object with just these names, which are shown as said."""
    names = set(known)
    for i, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise InvalidRequestError(f"instances[{i}]: not an object, as the first one is")
        if instance.keys() == names:
            continue
        if missing := [said for name, said in known.items() if name not in instance]:
            raise InvalidRequestError(f"instances[{i}]: missing {', '.join(missing)}")
        unknown = next(name for name in instance if name not in names)
        raise InvalidRequestError(
            f"instances[{i}]: {shown(unknown)} is not {kind} of the model; it takes "
            f"{', '.join(known.values())}"
        )


def _by_place(instances: list[Any], signature: Signature) -> dict[str, list[Any]]:
    specs = signature.inputs
    if len(specs) == 1:
        return {specs[0].name: instances}
    for i, instance in enumerate(instances):
        if not isinstance(instance, list) or len(instance) != len(specs):
            raise InvalidRequestError(
                f"instances[{i}]: expected a list with a value for each of "
                f"{', '.join(map(str, specs))}"
            )
    columns = zip(*instances, strict=True)
    return {spec.name: list(column) for spec, column in zip(specs, columns, strict=True)}


def _tensor(values: list[Any], spec: TensorSpec) -> NDArray[Any]:
    place = f"instances: {spec.name!r}"
    if spec.datatype == "FP16":
        raise InvalidRequestError(f"{place}: FP16 has no form in JSON; send bytes, with `inputs`")
    return tensor_of(values, spec, place)


def tensor_of(values: list[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Return values, one a row, as the tensor of an input.

    Raises:
        InvalidRequestError: they do not fit.
    """
    array = array_of(values, spec, place)
    if array.ndim == 1 and spec.shape[1:] == (1,):
        array = array.reshape(-1, 1)  # a column
    return check_array(array, spec, place)


def row_count(request: InferRequest) -> int:
    """Return how many rows a request has.

    Raises:
        InvalidRequestError: it has none to count, for its inputs have no dimension.
    """
    array = next(iter(request.inputs.values()))
    if array.ndim == 0:
        raise InvalidRequestError("inputs: no rows, but a single value: ask for tensors, in JSON")
    return len(array)


def check_rows(name: str, array: NDArray[Any], count: int) -> None:
    """Refuse an output that cannot be told row by row.

    Raises:
        InvalidRequestError: it has no row for each of the request's.
        PredictionError: it is of no datatype.
    """
    if array.ndim == 0 or len(array) != count:
        raise InvalidRequestError(
            f"outputs: {name!r} has no row for each instance: choose other `outputs`, or ask with "
            "`inputs`"
        )
    if datatype_of(array) is None:
        raise PredictionError(f"the model gave {array.dtype} for {name!r}, which no datatype is")


def _rows(name: str, array: NDArray[Any], count: int) -> Sequence[Any]:
    check_rows(name, array, count)
    if array.dtype == np.float16:
        raise InvalidRequestError(f"outputs: {name!r} is FP16, which has no form in JSON")
    if array.shape[1:] == (1,):
        array = array.ravel()
    # Floats are written by orjson, as short as they can be read again; it knows not all integers.
    return list(np.ascontiguousarray(array)) if array.dtype.kind == "f" else array.tolist()
