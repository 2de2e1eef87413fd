"""The models of the sweep: every estimator with its defaults and two other settings, by data."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import all_estimators
from sklearn.utils._param_validation import StrOptions

from tests.sweep.data import Table, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Parameters that only steer fitting, in any estimator; varying them says little.
_FITTING = frozenset(
    [
        *("algorithm", "compute_score", "copy", "copy_X", "copy_X_train", "copy_x"),
        *("decode_error", "early_stopping", "eigen_solver", "encoding", "input", "memory"),
        *("n_jobs", "oob_score", "precompute", "random_state", "return_train_score"),
        *("selection", "shuffle", "solver", "store_covariance", "store_cv_results"),
        *("svd_solver", "verbose", "verbose_feature_names_out", "warm_start"),
    ]
)

#: Settings that matter at prediction, where the constraints of the parameters do not say them.
_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "AdaBoostClassifier": [{"n_estimators": 3}, {"estimator": LogisticRegression()}],
    "BaggingClassifier": [{"max_features": 0.5}, {"estimator": LogisticRegression()}],
    "BaggingRegressor": [{"max_features": 0.5}, {"estimator": LinearRegression()}],
    "Binarizer": [{"threshold": 1.0}],
    "CountVectorizer": [
        {"ngram_range": (1, 2), "binary": True},
        {"analyzer": "char_wb", "ngram_range": (2, 4), "strip_accents": "unicode"},
        {"lowercase": False, "token_pattern": r"(?u)\b\w+\b", "stop_words": ["good", "a"]},
    ],
    "TfidfVectorizer": [
        {"ngram_range": (1, 3), "sublinear_tf": True, "strip_accents": "ascii"},
        {"analyzer": "char", "ngram_range": (1, 3), "norm": "l1"},
        {"norm": None, "use_idf": False, "stop_words": "english"},
    ],
    "KNeighborsClassifier": [{"weights": "distance"}, {"metric": "manhattan", "n_neighbors": 3}],
    "KNeighborsRegressor": [{"weights": "distance"}, {"metric": "chebyshev"}],
    "OneHotEncoder": [
        {"handle_unknown": "ignore", "drop": "if_binary"},
        {"handle_unknown": "infrequent_if_exist", "min_frequency": 25},
        {"drop": "first", "sparse_output": False},
    ],
    "OrdinalEncoder": [
        {"handle_unknown": "use_encoded_value", "unknown_value": -1},
        {"handle_unknown": "use_encoded_value", "unknown_value": np.nan},
        {"max_categories": 3},
    ],
    "SimpleImputer": [
        {"strategy": "most_frequent"},
        {"strategy": "median", "add_indicator": True},
    ],
    "LogisticRegression": [{"C": 0.1, "class_weight": "balanced"}, {"fit_intercept": False}],
    "LogisticRegressionCV": [{"Cs": 3, "class_weight": "balanced"}, {"fit_intercept": False}],
    "SVC": [{"decision_function_shape": "ovo"}, {"break_ties": True}, {"kernel": "poly"}],
    "NuSVC": [{"nu": 0.2}, {"kernel": "sigmoid"}],
    "SGDClassifier": [{"loss": "log_loss"}, {"loss": "modified_huber"}],
    "StackingClassifier": [{"passthrough": True}, {"stack_method": "predict"}],
    "VotingClassifier": [{"voting": "soft"}, {"weights": [1, 3]}],
    "VotingRegressor": [{"weights": [1, 3]}],
    "FunctionTransformer": [{"func": np.log1p}, {"func": np.abs, "validate": True}],
    "TransformedTargetRegressor": [
        {"func": np.log, "inverse_func": np.exp},
        {"transformer": StandardScaler()},
    ],
    "KernelRidge": [{"kernel": "rbf"}, {"kernel": "poly", "degree": 2}],
    "DummyClassifier": [{"strategy": "most_frequent"}, {"strategy": "uniform"}],
    "DummyRegressor": [{"strategy": "median"}, {"strategy": "quantile", "quantile": 0.9}],
    "NearestCentroid": [{"metric": "manhattan"}, {"shrink_threshold": 0.1}],
    "FeatureUnion": [{"transformer_weights": {"a": 2.0}}],
    "ColumnTransformer": [{"remainder": "passthrough"}, {"transformer_weights": {"a": 2.0}}],
}

MIXED_COLUMNS = ColumnTransformer(
    [
        ("numbers", StandardScaler(), ["amount", "size", "count"]),
        ("words", OneHotEncoder(handle_unknown="ignore"), ["country"]),
        ("flags", "passthrough", ["member"]),
    ]
)

#: Values for parameters without a default.
_REQUIRED: dict[str, Callable[[bool], Any]] = {
    "estimator": lambda classes: LogisticRegression() if classes else LinearRegression(),
    "estimators": lambda classes: [
        ("a", LogisticRegression() if classes else LinearRegression()),
        ("b", (DecisionTreeClassifier if classes else DecisionTreeRegressor)(max_depth=3)),
    ],
    "param_grid": lambda _: {"fit_intercept": [True, False]},
    "param_distributions": lambda _: {"fit_intercept": [True, False]},
    "steps": lambda _: [("a", StandardScaler()), ("b", LogisticRegression())],
    "transformer_list": lambda _: [
        ("a", StandardScaler()),
        ("b", OneHotEncoder(handle_unknown="ignore")),
    ],
    "transformers": lambda _: [("a", StandardScaler(), [0, 2]), ("b", "passthrough", [1])],
    "dictionary": lambda _: np.eye(5),
    "kernel_params": lambda _: None,
}

#: The kinds of data.
DATA = ("numbers", "two classes", "missing", "mixed", "words", "text")

_SEVERAL_TARGETS = ("MultiTask", "MultiOutput")


@dataclass(frozen=True, slots=True)
class Case:
    """A model to push.

    Attributes:
        estimator: name of the class.
        settings: its settings as text; "defaults" without any.
        data: what it is fitted on.
        fit: fits the model, and returns it with its data; raises if it cannot be fitted on them.
    """

    estimator: str
    settings: str
    data: str
    fit: Callable[[], tuple[Any, Table]]

    @property
    def name(self) -> str:
        """A name that no other case has."""
        return f"{self.estimator}({self.settings}) on {self.data}"


def all_cases() -> list[Case]:
    """Return every case, in a fixed order."""
    from tests.sweep import boosters

    kinds = [kind for _, kind in all_estimators()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecated classes
        cases = [case for kind in kinds for case in _cases_of(kind)]
    return cases + list(boosters.cases())


def _cases_of(kind: type) -> Iterator[Case]:
    try:
        default = _construct(kind)
    except Exception:  # noqa: BLE001 - abstract, or in need of more than a default
        return
    settings: list[dict[str, Any]] = [{}, *_settings_of(kind)]
    for setting in settings:
        text = ", ".join(f"{key}={_shown(value)}" for key, value in setting.items())
        for data in _data_for(default):
            fit = partial(_fitted, kind, setting, data)
            yield Case(kind.__name__, text or "defaults", data, fit)


def _shown(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)


def _construct(kind: type, **settings: Any) -> Any:
    required = {
        name: make("Regress" not in kind.__name__)
        for name, make in _REQUIRED.items()
        if name in getattr(kind, "_required_parameters", []) or _lacks_default(kind, name)
    }
    model = kind(**(required | settings))
    if "random_state" in model.get_params() and "random_state" not in settings:
        model.set_params(random_state=0)
    return model


def _lacks_default(kind: type, name: str) -> bool:
    if kind.__name__ == "SelfTrainingClassifier":  # its default, None, is refused by `fit`
        return name == "estimator"
    parameter = inspect.signature(kind).parameters.get(name)
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _settings_of(kind: type) -> list[dict[str, Any]]:
    """Return the settings that are written above, or else the first two that its options allow."""
    if kind.__name__ in _SETTINGS:
        return _SETTINGS[kind.__name__]
    default = _construct(kind).get_params(deep=False)
    found: list[dict[str, Any]] = []
    for name, constraints in getattr(kind, "_parameter_constraints", {}).items():
        if name in _FITTING or name not in default or not isinstance(constraints, list):
            continue
        for constraint in constraints:
            if constraint == "boolean" and isinstance(default[name], bool):
                found.append({name: not default[name]})
            if isinstance(constraint, StrOptions):
                others = sorted(set(constraint.options) - {default[name]} - {"precomputed"})
                found += [
                    {name: option} for option in others if option not in _unusable(constraint)
                ]
    # One option each of as many parameters as there are, before the second of any.
    firsts = {next(iter(one)): one for one in reversed(found)}
    ordered = [*reversed(firsts.values()), *(one for one in found if one not in firsts.values())]
    return ordered[:2]


def _unusable(constraint: StrOptions) -> set[str]:
    return set(getattr(constraint, "deprecated", ()))


def _data_for(model: Any) -> list[str]:
    if is_classifier(model):
        return ["numbers", "two classes", "missing", "mixed", "text"]
    if is_regressor(model):
        return ["numbers", "missing", "mixed", "text"]
    if hasattr(model, "transform"):
        return ["numbers", "missing", "words", "mixed", "text"]
    return ["numbers", "missing"]


def _fitted(kind: type, setting: dict[str, Any], data: str) -> tuple[Any, Table]:
    model = clone(_construct(kind, **setting))
    needs_positive = model.__sklearn_tags__().input_tags.positive_only
    source = {"two classes": "numbers"}.get(data, data)
    if source == "numbers" and needs_positive:
        source = "positive"
    given = table(source)
    if source == "mixed":
        model = make_pipeline(clone(MIXED_COLUMNS), model)
    if source == "text" and kind.__name__ not in (
        "CountVectorizer",
        "TfidfVectorizer",
        "HashingVectorizer",
    ):
        model = make_pipeline(TfidfVectorizer(), model)
    target = _target(kind, model, given, two_classes=data == "two classes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(given.fitted, target)
    return model, given


def _target(kind: type, model: Any, given: Table, *, two_classes: bool) -> Any:
    if is_regressor(model):
        target = given.numbers
    elif two_classes or not is_classifier(model):
        target = given.two_classes
    else:
        target = given.classes
    if kind.__name__.startswith(_SEVERAL_TARGETS) or "Chain" in kind.__name__:
        return np.stack([target, np.roll(target, 1)], axis=1)
    return target
