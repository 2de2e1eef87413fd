"""Read a numpy array from a `.npy` file in blocks of rows."""

from __future__ import annotations

import ast
import struct
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.protocol.requests import InferRequest
from shearling.scoring.blocks import PLACE, ROW_LIMIT
from shearling.scoring.culprits import naming_culprit
from shearling.tensors.categories import check_categories
from shearling.tensors.conversion import check_array, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from shearling.scoring.blocks import Block, Scorer
    from shearling.scoring.parts import Part

_MAGIC = b"\x93NUMPY"

#: Major version -> format of the header's length.
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}

#: Maximum bytes of a header, as in numpy.
NPY_HEADER_LIMIT = 10_000

_EXPECTED = "save a plain array of numbers or texts with numpy.save"


class NpyReader:
    """Reads a `.npy` file; see `Reader`.

    The fields of a structured array are inputs by name. There may be others if all are kept. A part
    needs the `head` of the file, which is the header.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        scorer: Scorer,
        size: int,
        *,
        keep: bool,
        part: Part | None = None,
        head: bytes = b"",
    ) -> None:
        self._part = part
        self._head = head
        self._chunks = iter(chunks)
        self._scorer = scorer
        self._size = size
        self._keep = keep
        self.names: Sequence[str] = ()
        self.empty: Block | None = None

    def __iter__(self) -> Iterator[NpyBlock]:
        """Yield the blocks; see `Reader`."""
        data = self._head
        for chunk in self._chunks if not data else ():
            data += chunk
            if len(data) > NPY_HEADER_LIMIT:
                break
        dtype, shape, length = read_npy_header(data)
        self._check_fields(dtype.names or ())
        width, data = dtype.itemsize * prod(shape[1:]), data[length:]
        row, end = _rows_of(self._part, shape[0], length, width)
        step = max(1, self._size // width)
        while row < end:
            count = min(step, end - row)
            while len(data) < count * width:
                data += self._more(row, shape)
            array = np.frombuffer(data[: count * width], dtype).reshape(count, *shape[1:])
            yield NpyBlock(array, self._scorer, row + 1, count * width)
            data = data[count * width :]
            row += count
        if data or next(self._chunks, b""):
            raise InvalidRequestError(f"{PLACE}: has more bytes than an array of shape {shape}")

    def _check_fields(self, names: Sequence[str]) -> None:
        known = self._scorer.signature.by_name
        others = [name for name in names if name not in known]
        if others and not self._keep:
            raise InvalidRequestError(
                f"{PLACE}: field {shown(others[0])} is unknown: the model takes {', '.join(known)}"
            )

    def _more(self, row: int, shape: tuple[int, ...]) -> bytes:
        chunk = next(self._chunks, b"")
        if not chunk:
            raise InvalidRequestError(
                f"{PLACE}: ends in row {row + 1} of {shape[0]}: the file is not complete"
            )
        return chunk


class NpyBlock:
    """Consecutive rows of an array; see `Block`."""

    def __init__(self, array: NDArray[Any], scorer: Scorer, row: int, size: int = 0) -> None:
        self._array = array
        self._scorer = scorer
        self._row = row
        self.size = size

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._array)

    def request(self) -> InferRequest:
        """See `Block`."""
        signature = self._scorer.signature
        place = f"{PLACE}: row {self._row}" if len(self) == 1 else PLACE
        inputs = {}
        for i, spec in enumerate(signature.inputs):
            array = self._input(i)
            if array.shape[1:] == () and spec.shape[1:] == (1,):
                array = array.reshape(-1, 1)
            # The copy has the byte order of this machine, and the model may write to it.
            native = array.astype(array.dtype.newbyteorder("="))
            with naming_culprit(self, self._scorer):
                inputs[spec.name] = check_array(native, spec, f"{place}: {spec.name!r}")
        check_categories(
            inputs,
            signature.categorical,
            self._scorer.columns,
            place=PLACE,
            first_row=self._row,
        )
        return InferRequest(None, inputs, signature.output_names, rows="values")

    def part(self, start: int, stop: int) -> NpyBlock:
        """See `Block`."""
        return NpyBlock(self._array[start:stop], self._scorer, self._row + start)

    def number(self) -> int:
        """See `Block`."""
        return self._row

    def text(self) -> str:
        """See `Block`."""
        return str(self._array.tolist())

    def values(self) -> list[Any]:
        """See `Block`."""
        names = self._array.dtype.names
        rows = self._array.tolist()
        return [dict(zip(names, row, strict=True)) for row in rows] if names else rows

    def _input(self, i: int) -> NDArray[Any]:
        """Return the values of an input: a field, a column, or the whole array."""
        specs, array = self._scorer.signature.inputs, self._array
        spec = specs[i]
        if names := array.dtype.names:
            if spec.name not in names:
                raise InvalidRequestError(f"{PLACE}: has no field {spec.name!r} for input {spec}")
            found: NDArray[Any] = array[spec.name]
            return found
        if len(specs) == 1:
            return array
        if array.shape[1:] != (len(specs),) or any(
            each.shape[1:] not in ((), (1,)) for each in specs
        ):
            raise InvalidRequestError(
                f"{PLACE}: shape {list(array.shape)}, but the model takes "
                f"{', '.join(map(str, specs))}: save a structured array with a field for each"
            )
        column: NDArray[Any] = array[:, i]
        return column


def read_npy_header(data: bytes) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return type and shape of the array in a `.npy` file, and the length of the file's header.

    Args:
        data: the beginning of the file: `NPY_HEADER_LIMIT` bytes, or all.

    Raises:
        InvalidRequestError: it is no `.npy` file, or its array cannot be read in blocks.
    """
    major = data[6] if data.startswith(_MAGIC) and len(data) > 12 else 0  # noqa: PLR2004
    if major not in _LENGTHS:
        raise InvalidRequestError(f"{PLACE}: is not a .npy file: {_EXPECTED}")
    start = 8 + struct.calcsize(_LENGTHS[major])
    (length,) = struct.unpack(_LENGTHS[major], data[8:start])
    text = data[start : start + length] if length <= NPY_HEADER_LIMIT else b""
    dtype, shape = _read_header(text, "utf-8" if major > 2 else "latin-1")  # noqa: PLR2004
    return dtype, shape, start + length


