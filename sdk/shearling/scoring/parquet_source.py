"""Read a Parquet file in blocks, in a package that was made with `--with parquet`."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.protocol.csv_columns import check_tabular, find_columns
from shearling.protocol.instances import tensor_of
from shearling.protocol.requests import InferRequest
from shearling.scoring.blocks import PLACE, rows_of_block
from shearling.scoring.culprits import naming_culprit, number_of
from shearling.scoring.object_file import ObjectFile
from shearling.scoring.parquet_footer import MAGIC, read_footer
from shearling.tensors.categories import check_categories
from shearling.tensors.conversion import check_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from arro3.core import Array, RecordBatch
    from numpy.typing import NDArray

    from shearling.scoring.blocks import Block, Scorer
    from shearling.scoring.parts import Part
    from shearling.storage.conditional import ObjectState, ReadableObjects
    from shearling.tensors.spec import TensorSpec

_T = TypeVar("_T")

#: Fewest bytes of a file.
_SHORTEST = 12

#: Name of the class, no Exception, of arro3's failures about files that it has not foreseen.
_PANIC = "PanicException"

#: Maximum rows of a block.
_ROWS = 8192


def check_package() -> None:
    """Refuse a function or a machine that cannot read and write Parquet.

    Raises:
        InvalidRequestError: it lacks the library; the message has the command.
    """
    try:
        import arro3.core
        import arro3.io  # noqa: F401
    except ImportError as error:
        raise InvalidRequestError(
            "Parquet is not installed. For a function, make its package with `shearling package "
            "runtime --with parquet`, and apply. On this machine, install shearling[parquet]"
        ) from error


class ParquetReader:
    """Reads a Parquet file; see `Reader`. It may have other columns if all are kept."""

    def __init__(
        self,
        objects: ReadableObjects,
        key: str,
        state: ObjectState,
        scorer: Scorer,
        *,
        rows: int,
        keep: bool,
        part: Part | None = None,
    ) -> None:
        self._file = ObjectFile(objects, key, state)
        self._scorer = scorer
        self._rows = rows
        self._keep = keep
        self._part = part
        self.names: Sequence[str] = ()
        self.empty: Block | None = None

    def __iter__(self) -> Iterator[ParquetBlock]:
        """Yield the blocks; see `Reader`."""
        check_package()
        import arro3.io

        file = self._file
        if file.size < _SHORTEST or file.read_range(file.size - len(MAGIC), file.size) != MAGIC:
            raise InvalidRequestError(f"{PLACE}: not Parquet: it does not end as Parquet does")
        row = 1 if self._part is None else self._choose(self._part)
        # The bytes of a batch are unknown before it is read, but those of the inputs are not.
        rows = self._rows or min(_ROWS, rows_of_block(self._scorer.signature.inputs))
        batches = self._tried(
            lambda: arro3.io.read_parquet(cast("IO[bytes]", file), batch_size=rows)
        )
        self.names = batches.schema.names
        (none,) = batches.schema.empty_table().combine_chunks().to_batches()
        self.empty = ParquetBlock(none, self._scorer, 1, keep=self._keep)
        read = 0
        while (batch := self._tried(lambda: next(batches, None))) is not None:
            size = file.fetched - read
            yield ParquetBlock(batch, self._scorer, row, size, keep=self._keep)
            row, read = row + batch.num_rows, file.fetched

    def _choose(self, part: Part) -> int:
        """Leave only the row groups of a part in the file; return the number of its first row."""
        footer = read_footer(self._file.read_range, self._file.size)
        if part.stop > len(footer.groups):
            raise InvalidRequestError(
                f"{PLACE}.part.stop: {part.stop}, but there are {len(footer.groups)} row groups"
            )
        self._file.end_with(footer.begin, footer.only(part.start, part.stop))
        return 1 + sum(group.rows for group in footer.groups[: part.start])

    def _tried(self, call: Callable[[], _T]) -> _T:
        """Return what a function of arro3 returns.

        Raises:
            InvalidRequestError: the file is not Parquet, or damaged.
            StoreError: it cannot be read.
        """
        try:
            return call()
        except BaseException as error:
            if self._file.error is not None:  # arro3 hides what a file raises
                raise self._file.error from error
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            raise InvalidRequestError(f"{PLACE}: not Parquet: {error!s:.300}") from error


class ParquetBlock:
    """Consecutive rows; see `Block`."""

    def __init__(
        self, batch: RecordBatch, scorer: Scorer, row: int, size: int = 0, *, keep: bool
    ) -> None:
        self.batch = batch
        self._scorer = scorer
        self._keep = keep
        self._row = row
        self.size = size

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.batch.num_rows

    def request(self) -> InferRequest:
        """See `Block`."""
        signature, columns = self._scorer.signature, self._scorer.columns
        present = {*self.batch.schema.names}
        if signature.by_name.keys() == present or (
            self._keep and signature.by_name.keys() < present
        ):
            read = self._named_inputs
        else:
            read = self._tabular
        with naming_culprit(self, self._scorer):
            inputs = read()
        check_categories(inputs, signature.categorical, columns, place=PLACE, first_row=self._row)
        return InferRequest(None, inputs, signature.output_names, rows="objects")

    def _named_inputs(self) -> dict[str, NDArray[Any]]:
        return {spec.name: self._named(spec) for spec in self._scorer.signature.inputs}

    def _named(self, spec: TensorSpec) -> NDArray[Any]:
        """Return the tensor of an input from the column of its name."""
        if spec.shape[1:] in ((), (1,)):
            return self._checked([spec.name], spec.name)
        return tensor_of(_listed(self.batch[spec.name]), spec, self._place(spec.name))

    def _tabular(self) -> dict[str, NDArray[Any]]:
        """Return the inputs from the columns of a table, as in CSV."""
        signature, names = self._scorer.signature, self.batch.schema.names
        check_tabular(signature, PLACE)
        found = find_columns(
            names,
            signature,
            self._scorer.columns,
            has_names=True,
            place=PLACE,
            allows_others=self._keep,
        )
        chosen = [names[i] for i in found.order]
        if len(signature.inputs) == 1:
            (only,) = signature.by_name
            return {only: self._checked(chosen, only)}
        pairs = zip(signature.by_name, chosen, strict=True)
        return {name: self._checked([column], name) for name, column in pairs}

    def part(self, start: int, stop: int) -> ParquetBlock:
        """See `Block`."""
        batch = self.batch.slice(start, stop - start)
        return ParquetBlock(batch, self._scorer, self._row + start, keep=self._keep)

    def number(self) -> int:
        """See `Block`."""
        return self._row

    def text(self) -> str:
        """See `Block`."""
        return str(self.values())

    def values(self) -> list[Any]:
        """See `Block`."""
        names = self.batch.schema.names
        columns = [_listed(self.batch[name]) for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def _checked(self, names: list[str], name: str) -> NDArray[Any]:
        """Return the tensor of an input, of some columns."""
        spec = self._scorer.signature.by_name[name]
        arrays = [_array(self.batch[each]) for each in names]
        array = arrays[0] if len(spec.shape) == 1 else np.column_stack(arrays)
        return check_array(array, spec, self._place(name))

    def _place(self, name: str) -> str:
        place = f"{PLACE}: row {self._row}" if len(self) == 1 else PLACE
        return f"{place}: {name!r}"


def _array(column: Array) -> NDArray[Any]:
    """Return the values of a column: numbers for decimals, and None for what is missing."""
    if not column.null_count:
        try:
            array = column.to_numpy()
        except NotImplementedError:
            pass  # dates, times, decimals, lists, structs, and dictionaries such as categories
        else:
            return array.astype(object) if array.dtype.kind == "U" else array
    objects = np.empty(len(column), object)
    objects[:] = [*map(number_of, _listed(column))]
    return objects


def _listed(column: Array) -> list[Any]:
    return list(column.to_pylist())
