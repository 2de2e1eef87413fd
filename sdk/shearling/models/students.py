"""Small scikit-learn models, and how they are fitted on what a teacher answered."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import FormatError, InvalidRequestError
from shearling.models.row_split import taken_rows
from shearling.tensors.inputs import is_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shearling.models.teacher import Answers

#: Probabilities below this are not worth a row, unless they are the class's largest.
_NEGLIGIBLE = 0.01

#: Passes over the rows that a perceptron gets: at most, at least, and rows in all.
_MOST_PASSES, _LEAST_PASSES, _ROWS_IN_ALL = 500, 20, 2_000_000

#: Trees of histogram boosting, and the fewest rounds, which make a tree for each class.
_TREES, _LEAST_ROUNDS = 100, 10

#: Distinct strings of a column from which it is text rather than categories.
_MOST_CATEGORIES = 200


#: What to do about classes that a teacher gives as floats.
_OR_CLASSES = (
    ". If they are classes, return integers or strings; of probabilities of the second of two "
    "classes, pass classes=[first, second]"
)


def students_of(student: Any, rows: Any, answers: Answers) -> dict[str, Any]:
    """Return the unfitted students by name.

    Args:
        student: "auto", an estimator, or several.
        rows: the rows to learn from.
        answers: what the teacher answered to them.

    Raises:
        InvalidRequestError: a student is no estimator, or does not give what the teacher gives.
    """
    if isinstance(student, str):
        if student != "auto":
            raise InvalidRequestError(
                f"student {student!r:.80}: expected 'auto', a scikit-learn estimator, or a list of "
                "estimators"
            )
        return automatic(rows, answers)
    given = list(student) if isinstance(student, list | tuple) else [student]
    if not given:
        raise InvalidRequestError("student is an empty list: pass 'auto', or an estimator")
    named: dict[str, Any] = {}
    for one in given:
        _check(one, answers)
        name = _name(one)
        number = sum(taken.partition(" #")[0] == name for taken in named)
        named[f"{name} #{number + 1}" if number else name] = one
    return named


def automatic(rows: Any, answers: Answers) -> dict[str, Any]:
    """Return a linear model, perceptrons, a tree and histogram boosting, by name."""
    from sklearn import ensemble, linear_model, multioutput, neural_network, tree

    passes = max(_LEAST_PASSES, min(_MOST_PASSES, _ROWS_IN_ALL // len(rows)))
    trees = 1 if answers.classes is None else len(answers.classes)  # of one round
    rounds = max(_LEAST_ROUNDS, _TREES // trees)
    boosts = {
        "max_iter": rounds,
        "max_leaf_nodes": 16,
        "early_stopping": False,
        "random_state": 0,
    }
    leaves = {"max_leaf_nodes": 64, "random_state": 0}

    def perceptron(width: int) -> Any:
        settings = {"hidden_layer_sizes": (width,), "max_iter": passes, "random_state": 0}
        if answers.classes is not None:
            return neural_network.MLPClassifier(**settings)
        return _on_scaled_targets(neural_network.MLPRegressor(**settings), answers.values)

    if answers.classes is not None:
        linear = linear_model.LogisticRegression(C=10, max_iter=passes)
        branching = tree.DecisionTreeClassifier(**leaves)
        boosting = ensemble.HistGradientBoostingClassifier(**boosts)
    else:
        linear = linear_model.Ridge()
        branching = tree.DecisionTreeRegressor(**leaves)
        boosting = ensemble.HistGradientBoostingRegressor(**boosts)
        if answers.values.ndim > 1:
            boosting = multioutput.MultiOutputRegressor(boosting)
    return {
        "linear": _prepared(linear, rows, scaled=True),
        "perceptron of 16": _prepared(perceptron(16), rows, scaled=True),
        "perceptron of 32": _prepared(perceptron(32), rows, scaled=True),
        "perceptron of 64": _prepared(perceptron(64), rows, scaled=True),
        "tree": _prepared(branching, rows, scaled=False),
        "boosting": _prepared(boosting, rows, scaled=False),
    }


def fit(student: Any, rows: Any, answers: Answers) -> Any:
    """Return a student that was fitted on what a teacher answered to rows.

    A classifier gets each row once for each class, weighted by the teacher's probability of the
    class. That minimises the cross entropy between the teacher's probabilities and its own. One
    that takes no weights learns the teacher's labels.
    """
    from sklearn.base import clone

    fitted = clone(student)
    targets: Any = answers.values if answers.labels is None else answers.labels
    weights: dict[str, Any] = {}
    name = _weight_name(fitted)
    if answers.are_soft and name is not None:
        places, columns = _kept(answers.values)
        weights = {name: answers.values[places, columns]}
        rows = taken_rows(rows, places)
        assert answers.classes is not None  # noqa: S101 - probabilities are of classes
        targets = answers.classes[columns]
    with warnings.catch_warnings():
        # The report judges whether it has learnt enough, however its fitting ended.
        warnings.simplefilter("ignore")
        try:
            fitted.fit(rows, targets, **weights)
        except Exception as error:
            raise FormatError(f"fitting failed: {error!s:.300}") from error
    return fitted


def as_float32(rows: Any) -> Any:
    """Return rows whose floats are rounded to 32 bits, as ONNX computes."""
    if is_frame(rows):
        return rows.astype(dict.fromkeys(rows.select_dtypes("float64").columns, np.float32))
    return rows.astype(np.float32) if rows.dtype == np.float64 else rows


def _kept(probabilities: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of probabilities to learn: each class has at least one."""
    kept = probabilities >= _NEGLIGIBLE
    kept[probabilities.argmax(axis=0), np.arange(probabilities.shape[1])] = True
    places, columns = np.nonzero(kept)
    return places, columns


