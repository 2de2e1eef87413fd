"""The boosters of the sweep: LightGBM's and XGBoost's objectives and boosters, by data."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from xgboost import XGBClassifier, XGBRanker, XGBRegressor, XGBRFClassifier, XGBRFRegressor

from tests.sweep import cases as sweep
from tests.sweep.data import Table, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET = {"n_estimators": 8, "verbosity": 0, "random_state": 0, "n_jobs": 1}

_LIGHTGBM_REGRESSION = (
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "poisson",
    "quantile",
    "mape",
    "gamma",
    "tweedie",
)
_XGBOOST_REGRESSION = (
    "reg:squarederror",
    "reg:squaredlogerror",
    "reg:logistic",
    "reg:pseudohubererror",
    "reg:absoluteerror",
    "count:poisson",
    "reg:gamma",
    "reg:tweedie",
)

_SETTINGS: list[tuple[type, list[dict[str, Any]]]] = [
    (
        LGBMClassifier,
        [
            {},
            *({"objective": name} for name in ("multiclassova", "cross_entropy")),
            *({"boosting_type": name} for name in ("dart", "rf")),
            {"zero_as_missing": True},
            {"use_missing": False},
            {"linear_tree": True},
            {"extra_trees": True},
            {"is_unbalance": True},
            {"sigmoid": 2.0},
            {"max_bin": 15},
        ],
    ),
    (
        LGBMRegressor,
        [
            {},
            *({"objective": name} for name in _LIGHTGBM_REGRESSION),
            {"boosting_type": "dart"},
            {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7},
            {"zero_as_missing": True},
            {"use_missing": False},
            {"linear_tree": True},
            {"reg_sqrt": True},
        ],
    ),
    (LGBMRanker, [{}]),
    (
        XGBClassifier,
        [
            {},
            {"booster": "dart", "rate_drop": 0.3},
            {"booster": "gblinear"},
            {"num_parallel_tree": 3},
            {"objective": "binary:hinge"},
            {"objective": "multi:softmax"},
            {"missing": 0.0},
            {"base_score": 0.3},
            {"grow_policy": "lossguide", "max_leaves": 5},
        ],
    ),
    (
        XGBRegressor,
        [
            {},
            *({"objective": name} for name in _XGBOOST_REGRESSION),
            {"objective": "reg:quantileerror", "quantile_alpha": 0.5},
            {"booster": "dart", "rate_drop": 0.3},
            {"booster": "gblinear"},
            {"num_parallel_tree": 3},
            {"missing": 0.0},
            {"base_score": 3.0},
            {"tree_method": "exact"},
        ],
    ),
    (XGBRFClassifier, [{}]),
    (XGBRFRegressor, [{}]),
    (XGBRanker, [{}]),
]


def cases() -> Iterator[sweep.Case]:
    """Yield the cases of both libraries."""
    for kind, settings in _SETTINGS:
        data = ["numbers", "missing", "mixed", "text"]
        if "Classifier" in kind.__name__:
            data.insert(1, "two classes")
        for setting in settings:
            text = ", ".join(f"{key}={value!r}" for key, value in setting.items())
            for name in data:
                fit = partial(_fitted, kind, setting, name)
                yield sweep.Case(kind.__name__, text or "defaults", name, fit)


def _fitted(kind: type, setting: dict[str, Any], data: str) -> tuple[Any, Table]:
    quiet: dict[str, Any] = _QUIET | (
        {"min_child_samples": 5} if kind.__module__.startswith("lightgbm") else {}
    )
    if setting.get("boosting_type") == "rf":
        quiet |= {"bagging_freq": 1, "bagging_fraction": 0.7}
    model: Any = kind(**(quiet | setting))
    given = table({"two classes": "numbers"}.get(data, data))
    if data == "mixed":
        model = make_pipeline(clone(sweep.MIXED_COLUMNS), model)
    if data == "text":
        model = make_pipeline(TfidfVectorizer(dtype=np.float32), model)
    target: Any = given.numbers
    if "Classifier" in kind.__name__:
        target = given.two_classes
        if data != "two classes" and "binary" not in str(setting.get("objective")):
            target = np.unique(given.classes, return_inverse=True)[1]
    if setting.get("objective") in ("reg:logistic", "cross_entropy"):
        target = (target - target.min()) / np.ptp(target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "Ranker" in kind.__name__:
            model.fit(given.fitted, given.two_classes, group=[len(given.fitted)])
        else:
            model.fit(given.fitted, target)
    return model, given
