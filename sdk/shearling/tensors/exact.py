"""Take a number's datatype for another where no value changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.tensors.conversion import convert, shown
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shearling.tensors.spec import TensorSpec


def is_number(datatype: object) -> TypeGuard[str]:
    """Return whether values of a datatype are numbers or truths."""
    return isinstance(datatype, str) and datatype != "BYTES" and datatype in DTYPES


def converted_exactly(array: NDArray[Any], spec: TensorSpec, place: str) -> NDArray[Any]:
    """Convert numbers to the datatype of a spec.

    Args:
        array: numbers of another datatype.
        spec: the input that they are for.
        place: field or input name that error messages begin with.

    Raises:
        InvalidRequestError: a value would change; the message has the first one.
    """
    converted = convert(array, spec, place)
    lost = _changed(array, converted)
    if not lost.any():
        return converted
    index = [int(i) for i in np.unravel_index(lost.argmax(), lost.shape)]
    value = array[tuple(index)].item()
    where = f" at {index}" if array.size > 1 else ""
    raise InvalidRequestError(
        f"{place}: {shown(value)}{where} would change, because input {spec.name!r} is "
        f"{spec.datatype}: send that datatype, if it may be rounded"
    )


def _changed(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values changed; `convert` lets no other than floats change."""
    if after.dtype.kind != "f" or before.dtype.kind == "b":
        return np.zeros(after.shape, bool)
    with np.errstate(invalid="ignore", over="ignore"):
        back = after.astype(before.dtype)
    if before.dtype.kind == "f":
        return np.asarray((back != before) & ~np.isnan(before))
    # One that was rounded up to above the largest integer comes back as the largest on ARM.
    limit = 2.0 ** (np.iinfo(before.dtype).bits - (before.dtype.kind == "i"))
    return np.asarray((back != before) | (after.astype(np.float64) >= limit))