def _weight_name(student: Any) -> str | None:
    """Return the name of the argument of `fit` that takes the weights of rows, if there is one."""
    from sklearn.utils.validation import has_fit_parameter

    if hasattr(student, "steps"):
        step, last = student.steps[-1]
        inner = _weight_name(last)
        return inner and f"{step}__{inner}"
    return "sample_weight" if has_fit_parameter(student, "sample_weight") else None


def _check(student: Any, answers: Answers) -> None:
    from sklearn.base import is_classifier, is_regressor

    if isinstance(student, type) or not hasattr(student, "fit") or not hasattr(student, "predict"):
        raise InvalidRequestError(
            f"student {student!r:.80}: expected a scikit-learn estimator with fit and predict, "
            "such as LogisticRegression()"
        )
    wanted, fits = (
        ("a regressor", is_regressor(student))
        if answers.classes is None
        else ("a classifier", is_classifier(student))
    )
    if not fits:
        raise InvalidRequestError(
            f"student {_name(student)} is not {wanted}, but the teacher gives {answers.kind}: pass "
            f"{wanted}{'' if answers.classes is not None else _OR_CLASSES}"
        )


def _name(student: Any) -> str:
    last = student.steps[-1][1] if hasattr(student, "steps") else student
    return type(last).__name__


def _on_scaled_targets(regressor: Any, values: NDArray[Any]) -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    if values.ndim > 1:
        return regressor
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def _prepared(estimator: Any, rows: Any, *, scaled: bool) -> Any:
    """Return a pipeline that makes the columns of rows numbers without missing values."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = _categories(rows)
    numbers = rows.drop(columns=words) if words else rows
    steps: list[Any] = []
    values = np.asarray(numbers, np.float64)
    if values.size and np.isnan(values).any():
        steps.append(SimpleImputer())
    if scaled:
        steps.append(StandardScaler())
    if not words:
        return make_pipeline(*steps, estimator)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("categories", encoder, words)]
    if names := list(numbers.columns):
        parts.insert(0, ("numbers", make_pipeline(*steps) if steps else "passthrough", names))
    return Pipeline([("columns", ColumnTransformer(parts)), ("model", estimator)])


def _categories(rows: Any) -> Sequence[Any]:
    """Return the names of the columns that are strings.

    Raises:
        InvalidRequestError: the rows have strings that are no categories.
    """
    remedy = (
        "student='auto' takes numbers and categories: pass student=, a pipeline that encodes them"
    )
    if not is_frame(rows):
        if rows.dtype.kind not in "fiub" or rows.ndim != 2:  # noqa: PLR2004 - rows and columns
            raise InvalidRequestError(f"X has dtype {rows.dtype} and rank {rows.ndim}. {remedy}")
        return []
    words = [name for name in rows.columns if rows[name].to_numpy().dtype.kind not in "fiub"]
    for name in words:
        if (count := rows[name].nunique()) > _MOST_CATEGORIES:
            raise InvalidRequestError(
                f"column {name!r:.80} of X has {count:,} different values, more than "
                f"{_MOST_CATEGORIES}. {remedy}"
            )
    return words
