"""Requests and responses by row: `{"instances": [...]}` and `{"predictions": [...]}`.

An instance is an object with a value for each input, or a list of the values in the signature's
order. For a model with one input, an instance is a row of that input, or an object with a value for
each column that the model was pushed with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError, PredictionError
from shearling.protocol.class_names import answers_by_class
from shearling.protocol.keys import REQUEST_KEYS, check_keys
from shearling.protocol.requests import InferRequest, id_of, outputs_by_class, wanted_outputs
from shearling.protocol.responses import InferResponse, head_of_answer
from shearling.tensors.categories import check_categories
from shearling.tensors.conversion import check_array, shown
from shearling.tensors.dtypes import datatype_of
from shearling.tensors.json_values import array_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.tensors.spec import Classes, Signature, TensorSpec

_EXPECTED = 'expected a list of rows, as in {"instances": [{"age": 40}, {"age": 20}]}'


def parse_instances(
    document: Mapping[str, Any], signature: Signature, columns: Sequence[str] = ()
) -> InferRequest:
    """Parse a request of instances and check it against a signature.

    Args:
        document: decoded JSON of the request.
        signature: signature of the model.
        columns: column names of the model's only input, if it has any.

    Raises:
        InvalidRequestError: the request does not match the signature; the message names the row.
    """
    if not document.keys() <= REQUEST_KEYS:
        check_keys(document, REQUEST_KEYS)
    instances = document["instances"]
    if not isinstance(instances, list) or not instances:
        raise InvalidRequestError(f"instances: {_EXPECTED}")
    are_objects = isinstance(instances[0], dict)
    if are_objects:
        values = _by_name(instances, signature, columns)
    else:
        values = _by_place(instances, signature)
    inputs = {spec.name: _tensor(values[spec.name], spec) for spec in signature.inputs}
    check_categories(inputs, signature.categorical, columns, place="instances")
    outputs, binary = wanted_outputs(document, signature)
    if binary:
        raise InvalidRequestError(
            "outputs: predictions are always JSON; to get binary data, send `inputs` instead of "
            "`instances`"
        )
    return InferRequest(
        id=id_of(document),
        inputs=inputs,
        outputs=outputs,
        rows="objects" if are_objects else "values",
        by_class=outputs_by_class(document, signature),
    )


def predictions(
    model: str,
    version: str,
    request: InferRequest,
    outputs: Mapping[str, NDArray[Any]],
    classes: Mapping[str, Classes] | None = None,
) -> InferResponse:
    """Return the response to a request of instances.

    A prediction is a value if the instances were values and there is one output. Otherwise it is an
    object with a value for each output.

    Args:
        model: name of the model.
        version: version of the model.
        request: the request.
        outputs: arrays by output name.
        classes: classes of the outputs whose columns have names, which are used if the request asks
            for them.

    Raises:
        InvalidRequestError: an output cannot be written as JSON, or does not have one row for each
            instance.
        PredictionError: an output has a type that the protocol does not have.
    """
    count = row_count(request)
    columns = {name: _rows(name, outputs[name], count) for name in request.outputs}
    if request.by_class and classes:
        columns |= answers_by_class({name: outputs[name] for name in columns}, classes)
    document = head_of_answer(model, version, request)
    if request.rows == "values" and len(columns) == 1:
        (document["predictions"],) = columns.values()
    else:
        rows = zip(*columns.values(), strict=True)
        document["predictions"] = [dict(zip(columns, row, strict=True)) for row in rows]
    return InferResponse(document, truncated=request.truncated)


def _by_name(
    instances: list[Any], signature: Signature, columns: Sequence[str]
) -> dict[str, list[Any]]:
    """Return the values of each input; objects may have the inputs' or the columns' names."""
    inputs = signature.by_name
    if not columns or instances[0].keys() == inputs.keys():
        _check_names(instances, {name: str(spec) for name, spec in inputs.items()}, "an input")
        return {name: [instance[name] for instance in instances] for name in inputs}
    _check_names(instances, {name: name for name in columns}, "a column")
    (only,) = inputs
    return {only: [[instance[name] for name in columns] for instance in instances]}


def _check_names(instances: list[Any], known: Mapping[str, str], kind: str) -> None:
    """Refuse an instance that is not an object with exactly these names.

    Args:
        instances: instances of the request.
        known: name -> text for error messages.
        kind: kind of the names for error messages, as in "a column".
    """
    names = set(known)
    for i, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise InvalidRequestError(
                f"instances[{i}]: not an object, although instances[0] is one; all instances must "
                "be objects, or none"
            )
        if instance.keys() == names:
            continue
        check_keys(instance, known, f"instances[{i}]")
        if missing := [text for name, text in known.items() if name not in instance]:
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
        raise InvalidRequestError(
            f"{place}: JSON cannot carry FP16; send binary data, with `inputs` instead of "
            "`instances`"
        )
    return tensor_of(values, spec, place)


def tensor_of(values: list[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Convert values to the tensor of an input.

    Args:
        values: one value per row.
        spec: the input.
        place: field that error messages begin with.

    Raises:
        InvalidRequestError: the values do not match the input.
    """
    array = array_of(values, spec, place)
    if array.ndim == 1 and spec.shape[1:] == (1,):
        array = array.reshape(-1, 1)  # one column
    return check_array(array, spec, place)


def row_count(request: InferRequest) -> int:
    """Return the number of rows of a request.

    Raises:
        InvalidRequestError: the inputs have no dimensions, and so no rows.
    """
    array = next(iter(request.inputs.values()))
    if array.ndim == 0:
        raise InvalidRequestError(
            "inputs: a single value has no rows: request the outputs as JSON tensors"
        )
    return len(array)


def check_rows(name: str, array: NDArray[Any], count: int) -> None:
    """Refuse an output that cannot be returned row by row.

    Args:
        name: name of the output.
        array: values of the output.
        count: number of rows of the request.

    Raises:
        InvalidRequestError: the output does not have one row for each row of the request.
        PredictionError: the output has a type that the protocol does not have.
    """
    if array.ndim == 0 or len(array) != count:
        raise InvalidRequestError(
            f"outputs: {name!r} does not have one row for each of the {count} rows of the request: "
            "select other `outputs`, or send `inputs` and request JSON"
        )
    if datatype_of(array) is None:
        raise PredictionError(
            f"the model returned {array.dtype} for output {name!r}, which is not a datatype of the "
            "protocol"
        )


def _rows(name: str, array: NDArray[Any], count: int) -> Sequence[Any]:
    check_rows(name, array, count)
    if array.dtype == np.float16:
        raise InvalidRequestError(
            f"outputs: {name!r} is FP16, which JSON cannot carry: select other `outputs`, or send "
            "`inputs` and request binary data"
        )
    if array.shape[1:] == (1,):
        array = array.ravel()
    # orjson writes numpy's floats with the fewest digits, but does not support all integers.
    return list(np.ascontiguousarray(array)) if array.dtype.kind == "f" else array.tolist()
