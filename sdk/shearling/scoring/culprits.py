"""Find the column and the value for which a single row is refused."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from shearling.errors import InvalidRequestError
from shearling.protocol.instances import tensor_of
from shearling.tensors.conversion import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.scoring.blocks import Block, Scorer
    from shearling.tensors.spec import TensorSpec


@contextmanager
def naming_culprit(block: Block, scorer: Scorer) -> Iterator[None]:
    """Add the column and the value to an error about a block of one row, if it lacks them."""
    try:
        yield
    except InvalidRequestError as error:
        if len(block) == 1:
            column, value = culprit(block.values()[0], scorer)
            error.column = error.column or column
            error.value = error.value or value
        raise


def culprit(row: Any, scorer: Scorer) -> tuple[str | None, str | None]:
    """Return the column of a row whose value is no value of its input, and the value.

    Args:
        row: the row as of `Block.values`, with values of the types that the inputs have.
        scorer: the model.

    Returns:
        None for both if each value is valid by itself.
    """
    for name, spec, cell in _cells(row, scorer):
        value = number_of(cell)
        try:
            tensor_of([value], replace(spec, shape=(-1,), categories=None), name)
        except InvalidRequestError:
            return name, shown(value)
    return None, None


def number_of(value: Any) -> Any:
    """Return a decimal, as Parquet has them, as an integer or a float; other values as they are."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)


def _cells(row: Any, scorer: Scorer) -> Iterator[tuple[str, TensorSpec, Any]]:
    """Yield the single values of a row: by name if they have names, else by position."""
    for name, spec, value in _values(row, scorer):
        width = spec.shape[1:]
        if len(width) == 1 and isinstance(value, list | tuple):
            names = scorer.columns or range(len(value))
            for column, cell in zip(names, value, strict=False):
                yield (name if width == (1,) else str(column)), spec, cell
        elif len(width) < 2:  # noqa: PLR2004 - a value of a larger tensor has no column
            yield name, spec, value


def _values(row: Any, scorer: Scorer) -> Iterator[tuple[str, TensorSpec, Any]]:
    """Yield the values of a row, each with its name and its input."""
    specs = scorer.signature.inputs
    if not isinstance(row, dict):
        values = row if len(specs) > 1 and isinstance(row, list | tuple) else [row]
        yield from ((spec.name, spec, value) for spec, value in zip(specs, values, strict=False))
    elif len(specs) == 1 and specs[0].name not in row:
        names = [name for name in scorer.columns or row if name in row]
        yield from ((name, specs[0], row[name]) for name in names)
    else:
        yield from ((spec.name, spec, row[spec.name]) for spec in specs if spec.name in row)
