"""Make rows unlike the example from its values, to ask a model and its conversion about them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.models.probe_pictures import other_pictures
from shearling.models.tensor_rows import count_of, joined, repeated
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.formats.base import Tensors
    from shearling.tensors.spec import Scalar, TensorSpec

#: The most columns that are changed; in inputs of more than two dimensions, such as pictures.
_COLUMNS, _PLACES = 256, 4

#: The most rows in which one column is changed.
_CHANGED_ROWS = 256

#: The most values in all rows of a kind. Fewer rows are made if they are wide.
_VALUES = 2_000_000

#: Dimensions of a table: rows and columns.
_RANK = 2

#: Factors of a column's values that make them large and small.
_LARGE, _SMALL = 1e3, 1e-6

#: The most known values of a column that are asked about.
_KNOWN = 256

#: Text that tokenizers and alphabets treat differently.
_FOREIGN = (
    "",
    " ",
    "catégorie",
    "cafe\u0301",
    "good²",
    "日本",
    "Хороший фильм",
    "ΣΊΣΥΦΟΣ",
    "İstanbul Straße",
    "١٢٣",
    "don't e-mail_me@x.io, 3.14%",
    "a\tb\nc\u00a0d\u200be",
    "🙂 ok",
    "a good film " * 300,  # more tokens than most models read
)

#: What is made from a known word: text that contains the word, or almost does.
_VARIANTS: tuple[Callable[[str], str], ...] = (
    lambda word: f"{word}é",
    lambda word: f"é{word}",
    lambda word: f"{word}égorie",
    lambda word: f"{word}²",
    lambda word: f"日本{word}",
    lambda word: f"{word[:1]}é{word[1:]}",
    lambda word: f"{word}\u0301",
    lambda word: f"{word}_{word}",
    lambda word: f"{word}'{word}-{word}",
    str.upper,
    str.title,
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an input: the place of a value in each row, with all other axes joined."""

    name: str
    place: int

    def of(self, rows: Tensors) -> NDArray[Any]:
        """Return the column's values."""
        array = rows[self.name]
        return array.reshape(len(array), -1)[:, self.place]

    def numbers(self, rows: Tensors) -> NDArray[Any]:
        """Return the column's values; numbers also where they are booleans."""
        values = self.of(rows)
        return values.astype(np.uint8) if values.dtype.kind == "b" else values

    def replaced(self, rows: Tensors, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return rows with other values in this column."""
        array = rows[self.name]
        # Rows of floats keep their type, since some models compute in the type of their input.
        kept = array.dtype.kind == "f"
        dtype = array.dtype if kept else np.result_type(array, values)
        wide = array.reshape(len(array), -1).astype(dtype)
        with np.errstate(over="ignore"):  # a large number of another type may be infinite here
            wide[:, self.place] = values
        return {**rows, self.name: wide.reshape(array.shape)}


@dataclass(frozen=True, slots=True)
class Probe:
    """Rows of one kind.

    Attributes:
        kind: what distinguishes the rows, such as `have zeros`.
        rows: arrays of shape [rows, ...] by input name.
    """

    kind: str
    rows: Tensors


def first_rows(rows: Tensors, count: int) -> dict[str, NDArray[Any]]:
    """Return at most `count` rows, fewer if they are wide."""
    count = _affordable(rows, count)
    return {name: array[:count] for name, array in rows.items()}


def columns(rows: Tensors, specs: Sequence[TensorSpec], kinds: str) -> list[Column]:
    """Return the columns of some datatypes that are not limited to known values.

    Args:
        rows: the rows.
        specs: the inputs.
        kinds: kinds of numpy's types for the datatypes, such as `fiu`.
    """
    found = []
    for spec in specs:
        width = prod(rows[spec.name].shape[1:])
        if DTYPES[spec.datatype].kind in kinds and width and not spec.content:
            limit = _affordable(rows, _COLUMNS if rows[spec.name].ndim <= _RANK else _PLACES)
            own = [Column(spec.name, place) for place in range(0, width, -(-width // limit))]
            found += [column for column in own if known_values(column, spec, width) is None]
    return found


def known_values(column: Column, spec: TensorSpec, width: int) -> tuple[Scalar, ...] | None:
    """Return the values to which a signature limits a column; None if it accepts any."""
    if spec.categories is None or len(spec.categories) != width:
        return None
    return spec.categories[column.place]


def recombined(rows: Tensors, limit: int) -> dict[str, NDArray[Any]]:
    """Return rows that take each value from a random row."""
    count = count_of(rows)
    random = np.random.default_rng(0)
    wanted = _affordable(rows, limit)
    made = {}
    for name, array in rows.items():
        flat = array.reshape(count, -1)
        order = random.integers(0, count, (wanted, flat.shape[1]))
        made[name] = np.take_along_axis(flat, order, axis=0).reshape(wanted, *array.shape[1:])
    return made


def missing(rows: Tensors, own: Sequence[Column], limit: int) -> dict[str, NDArray[Any]]:
    """Return rows in which one value is missing, for each of some columns."""
    return _changed(rows, own, limit, _constant(np.float32("nan")))


def infinite(rows: Tensors, own: Sequence[Column], limit: int) -> dict[str, NDArray[Any]]:
    """Return rows in which one value is infinite, of either sign, for each of some columns."""
    values = (np.float32("inf"), np.float32("-inf"))
    return joined([_changed(rows, own, limit, _constant(value)) for value in values])


def unlike(rows: Tensors, specs: Sequence[TensorSpec], limit: int) -> Iterator[Probe]:
    """Yield rows with zeros, with other numbers and with other pictures than the example has.

    Args:
        rows: the example's rows.
        specs: the inputs.
        limit: the most rows of a kind.
    """
    if pictures := [spec.name for spec in specs if spec.content]:
        (name,) = pictures  # which is the only input
        yield Probe("are other pictures", {name: other_pictures(rows[name])})
        return
    floats = columns(rows, specs, "f")
    signed = columns(rows, specs, "fi")
    numbers = columns(rows, specs, "fiu")
    kinds: list[tuple[str, list[Column], Callable[[NDArray[Any]], Any]]] = [
        ("have zeros", numbers, np.zeros_like),
        ("have numbers of the other sign", signed, lambda values: -values),
        ("have small numbers", floats, lambda values: values * _SMALL),
        (
            "have large numbers",
            floats,
            lambda values: np.full(values.shape, _LARGE * _largest(values)),
        ),
        (
            "have large negative numbers",
            floats,
            lambda values: np.full(values.shape, -_LARGE * _largest(values)),
        ),
        ("have equal numbers", floats, lambda values: np.ones(values.shape)),
    ]
    for dtype in {np.dtype(DTYPES[spec.datatype]) for spec in specs}:
        own = columns(rows, [spec for spec in specs if DTYPES[spec.datatype] == dtype], "iu")
        if own:
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            kinds.append((f"have the integer {low}", own, _constant(low, dtype)))
            kinds.append((f"have the integer {high}", own, _constant(high, dtype)))
    for kind, own, change in kinds:
        if own:
            yield Probe(kind, _changed_everywhere(rows, own, min(limit, 8), change))
        if len(own) > 1:
            yield Probe(kind, _changed(rows, own, limit, change))


def unseen(rows: Tensors, column: Column) -> list[Tensors]:
    """Return a row for each of a few values that a column of the example does not have.

    They are such that a model which takes numbers, not categories, answers one of them at least.
    """
    values = column.of(rows)
    others: NDArray[Any]
    if values.dtype.kind == "O":
        others = np.array(["an unseen value", "unseen"], object)
    elif values.dtype.kind == "f":
        known = np.unique(values[np.isfinite(values)])
        # A model may refuse numbers out of the example's range, but not those in between.
        between = known[:-1] + np.diff(known) / 3
        others = np.array([*between[:1], known.max(initial=0) + 1], values.dtype)
    else:
        others = (values.max() + np.array([1, 2])).astype(values.dtype)
    row = first_rows(rows, 1)
    return [column.replaced(row, others[place : place + 1]) for place in range(len(others))]


def foreign(rows: Tensors, column: Column) -> Tensors:
    """Return rows with text in other alphabets, and with words of the example spelt otherwise."""
    words = sorted({word for text in column.of(rows) for word in str(text).split()[:8]})
    own = [variant(word) for word in words[:: -(-len(words) // 8) or 1] for variant in _VARIANTS]
    texts = np.array([*_FOREIGN, *own], object)
    return column.replaced(repeated(rows, len(texts)), texts)


def known(rows: Tensors, column: Column, values: Sequence[Scalar]) -> Tensors:
    """Return a row for each known value of a column."""
    chosen = np.array(values[:_KNOWN], column.of(rows).dtype)
    return column.replaced(repeated(rows, len(chosen)), chosen)


def _changed_everywhere(
    rows: Tensors, own: Sequence[Column], count: int, change: Callable[[NDArray[Any]], Any]
) -> dict[str, NDArray[Any]]:
    """Return rows in which all columns are changed."""
    changed = first_rows(rows, count)
    for column in own:
        changed = column.replaced(changed, change(column.numbers(changed)))
    return changed


def _changed(
    rows: Tensors, own: Sequence[Column], limit: int, change: Callable[[NDArray[Any]], Any]
) -> dict[str, NDArray[Any]]:
    """Return rows in which one column is changed: a few for each column."""
    limit = _affordable(rows, min(limit, _CHANGED_ROWS))
    own = own[:: -(-len(own) // limit)]
    few = first_rows(rows, max(1, min(16, limit // len(own))))
    return joined([column.replaced(few, change(column.numbers(few))) for column in own])


def _constant(value: Any, dtype: Any = None) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda values: np.full(values.shape, value, dtype)


def _largest(values: NDArray[Any]) -> float:
    """Return the largest magnitude of some numbers; 1 if there is none."""
    numbers = np.abs(values.astype(float))
    return float(numbers[np.isfinite(numbers)].max(initial=0.0)) or 1.0


def _affordable(rows: Mapping[str, NDArray[Any]], count: int) -> int:
    """Return how many rows to make, at most `count`."""
    width = sum(prod(array.shape[1:]) for array in rows.values())
    return max(1, min(count, _VALUES // max(1, width)))
