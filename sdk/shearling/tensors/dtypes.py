"""The numpy type of each datatype of the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
_DATATYPES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(array: NDArray[Any]) -> str | None:
    """Return the protocol's datatype of a numpy array, or None if it has none."""
    if array.dtype.kind in "UO":
        return "BYTES"
    return _DATATYPES.get(array.dtype) or _DATATYPES.get(array.dtype.newbyteorder("<"))
