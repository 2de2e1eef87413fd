"""Write answers as a Parquet file, in a package that was made with `--with parquet`."""

from __future__ import annotations

import io
import queue
import threading
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from shearling.errors import InvalidRequestError, PredictionError
from shearling.protocol.csv_rows import columns_of
from shearling.scoring.answers import checked, distinct
from shearling.scoring.parquet_source import ParquetBlock, check_package

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from arro3.core import Array, RecordBatch
    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest
    from shearling.scoring.blocks import Block, Scorer

#: Rows of a row group, which is kept in memory until it is complete.
_GROUP_ROWS = 100_000

_COMPRESSION = "zstd(1)"

#: Seconds between two looks at whether the thread that writes still runs.
_LOOK_SECONDS = 0.1


class ParquetWriter:
    """Writes a Parquet file; see `Writer`.

    arro3 writes a file from an iterator of batches, so it runs in a thread of its own.
    """

    def __init__(self, scorer: Scorer, *, keep: bool) -> None:
        check_package()
        self._classes = scorer.signature.classes
        self._keep = keep
        self._batches: queue.Queue[RecordBatch | None] = queue.Queue(1)
        self._file = _Written()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._is_closed = False

    def write(
        self, block: Block | None, request: InferRequest, outputs: Mapping[str, NDArray[Any]]
    ) -> bytes:
        """See `Writer`."""
        batch = self._batch(block, checked(request, outputs))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(batch.schema,), daemon=True)
            self._thread.start()
        self._put(batch)
        return self._file.taken()

    def head(self, rows: int) -> bytes:
        """See `Writer`."""
        del rows
        return b""

    def tail(self) -> bytes:
        """See `Writer`."""
        if self._thread is not None:
            self._put(None)
            self._thread.join()
        self._check()
        return self._file.taken()

    def close(self) -> None:
        """See `Writer`."""
        self._is_closed = True

    def _batch(self, block: Block | None, outputs: Mapping[str, NDArray[Any]]) -> RecordBatch:
        from arro3.core import RecordBatch

        names, arrays = [], []
        if self._keep:
            if not isinstance(block, ParquetBlock | None):
                raise InvalidRequestError(
                    "options.keep_columns: Parquet can keep the columns of Parquet alone: set "
                    "output.format to csv or jsonl"
                )
            if block is not None:
                names = list(block.batch.schema.names)
                arrays = [block.batch[name] for name in names]
        found = [*self._columns(outputs)]
        names += distinct([name for name, _ in found], names)
        return RecordBatch.from_arrays([*arrays, *(array for _, array in found)], names=names)

    def _columns(self, outputs: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, Array]]:
        """Yield a column for each output, or for each of its classes."""
        from arro3.core import fixed_size_list_array

        for name, array in outputs.items():
            flat = array.reshape(len(array), -1) if array.size else array.reshape(0, 1)
            if name in self._classes or flat.shape[1] == 1:
                for column, values in columns_of({name: array}, classes=self._classes):
                    yield column, _arrow(values)
            else:
                yield name, fixed_size_list_array(_arrow(flat.ravel()), flat.shape[1])

    def _run(self, schema: Any) -> None:
        from arro3.core import RecordBatchReader
        from arro3.io import write_parquet

        try:
            reader = RecordBatchReader.from_batches(schema, self._taken())
            write_parquet(
                reader,
                cast("IO[bytes]", self._file),
                compression=_COMPRESSION,
                max_row_group_size=_GROUP_ROWS,
            )
        except Exception as error:  # noqa: BLE001 - raised in the other thread
            self._error = error

    def _taken(self) -> Iterator[RecordBatch]:
        while True:
            try:
                batch = self._batches.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if self._is_closed:
                    return
                continue
            if batch is None:
                return
            yield batch

    def _put(self, batch: RecordBatch | None) -> None:
        while True:
            self._check()
            try:
                self._batches.put(batch, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return

    def _check(self) -> None:
        if self._error is not None:
            raise PredictionError(
                f"the outputs cannot be written as Parquet: {self._error!s:.300}"
            ) from self._error


class _Written(io.RawIOBase):
    """A file whose bytes another thread takes as they are written."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        with self._lock:
            self._buffer += data
        return len(data)

    def taken(self) -> bytes:
        with self._lock:
            data = bytes(self._buffer)
            self._buffer.clear()
        return data


def _arrow(values: NDArray[Any]) -> Array:
    from arro3.core import Array, DataType

    if values.dtype.hasobject:
        return Array(values.tolist(), DataType.string())
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    return Array.from_numpy(np.ascontiguousarray(values))