def _rows_of(part: Part | None, rows: int, begin: int, width: int) -> tuple[int, int]:
    """Return the first row to read, from 0, and the row after the last.

    Raises:
        InvalidRequestError: the part does not consist of whole rows.
    """
    if part is None:
        return 0, rows
    (start, left), (stop, over) = (
        divmod(part.start - begin, width),
        divmod(part.stop - begin, width),
    )
    if left or over or start < 0 or stop > rows:
        raise InvalidRequestError(
            f"{PLACE}.part: bytes {part.start} to {part.stop} are no rows of an array whose "
            f"{rows} rows of {width} bytes begin at byte {begin}"
        )
    return start, stop


def _read_header(text: bytes, encoding: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type and the shape of the array that a header describes.

    Raises:
        InvalidRequestError: it describes none that can be read in blocks.
    """
    try:
        header = ast.literal_eval(text.decode(encoding))
        dtype = np.lib.format.descr_to_dtype(header["descr"])
        shape, is_transposed = header["shape"], header["fortran_order"]
        is_valid = isinstance(shape, tuple) and all(
            type(size) is int and size >= 0 for size in shape
        )
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise InvalidRequestError(f"{PLACE}: the header of the .npy file is invalid") from error
    if not is_valid:
        raise InvalidRequestError(f"{PLACE}: the header of the .npy file is invalid")
    if dtype.hasobject:
        raise InvalidRequestError(f"{PLACE}: has Python objects, as pickles: {_EXPECTED}")
    if not shape:
        raise InvalidRequestError(f"{PLACE}: is a single value and has no rows: {_EXPECTED}")
    if not 0 < dtype.itemsize * prod(shape[1:]) <= ROW_LIMIT:
        raise InvalidRequestError(
            f"{PLACE}: a row of {dtype} of shape {list(shape[1:])} has "
            f"{dtype.itemsize * prod(shape[1:]):,} bytes: a row has from 1 to {ROW_LIMIT:,}"
        )
    if is_transposed and len(shape) > 1:
        raise InvalidRequestError(
            f"{PLACE}: is in Fortran order, so that its rows are not consecutive: save "
            "numpy.ascontiguousarray(array)"
        )
    return dtype, shape
