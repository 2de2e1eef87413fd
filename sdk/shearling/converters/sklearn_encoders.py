"""Convert scikit-learn's encoders of categories by asking them for the code of each category.

So what a category, an infrequent, a dropped or an unknown one becomes is what the encoder itself
says. A category that the encoder refuses makes the graph fail instead of giving it some code.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters.graph_builder import GraphBuilder, set_float_output
from shearling.converters.known_categories import mark_known
from shearling.converters.skl2onnx_registry import Converter
from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from shearling.converters.graph_builder import Column, Kind

#: A text that is no category.
_UNKNOWN = "\0unknown"

#: The options that skl2onnx has for the estimators of naive Bayes.
_BAYES_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [False, True],
    "nocl": [True, False],
}

#: Rows that an encoder is asked about at once.
_ROWS = 256

#: Larger integers are not exact as 32-bit floats.
_EXACT = 2**24

#: ONNX's number of the type of 64-bit integers.
_INT64 = 7


def converters() -> dict[type, Converter]:
    """Return the converters of the encoders for skl2onnx."""
    from sklearn.naive_bayes import CategoricalNB
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    return {
        CategoricalNB: Converter(convert=_convert_categorical, options=_BAYES_OPTIONS),
        OneHotEncoder: Converter(
            convert=_convert_one_hot,
            shapes=lambda operator: set_float_output(
                operator, sum(_one_hot_widths(operator.raw_operator))
            ),
        ),
        OrdinalEncoder: Converter(convert=_convert_codes, shapes=_set_codes_shape),
        TargetEncoder: Converter(convert=_convert_codes, shapes=_set_codes_shape),
    }


def _convert_categorical(scope: Any, operator: Any, container: Any) -> None:
    """Convert with skl2onnx, and mark the columns; the graph does not read what is marked."""
    from skl2onnx.operator_converters.naive_bayes import convert_sklearn_naive_bayes

    convert_sklearn_naive_bayes(scope, operator, container)
    graph = GraphBuilder(scope, operator, container)
    counts = graph.estimator.n_categories_.tolist()
    for column, count in zip(graph.columns(len(counts)), counts, strict=True):
        number = float if column.kind == "float" else int
        mark_known(graph, column.name, [number(code) for code in range(count)])


def _set_codes_shape(operator: Any) -> None:
    encoder = operator.raw_operator
    set_float_output(operator, len(encoder.categories_) * _width_of_codes(encoder))


def _convert_one_hot(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    encoder, columns = graph.estimator, graph.columns(len(graph.estimator.categories_))
    blocks, start = [], 0
    for place, width in enumerate(_one_hot_widths(encoder)):
        # The place of the one in each category's block; `width` if the block is all zeros.
        places = np.concatenate(
            [
                np.where(block.any(axis=1), block.argmax(axis=1), width)
                for block in _answers(encoder, place, start, width)
            ]
        ).tolist()
        start += width
        codes = _code(graph, columns[place], place, places, width + 1)
        if _is_refusing(encoder):
            codes = graph.add("Gather", graph.constant(np.arange(width + 1)), codes)
        depth, values = graph.constant([width]), graph.float_constant([0, 1])
        blocks.append(graph.add("OneHot", codes, depth, values))
    graph.set_output(graph.add("Concat", *blocks, axis=1))


def _convert_codes(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    encoder, columns = graph.estimator, graph.columns(len(graph.estimator.categories_))
    width = _width_of_codes(encoder)
    blocks = []
    for place, column in enumerate(columns):
        table = np.concatenate(list(_answers(encoder, place, place * width, width)))
        rows = list(range(len(table)))
        codes = _code(graph, column, place, rows, len(table))
        blocks.append(graph.add("Gather", graph.float_constant(table), codes))
    graph.set_output(graph.add("Concat", *blocks, axis=1))


def _code(graph: GraphBuilder, column: Column, place: int, codes: list[int], refused: int) -> str:
    """Add nodes that give the code of each category, as a vector.

    Args:
        graph: the graph.
        column: the column.
        place: place of the column.
        codes: the code of each category, and of an unknown one if the encoder accepts it.
        refused: the code of an unknown category if the encoder refuses it.
    """
    encoder = graph.estimator
    keys, codes = _keys(encoder, column.kind, encoder.categories_[place], codes)
    default, name = refused, column.name
    if _is_refusing(encoder):
        name = mark_known(graph, name, keys)
    else:
        *codes, default = codes
    if column.kind == "integer":
        name = graph.add("Cast", name, to=_INT64)  # from booleans
    attribute = {"text": "keys_strings", "float": "keys_floats", "integer": "keys_int64s"}
    # ONNX's LabelEncoder does not find a missing value.
    numbered = [(key, code) for key, code in zip(keys, codes, strict=True) if key == key]  # noqa: PLR0124
    encoded = graph.add(
        "LabelEncoder",
        name,
        domain="ai.onnx.ml",
        **{attribute[column.kind]: [key for key, _ in numbered]},
        values_int64s=[code for _, code in numbered],
        default_int64=default,
    )
    for key, code in zip(keys, codes, strict=True):
        if key != key:  # noqa: PLR0124 - NaN
            is_missing = graph.add("IsNaN", name)
            encoded = graph.add("Where", is_missing, graph.constant([code]), encoded)
    return graph.add("Reshape", encoded, graph.constant([-1]))


def _keys(
    encoder: Any, kind: Kind, categories: NDArray[Any], codes: list[int]
) -> tuple[list[Any], list[int]]:
    """Return the categories that requests can have, as the input's type, with their codes."""
    values = categories.tolist()
    # Requests have no missing strings or integers.
    kept = [
        place
        for place, value in enumerate(values)
        if value is not None and (kind == "float" or value == value)  # noqa: PLR0124 - NaN
    ]
    keys = [_key(encoder, kind, values[place]) for place in kept]
    if len(set(keys)) < len(keys):
        raise FormatError(
            f"{type(encoder).__name__}: two categories are the same 32-bit float: fit the model on "
            "float32 data"
        )
    return keys, [codes[place] for place in kept] + codes[len(values) :]


