"""Rows of a source, a block at a time: what every format's reader yields and the engine answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest
    from shearling.tensors.spec import Signature, TensorSpec

#: Bytes of a block: large enough that a request costs little, and small beside the memory.
BLOCK_BYTES = 1_000_000

#: Maximum bytes of a row, and of an object that cannot be cut into blocks.
ROW_LIMIT = 16 * 2**20

#: What messages call the source.
PLACE = "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """What scoring needs of a model.

    Attributes:
        pin: pin of the model.
        signature: signature of the model.
        columns: column names of the model's only input, if it has any.
        answer: returns the outputs for a request by name; raises an InferenceError.
    """

    pin: str
    signature: Signature
    columns: Sequence[str] = field(default=())
    answer: Callable[[InferRequest], Mapping[str, NDArray[Any]]]

    @property
    def is_divisible(self) -> bool:
        """Whether rows may be answered in several requests."""
        specs = self.signature.inputs
        return self.signature.independent_rows and all(spec.shape[:1] == (-1,) for spec in specs)


class Block(Protocol):
    """Consecutive rows of a source.

    Attributes:
        size: bytes that they take in the source.
    """

    size: int

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def request(self) -> InferRequest:
        """Return the request for the rows.

        Raises:
            InvalidRequestError: a row does not fit the model's signature.
        """
        ...

    def part(self, start: int, stop: int) -> Block:
        """Return some of the rows, without their size."""
        ...

    def number(self) -> int:
        """Return the number of the first row in the source, from 1."""
        ...

    def text(self) -> str:
        """Return the rows as text, for whoever looks at a refused one."""
        ...

    def values(self) -> list[Any]:
        """Return the rows for JSON: objects if the columns have names; else lists or values."""
        ...


class Reader(Protocol):
    """Reads a source in blocks.

    Attributes:
        names: names of the source's columns, as far as the reader has read; empty without.
        empty: a block without rows, whose columns have types to keep; None: they have none.
    """

    names: Sequence[str]
    empty: Block | None

    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks in order.

        Raises:
            InvalidRequestError: the source is not of its format, or does not fit the model.
        """
        ...


def rows_of_block(specs: Iterable[TensorSpec]) -> int:
    """Return the number of rows whose inputs or outputs take about the bytes of a block."""
    row = sum(DTYPES[spec.datatype].itemsize * prod(map(abs, spec.shape[1:])) for spec in specs)
    return max(1, BLOCK_BYTES // max(1, row))
