"""Convert estimators of scikit-learn that skl2onnx lacks or converts wrongly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.converters.graph_builder import (
    GraphBuilder,
    set_classifier_outputs,
    set_float_output,
)
from shearling.converters.skl2onnx_registry import Converter
from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Convert = Callable[[Any, Any, Any], None]

#: Nodes for functions of numpy that act on each value.
FUNCTIONS: dict[Any, Callable[[GraphBuilder, str], str]] = {
    np.abs: lambda graph, x: graph.add("Abs", x),
    np.cbrt: lambda graph, x: graph.add(
        "Mul",
        graph.add("Sign", x),
        graph.add("Pow", graph.add("Abs", x), graph.float_constant(1 / 3)),
    ),
    np.exp: lambda graph, x: graph.add("Exp", x),
    np.expm1: lambda graph, x: graph.add("Sub", graph.add("Exp", x), graph.float_constant(1)),
    np.log: lambda graph, x: graph.add("Log", x),
    np.log10: lambda graph, x: graph.add(
        "Div", graph.add("Log", x), graph.float_constant(math.log(10))
    ),
    np.log1p: lambda graph, x: graph.add("Log", graph.add("Add", x, graph.float_constant(1))),
    np.log2: lambda graph, x: graph.add(
        "Div", graph.add("Log", x), graph.float_constant(math.log(2))
    ),
    np.negative: lambda graph, x: graph.add("Neg", x),
    np.reciprocal: lambda graph, x: graph.add("Reciprocal", x),
    np.sqrt: lambda graph, x: graph.add("Sqrt", x),
    np.square: lambda graph, x: graph.add("Mul", x, x),
    np.tanh: lambda graph, x: graph.add("Tanh", x),
}

#: Nodes for the activations of perceptrons.
ACTIVATIONS = {"exp": "Exp", "logistic": "Sigmoid", "relu": "Relu", "tanh": "Tanh"}


def converters() -> dict[type, Converter]:
    """Return the converters of these estimators for skl2onnx."""
    from sklearn import (
        dummy,
        feature_selection,
        kernel_ridge,
        neighbors,
        neural_network,
        preprocessing,
    )
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.impute import SimpleImputer

    selectors = (
        kind
        for kind in vars(feature_selection).values()
        if isinstance(kind, type) and issubclass(kind, feature_selection.SelectorMixin)
    )
    selector = Converter(
        convert=_convert_selector,
        shapes=lambda operator: _set_like_input(
            operator, int(operator.raw_operator.get_support().sum())
        ),
    )

    def regressor(convert: Convert) -> Converter:
        return Converter(convert=convert, shapes=lambda operator: set_float_output(operator, 1))

    def classifier(convert: Convert) -> Converter:
        return Converter(convert=convert, shapes=set_classifier_outputs)

    return dict.fromkeys(selectors, selector) | {
        SimpleImputer: Converter(convert=_convert_imputer, shapes=_set_imputer_output),
        TransformedTargetRegressor: regressor(_convert_target),
        dummy.DummyClassifier: classifier(_convert_dummy_classifier),
        dummy.DummyRegressor: regressor(_convert_dummy_regressor),
        kernel_ridge.KernelRidge: regressor(_convert_kernel_ridge),
        neighbors.NearestCentroid: classifier(_convert_nearest_centroid),
        neural_network.MLPRegressor: Converter(
            convert=_convert_perceptron,
            shapes=lambda operator: set_float_output(operator, operator.raw_operator.n_outputs_),
        ),
        preprocessing.FunctionTransformer: Converter(
            convert=_convert_function,
            shapes=lambda operator: _set_like_input(
                operator, sum(one.type.shape[1] for one in operator.inputs)
            ),
        ),
        preprocessing.MaxAbsScaler: Converter(convert=_convert_max_abs_scaler),
    }


def _refusal(estimator: Any, what: str, remedy: str) -> FormatError:
    name = type(estimator).__name__
    return FormatError(f"{name} with {what} cannot be converted to ONNX: {remedy}")


def _set_like_input(operator: Any, width: int) -> None:
    given = operator.inputs[0].type
    operator.outputs[0].type = type(given)([given.shape[0], width])


def _convert_selector(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    places = graph.constant(graph.estimator.get_support(indices=True).astype(np.int64))
    graph.set_output(graph.add("Gather", graph.matrix(), places, axis=1))


def _convert_perceptron(scope: Any, operator: Any, container: Any) -> None:
    """Convert a regressor, of which skl2onnx puts several targets into one column."""
    graph = GraphBuilder(scope, operator, container)
    perceptron, values = graph.estimator, graph.floats()
    hidden = [perceptron.activation] * (len(perceptron.coefs_) - 1)
    layers = zip(perceptron.coefs_, perceptron.intercepts_, strict=True)
    activations = [*hidden, perceptron.out_activation_]
    for (weights, bias), activation in zip(layers, activations, strict=True):
        products = graph.add("MatMul", values, graph.float_constant(weights))
        values = graph.add("Add", products, graph.float_constant(bias))
        if activation != "identity":
            values = graph.add(ACTIVATIONS[activation], values)
    graph.set_output(values)


def _convert_function(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    transformer = graph.estimator
    if transformer.func is None:
        graph.set_output(graph.matrix())
        return
    graph.set_output(_applied(graph, transformer.func, graph.floats(), "func"))


def _applied(graph: GraphBuilder, function: Any, values: str, setting: str) -> str:
    """Add nodes for a function of numpy."""
    if function not in FUNCTIONS:
        known = ", ".join(f"np.{one.__name__}" for one in FUNCTIONS)
        name = getattr(function, "__name__", None) or f"{function!r:.60}"
        raise _refusal(
            graph.estimator,
            f"{setting}={name}",
            f"use one of {known}, or pass format='cloudpickle' (a pickle runs code when it is "
            "loaded, so the function must allow pickles)",
        )
    return FUNCTIONS[function](graph, values)


def _convert_max_abs_scaler(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    scaled = graph.add("Div", graph.floats(), graph.float_constant(graph.estimator.scale_))
    if getattr(graph.estimator, "clip", False):
        scaled = graph.add("Clip", scaled, graph.float_constant(-1), graph.float_constant(1))
    graph.set_output(scaled)


# Imputation


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN; pandas' NA is refused before


def _kept(imputer: Any) -> NDArray[Any]:
    """Return the places of the columns that an imputer keeps."""
    empty = [_is_missing(value) for value in imputer.statistics_.tolist()]
    return np.flatnonzero(np.logical_not(empty))


def _set_imputer_output(operator: Any) -> None:
    from skl2onnx.common.data_types import StringTensorType

    imputer = operator.raw_operator
    width = len(_kept(imputer))
    if imputer.add_indicator:
        width += len(imputer.indicator_.features_)
    set_float_output(operator, width)
    if isinstance(operator.inputs[0].type, StringTensorType):
        operator.outputs[0].type = StringTensorType([None, width])


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    imputer, kept = graph.estimator, _kept(graph.estimator)
    values = graph.matrix() if graph.are_texts else graph.floats()
    mask = _missing_mask(graph, values)
    filled = values
    if mask is not None:
        fill = imputer.statistics_
        fill = fill.astype(str) if graph.are_texts else fill.astype(np.float32)
        filled = graph.add("Where", mask, graph.constant(fill.reshape(1, -1)), values)
    if len(kept) < len(imputer.statistics_):
        filled = graph.add("Gather", filled, graph.constant(kept), axis=1)
    if imputer.add_indicator:
        if graph.are_texts or mask is None:
            raise _refusal(imputer, "add_indicator=True on strings", "use add_indicator=False")
        features = graph.constant(imputer.indicator_.features_.astype(np.int64))
        indicators = graph.add("Gather", graph.add("Cast", mask, to=1), features, axis=1)
        filled = graph.add("Concat", filled, indicators, axis=1)
    graph.set_output(filled)


def _missing_mask(graph: GraphBuilder, values: str) -> str | None:
    """Add nodes that find missing values; None if a request cannot contain any."""
    missing = graph.estimator.missing_values
    if graph.are_texts:
        if not isinstance(missing, str):
            return None  # strings in ONNX and in requests are never missing
        found = graph.add(
            "LabelEncoder",
            values,
            domain="ai.onnx.ml",
            keys_strings=[missing],
            values_int64s=[1],
            default_int64=0,
        )
        return graph.add("Cast", found, to=9)  # BOOL
    if _is_missing(missing) or type(missing).__name__ == "NAType":
        return graph.add("IsNaN", values)
    return graph.add("Equal", values, graph.float_constant(missing))


# Answers that do not depend on the row


def _repeated(graph: GraphBuilder, row: Any) -> str:
    """Add nodes that repeat a row as often as the inputs have rows."""
    shape = graph.add("Shape", graph.inputs[0])
    rows = graph.add("Slice", shape, graph.constant([0]), graph.constant([1]))
    sizes = graph.add("Concat", rows, graph.constant([len(row)]), axis=0)
    return graph.add("Expand", graph.constant(np.asarray([row])), sizes)


def _convert_dummy_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    graph.set_output(_repeated(graph, np.ravel(graph.estimator.constant_).astype(np.float32)))


def _convert_dummy_classifier(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    dummy = graph.estimator
    if dummy.strategy in ("stratified", "uniform"):
        raise _refusal(
            dummy,
            f"strategy={dummy.strategy!r}",
            "it draws random labels, so its answers cannot be verified: use strategy='prior'",
        )
    if dummy.n_outputs_ > 1:
        raise _refusal(dummy, "several targets", "push one model per target")
    row = np.zeros((1, 1))
    probabilities = dummy.predict_proba(row)[0].astype(np.float32)
    place = dummy.classes_.tolist().index(dummy.predict(row)[0])
    graph.set_output(
        _label(graph, graph.add("Squeeze", _repeated(graph, [place]), graph.constant([1])))
    )
    graph.set_output(_repeated(graph, probabilities), 1)


def _label(graph: GraphBuilder, places: str) -> str:
    """Add nodes that give the classes at places."""
    classes = graph.estimator.classes_
    classes = classes.astype(np.int64) if classes.dtype.kind in "iub" else classes.astype(str)
    return graph.add("Gather", graph.constant(classes), places)


# Distances and kernels


#: The operators that sum the differences of two rows to a distance.
_SQUARED, _MANHATTAN = "ReduceSumSquare", "ReduceL1"


def _distances(graph: GraphBuilder, values: str, others: NDArray[Any], measure: str) -> str:
    """Add nodes for the distances of rows to other rows, by one of the measures above."""
    difference = graph.add(
        "Sub",
        graph.add("Unsqueeze", values, graph.constant([1])),
        graph.float_constant(others[np.newaxis]),
    )
    return graph.add(measure, difference, graph.constant([2]), keepdims=0)


def _convert_nearest_centroid(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    model, values = graph.estimator, graph.floats()
    if model.metric not in ("euclidean", "manhattan"):
        raise _refusal(model, f"metric={model.metric!r:.40}", "use 'euclidean' or 'manhattan'")
    deviations = np.where(model.within_class_std_dev_ == 0, 1, model.within_class_std_dev_)
    scaled = graph.add("Div", values, graph.float_constant(deviations))
    distances = _centroid_distances(graph, scaled, model.centroids_ / deviations)
    log_priors = graph.float_constant(2 * np.log(model.class_prior_))
    scores = graph.add("Sub", log_priors, distances)
    if np.isclose(model.class_prior_, 1 / len(model.classes_)).all():
        distances = _centroid_distances(graph, values, model.centroids_)
        nearest = graph.add("ArgMin", distances, axis=1, keepdims=0)
    else:
        nearest = graph.add("ArgMax", scores, axis=1, keepdims=0)
    graph.set_output(_label(graph, nearest))
    graph.set_output(graph.add("Softmax", scores, axis=1), 1)


def _centroid_distances(graph: GraphBuilder, values: str, centroids: NDArray[Any]) -> str:
    """Add nodes for squared distances to centroids, less what is the same for all centroids."""
    if graph.estimator.metric == "manhattan":
        distances = _distances(graph, values, centroids, _MANHATTAN)
        return graph.add("Mul", distances, distances)
    # Without the square of the row itself, in which 32-bit floats would lose the differences.
    products = graph.add("MatMul", values, graph.float_constant(-2 * centroids.T))
    return graph.add("Add", products, graph.float_constant((centroids**2).sum(axis=1)))


def _convert_kernel_ridge(scope: Any, operator: Any, container: Any) -> None:
    graph = GraphBuilder(scope, operator, container)
    model, values = graph.estimator, graph.floats()
    kernel = model.kernel if isinstance(model.kernel, str) else "a function"
    fitted = model.X_fit_.toarray() if hasattr(model.X_fit_, "toarray") else model.X_fit_
    gamma = graph.float_constant(1 / fitted.shape[1] if model.gamma is None else model.gamma)
    if kernel in ("rbf", "laplacian"):
        measure = _SQUARED if kernel == "rbf" else _MANHATTAN
        weighed = graph.add("Mul", _distances(graph, values, fitted, measure), gamma)
        similarities = graph.add("Exp", graph.add("Neg", weighed))
    elif kernel in ("linear", "poly", "polynomial", "sigmoid"):
        similarities = graph.add("MatMul", values, graph.float_constant(fitted.T))
        if kernel != "linear":
            weighed = graph.add("Mul", similarities, gamma)
            similarities = graph.add("Add", weighed, graph.float_constant(model.coef0))
        if kernel.startswith("poly"):
            similarities = graph.add("Pow", similarities, graph.float_constant(model.degree))
        elif kernel == "sigmoid":
            similarities = graph.add("Tanh", similarities)
    else:
        raise _refusal(
            model, f"kernel={kernel!r:.40}", "use 'linear', 'rbf', 'laplacian', 'poly' or 'sigmoid'"
        )
    coefficients = model.dual_coef_.reshape(len(fitted), -1)
    graph.set_output(graph.add("MatMul", similarities, graph.float_constant(coefficients)))


# Targets that were transformed before fitting


def _convert_target(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx._parse import _get_sklearn_operator_name
    from skl2onnx.common.data_types import FloatTensorType

    graph = GraphBuilder(scope, operator, container)
    model = graph.estimator
    inner = scope.declare_local_operator(
        _get_sklearn_operator_name(type(model.regressor_)), model.regressor_
    )
    inner.inputs = operator.inputs
    predicted = scope.declare_local_variable("predicted", FloatTensorType())
    inner.outputs.append(predicted)
    graph.set_output(_inverted(graph, model.transformer_, predicted.full_name))


def _inverted(graph: GraphBuilder, transformer: Any, values: str) -> str:
    """Add nodes for the inverse of a transformer."""
    kind = type(transformer).__name__
    if kind == "FunctionTransformer":
        inverse = transformer.inverse_func
        return values if inverse is None else _applied(graph, inverse, values, "inverse_func")
    if kind == "StandardScaler":
        scale = 1.0 if transformer.scale_ is None else transformer.scale_
        mean = 0.0 if transformer.mean_ is None else transformer.mean_
        scaled = graph.add("Mul", values, graph.float_constant(scale))
        return graph.add("Add", scaled, graph.float_constant(mean))
    if kind == "MinMaxScaler":
        moved = graph.add("Sub", values, graph.float_constant(transformer.min_))
        return graph.add("Div", moved, graph.float_constant(transformer.scale_))
    raise _refusal(
        graph.estimator,
        f"transformer={kind}",
        "use func= and inverse_func= of numpy, StandardScaler or MinMaxScaler, or push the "
        "regressor_ and invert its predictions in your own code",
    )
