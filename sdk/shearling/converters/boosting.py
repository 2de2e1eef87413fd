"""Convert LightGBM and XGBoost estimators with onnxmltools, as parts of what skl2onnx converts."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters.graph_builder import GraphBuilder
from shearling.converters.skl2onnx_registry import Converter
from shearling.converters.sklearn_served import parts_of
from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

#: skl2onnx's options for classifiers: return class labels (nocl), and probabilities as a tensor
#: (zipmap).
_OPTIONS = {"nocl": [True, False], "zipmap": [True, False, "columns"]}

#: Whole numbers below this one are exact in 32-bit floats.
_EXACT = 2**24


def library_of(part: object) -> str:
    """Return the top-level package of an estimator's class, such as `lightgbm`."""
    return type(part).__module__.partition(".")[0]


def converters(parts: Iterable[object], *, absent_is_missing: bool) -> dict[type, Converter]:
    """Return the converters for skl2onnx of the libraries whose estimators a model contains.

    Args:
        parts: a model and its inner estimators.
        absent_is_missing: whether XGBoost reads zeros as missing, as it does in sparse matrices.

    Raises:
        FormatError: onnxmltools is not installed.
    """
    found: dict[type, Converter] = {}
    for library in sorted({library_of(part) for part in parts} & {"lightgbm", "xgboost"}):
        try:
            if library == "lightgbm":
                found |= _lightgbm_converters()
            else:
                found |= _xgboost_converters(absent_is_missing=absent_is_missing)
        except ImportError as error:
            raise FormatError(
                f"converting {library} models needs onnxmltools: pip install 'shearling[boosting]'"
            ) from error
    return found


def is_fed_sparse(model: Any, rows: Any) -> bool:
    """Return whether a model is a pipeline that gives XGBoost a sparse matrix.

    Args:
        model: a fitted estimator.
        rows: rows that it accepts.
    """
    if not hasattr(model, "steps") or library_of(model.steps[-1][1]) != "xgboost":
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return hasattr(model[:-1].transform(rows), "toarray")
        except Exception as error:  # estimators raise errors of any class
            raise FormatError(f"the model fails on the example: {error}") from error


def check_no_categories(model: Any, example: Any) -> None:
    """Refuse columns of pandas' categories that LightGBM or XGBoost reads itself.

    Raises:
        FormatError: the example has such a column; the message says how to pass its codes.
    """
    library = library_of(model)
    if library not in ("lightgbm", "xgboost") or not hasattr(example, "dtypes"):
        return
    names = [name for name, dtype in example.dtypes.items() if str(dtype) == "category"]
    if names:
        raise FormatError(
            f"column {names[0]!r:.80} has pandas' type category, which requests cannot carry. "
            f"{type(model).__name__} reads its codes alike, so pass an array of numbers as the "
            "example: example.apply(lambda column: column.cat.codes.replace(-1, float('nan')) "
            "if column.dtype == 'category' else column).to_numpy(), and send the same codes in "
            "requests"
        )


def dense_form(model: object) -> str:
    """Return how to pass a sparse example of a model as an array."""
    if any(library_of(part) == "xgboost" for part in parts_of(model)):
        return (
            "for XGBoost, a value that a sparse matrix does not contain is missing, and a zero is "
            "not: pass a dense array that has NaN where the matrix has no value, and send null in "
            "requests"
        )
    return "pass its .toarray()"


@contextmanager
def without_column_names(parts: Sequence[Any]) -> Iterator[None]:
    """Hide column names from XGBoost's converter, which accepts only f0, f1 and so on."""
    boosters = [
        part.get_booster()
        for part in parts
        # A meta-estimator fits copies and leaves the estimator it was given unfitted.
        if library_of(part) == "xgboost" and part.__sklearn_is_fitted__()
    ]
    names = [booster.feature_names for booster in boosters]
    try:
        for booster in boosters:
            booster.feature_names = None
        yield
    finally:
        for booster, feature_names in zip(boosters, names, strict=True):
            booster.feature_names = feature_names


def _lightgbm_converters() -> dict[type, Converter]:
    import lightgbm
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    def convert(scope: Any, operator: Any, container: Any) -> None:
        first = len(container.nodes)
        convert_lightgbm(scope, operator, container)
        nodes = container.nodes[first:]
        is_category = _are_categories(operator.raw_operator)
        if is_category.any():
            graph = GraphBuilder(scope, operator, container)
            whole = _truncated(graph, graph.floats(), is_category)
            for node in nodes:
                names = [whole if name == graph.inputs[0] else name for name in node.input]
                node.input[:] = names

    return {
        lightgbm.LGBMClassifier: _classifier(convert),
        lightgbm.LGBMRegressor: _regressor(convert),
    }


def _are_categories(model: Any) -> NDArray[np.bool_]:
    """Return which columns LightGBM splits by category.

    Raises:
        FormatError: a category is not exact in 32 bits.
    """
    infos = model.booster_.dump_model(num_iteration=1)["feature_infos"]
    names = model.booster_.feature_name()
    known = [infos.get(name, {}).get("values", []) for name in names]
    for name, categories in zip(names, known, strict=True):
        if categories and max(categories) >= _EXACT:
            raise FormatError(
                f"column {name!r:.80} has the category {max(categories)}, and ONNX holds "
                f"categories below {_EXACT} exactly: number the categories from 0 "
                "(sklearn.preprocessing.OrdinalEncoder) and fit again"
            )
    return np.array([bool(categories) for categories in known])


def _truncated(graph: GraphBuilder, values: str, is_category: NDArray[np.bool_]) -> str:
    """Add nodes that cut the fractions of categories: 4.5 is category 4, as for LightGBM."""
    size = graph.add("Floor", graph.add("Abs", values))
    whole = graph.add("Mul", graph.add("Sign", values), size)
    return graph.add("Where", graph.constant(is_category), whole, values)


def _xgboost_converters(*, absent_is_missing: bool) -> dict[type, Converter]:
    import xgboost
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

    def convert(scope: Any, operator: Any, container: Any) -> None:
        if absent_is_missing:
            graph = GraphBuilder(scope, operator, container)
            values = graph.floats()
            is_absent = graph.add("Equal", values, graph.float_constant(0))
            missing = graph.add("Where", is_absent, graph.float_constant(np.nan), values)
            operator.inputs[0].set_onnx_name(missing)
        convert_xgboost(scope, operator, container)

    return {
        xgboost.XGBClassifier: _classifier(convert),
        xgboost.XGBRegressor: _regressor(convert),
    }


def _classifier(convert: Any) -> Converter:
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    return Converter(
        convert=convert, shapes=calculate_linear_classifier_output_shapes, options=_OPTIONS
    )


def _regressor(convert: Any) -> Converter:
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes

    return Converter(
        convert=convert, shapes=calculate_linear_regressor_output_shapes, options={"split": None}
    )
