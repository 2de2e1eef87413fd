"""The model that was pushed, in the form in which its push asks it about rows of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling.tensors.inputs import as_matrix, is_frame, named_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from shearling.formats.base import Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """The model that was pushed, which the verification asks about rows unlike the example.

    Attributes:
        rows: the example's values by input name, before they were converted to the datatypes of the
            signature: 64-bit floats are still 64-bit floats.
        answer: returns the model's answers to such values, by the names and in the shapes of the
            converted model's outputs. Leaves out outputs that the model has no answer for. May
            raise any error.
        margin: returns, in the shape of `label`, how far the chosen class is ahead of the next one
            in the scores that the model ranks its classes by, relative to the best score if that is
            above 1: 0 where they tie. None if the model has no such scores.
        kind: what was pushed. Another library's `estimator` was converted, while a `graph` and a
            pickled `object` are served as they are.
        advice: returns what explains that the loaded model answers the example differently, and
            what to do. None if only rounding may explain it.
        other_sizes: rows of other sizes than the example's, with a text that names the size, whose
            answers must agree too: the conversion of a program may fix what its code reads from the
            sizes.
    """

    rows: Tensors
    answer: Callable[[Tensors], Tensors]
    margin: Callable[[Tensors], NDArray[Any]] | None = None
    kind: Literal["estimator", "graph", "object"] = "estimator"
    advice: Callable[[Tensors | Exception], str] | None = None
    other_sizes: Sequence[tuple[str, Tensors]] = ()


def example_values(example: Any, name: str | None) -> dict[str, NDArray[Any]]:
    """Return an example's values by input name.

    Args:
        example: an array, a DataFrame, or a dict of arrays.
        name: name of the only input; None if each column or key is an input.
    """
    values = named_arrays(example) if name is None else None
    if values is None:
        values = {str(name): as_matrix(example) if is_frame(example) else np.asarray(example)}
    return {
        name: array.astype(object) if array.dtype.kind == "U" else array
        for name, array in values.items()
    }


def like_example(values: Tensors, example: Any) -> Any:
    """Return values by input name in the form of the example that they were made from.

    A DataFrame gets the column labels and, where that changes no value, the column types of the
    example, such as `category`. Its index is new, as it is for a request.

    Args:
        values: what `example_values` returned, or other rows of that form.
        example: an array, a DataFrame, or a dict of columns.
    """
    arrays = list(values.values())
    if not is_frame(example) and not isinstance(example, dict):
        return arrays[0]
    import pandas as pd

    if isinstance(example, dict):
        return pd.DataFrame({name: array.ravel() for name, array in values.items()})
    columns = list(arrays[0].T) if len(arrays) == 1 else [array.ravel() for array in arrays]
    frame = pd.DataFrame(dict(enumerate(columns)))
    for place, dtype in enumerate(example.dtypes):
        frame[place] = _with_type(frame[place], dtype)
    return frame.set_axis(example.columns, axis="columns")


def _with_type(column: Any, dtype: Any) -> Any:
    """Convert a column to a type of pandas if each value stays the same."""
    try:
        typed = column.astype(dtype)
    except (TypeError, ValueError):
        return column
    is_same = (typed.astype(object) == column.astype(object)) | (typed.isna() & column.isna())
    return typed if is_same.all() else column