def _key(encoder: Any, kind: Kind, category: Any) -> Any:
    """Return a category as a value of the input."""
    name = type(encoder).__name__
    if isinstance(category, str) != (kind == "text"):
        raise FormatError(
            f"{name}: category {category!r:.60} cannot be a value of a column of "
            f"{'strings' if kind == 'text' else 'numbers'}: cast the column to strings "
            "(frame.astype(str)), in the data to fit and in the example"
        )
    if kind == "text":
        return category
    if kind == "integer":
        return int(category)
    if isinstance(category, int) and abs(category) > _EXACT:
        raise FormatError(
            f"{name}: category {category} is not exact as a 32-bit float: pass the example as a "
            "DataFrame with a column of integers"
        )
    return float(np.float32(category))


def _is_refusing(encoder: Any) -> bool:
    return getattr(encoder, "handle_unknown", "") == "error"


def _width_of_codes(encoder: Any) -> int:
    is_multiclass = getattr(encoder, "target_type_", None) == "multiclass"
    return len(encoder.classes_) if is_multiclass else 1


def _one_hot_widths(encoder: Any) -> list[int]:
    """Return how many columns each column becomes."""
    infrequent = getattr(encoder, "infrequent_categories_", [None] * len(encoder.categories_))
    dropped = encoder.drop_idx_
    widths = []
    for place, categories in enumerate(encoder.categories_):
        width = len(categories)
        if infrequent[place] is not None:
            width -= len(infrequent[place]) - 1
        if dropped is not None and dropped[place] is not None:
            width -= 1
        widths.append(width)
    return widths


def _answers(encoder: Any, place: int, start: int, width: int) -> Iterator[NDArray[Any]]:
    """Yield what an encoder makes of each category of a column, and of an unknown one.

    Args:
        encoder: the encoder.
        place: place of the column.
        start: first of the columns that it becomes.
        width: how many columns it becomes.
    """
    asked = list(encoder.categories_[place])
    if not _is_refusing(encoder):
        asked.append(_unknown_of(encoder.categories_[place]))
    others = [categories[0] for categories in encoder.categories_]
    for first in range(0, len(asked), _ROWS):
        part = asked[first : first + _ROWS]
        rows = np.empty((len(part), len(others)), object)
        rows[:] = others
        rows[:, place] = part
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unknown categories, and of missing column names
            encoded = encoder.transform(_typed(rows, encoder))
        encoded = encoded.toarray() if hasattr(encoded, "toarray") else np.asarray(encoded)
        yield encoded[:, start : start + width]


def _typed(rows: NDArray[Any], encoder: Any) -> NDArray[Any]:
    """Return rows as numbers if all categories are numbers."""
    kinds = {categories.dtype.kind for categories in encoder.categories_}
    return rows.astype(np.float64) if kinds <= set("fiub") else rows


def _unknown_of(categories: NDArray[Any]) -> Any:
    if categories.dtype.kind in "OU":
        return _UNKNOWN
    finite = [abs(float(value)) for value in categories if np.isfinite(value)]
    return 2 * max(finite, default=0) + 1
