"""The maximum size of a response, and a lower bound of its size before it is written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from shearling.errors import PayloadTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest

#: Maximum bytes of a response as Lambda sends it: JSON as a string within JSON, or base64.
ANSWER_LIMIT = 6_291_556


class AnswerLimit(NamedTuple):
    """The maximum bytes of a response, and who has this limit, for the message."""

    size: int
    carrier: str


LAMBDA = AnswerLimit(ANSWER_LIMIT, "Lambda")

#: Of a response that is stored and not sent.
NO_LIMIT = AnswerLimit(sys.maxsize, "a store")

#: Outputs with fewer elements are written without computing the lower bound.
_FEW = 100_000

#: Minimum bytes of an element and its separator by the kind of numpy type: `true,`, `0.0,` and
#: `"",` in JSON; CSV has no quotes. Other kinds are integers: `0,`.
_IN_JSON = {"b": 5, "f": 4, "O": 3}
_IN_CSV = {"b": 5, "f": 4, "O": 1}
_INTEGER = 2

#: Bytes by which the empty cell of a NaN is shorter than `0.0`.
_EMPTY = 3

#: Bytes of a string's length in a binary tensor.
_LENGTH = 4

#: Bytes around a prediction that is an object, `{},`, and around a name in it, `"":,`.
_BRACES, _QUOTES = 3, 4


def check_answer(size: int, limit: int = ANSWER_LIMIT, carrier: str = "Lambda") -> None:
    """Refuse a response above a limit.

    Args:
        size: bytes of the response as it is sent.
        limit: maximum number of bytes.
        carrier: service that has the limit, for the message.

    Raises:
        PayloadTooLargeError: the response is too large.
    """
    if size > limit:
        raise PayloadTooLargeError(
            f"the response has {size:,} bytes; {carrier} returns {limit:,} at most. Send fewer "
            "rows, or request fewer `outputs` or binary tensors (`binary_data_output`)"
        )


def check_outputs(
    request: InferRequest,
    outputs: Mapping[str, NDArray[Any]],
    *,
    is_csv: bool,
    limit: AnswerLimit = LAMBDA,
) -> None:
    """Refuse outputs whose response is too large even if each value is as short as possible.

    The check comes before the response is written, because writing takes several times the memory
    of the outputs.

    Args:
        request: request that the outputs answer.
        outputs: arrays by output name.
        is_csv: whether the response is a table.
        limit: maximum size of the response.

    Raises:
        PayloadTooLargeError: the response would be too large.
    """
    elements = 0
    for name in request.outputs:
        array = outputs[name]
        elements += _FEW + 1 if array.dtype.hasobject else array.size
    if elements > _FEW:
        check_answer(_least_bytes(request, outputs, is_csv=is_csv), *limit)


def _least_bytes(
    request: InferRequest, outputs: Mapping[str, NDArray[Any]], *, is_csv: bool
) -> int:
    size = 0
    for name in request.outputs:
        array = outputs[name]
        kind = array.dtype.kind
        if name in request.binary and not is_csv:
            size += array.size * (_LENGTH if kind == "O" else array.itemsize)
        else:
            size += array.size * (_IN_CSV if is_csv else _IN_JSON).get(kind, _INTEGER)
        if name in request.by_class and request.rows and not is_csv:
            # A name of one character at least; a tensor has the names once.
            size += array.size * _QUOTES
        if kind == "f" and is_csv:
            size -= _EMPTY * int((array != array).sum())  # noqa: PLR0124 - as only NaN is
        if kind == "O":
            size += sum(map(len, array.ravel()))
    are_objects = request.rows == "objects" or (request.rows == "values" and len(outputs) > 1)
    if are_objects and not is_csv:
        rows = max((len(array) for array in outputs.values() if array.ndim), default=0)
        size += rows * (_BRACES + sum(len(name) + _QUOTES for name in request.outputs))
    return size
