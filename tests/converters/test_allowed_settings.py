"""A setting that no converter is known to read is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from xgboost import XGBClassifier, XGBRegressor

from shearling.converters.allowed_settings import check_settings
from shearling.errors import FormatError
from tests.support.datasets import BINARY, X, served

THREE = np.arange(60) % 3
POSITIVE = np.abs(X[:, 0]) + 1


def lightgbm(kind: type, **settings: Any) -> Any:
    return kind(n_estimators=3, verbosity=-1, min_child_samples=5, **settings)


@pytest.mark.parametrize(
    ("model", "labels", "setting"),
    [
        (SVC(break_ties=True), THREE, "break_ties=True"),
        (CalibratedClassifierCV(method="temperature"), BINARY, "method='temperature'"),
        (lightgbm(LGBMRegressor, zero_as_missing=True), POSITIVE, "zero_as_missing='1'"),
        (lightgbm(LGBMRegressor, linear_tree=True), POSITIVE, "linear_tree='1'"),
        (lightgbm(LGBMRegressor, reg_sqrt=True), POSITIVE, "reg_sqrt='1'"),
        (lightgbm(LGBMRegressor, objective="mape"), POSITIVE, "objective='mape'"),
        (lightgbm(LGBMClassifier, sigmoid=2.0), BINARY, "sigmoid='2'"),
        (lightgbm(LGBMClassifier, objective="multiclassova"), THREE, "objective='multiclassova'"),
        (
            lightgbm(LGBMClassifier, boosting_type="rf", subsample=0.5, subsample_freq=1),
            BINARY,
            "boosting='rf'",
        ),
        (XGBRegressor(n_estimators=2, booster="gblinear"), POSITIVE, "booster='gblinear'"),
        (XGBRegressor(n_estimators=2, missing=0.0), POSITIVE, "missing=0.0"),
        (XGBClassifier(n_estimators=2, num_parallel_tree=3), BINARY, "num_parallel_tree=3"),
        (
            XGBRegressor(n_estimators=2, objective="reg:logistic"),
            BINARY,
            "objective='reg:logistic'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting_that_changes_answers_is_refused_alone_and_in_a_pipeline(
    model: Any, labels: Any, setting: str
) -> None:
    for part in (model, make_pipeline(StandardScaler(), model)):
        part.fit(X, labels)
        with pytest.raises(FormatError, match=f"{type(model).__name__} with {setting} cannot be"):
            served(part, X)


def test_the_alias_of_a_setting_is_refused_like_the_setting() -> None:
    model = lightgbm(LGBMRegressor, zero_as_missing=False, linear_trees=True).fit(X, POSITIVE)
    with pytest.raises(FormatError, match="linear_tree='1'"):
        served(model, X)


def test_a_setting_that_only_steers_fitting_is_not_refused() -> None:
    settings = {"C": 0.1, "class_weight": "balanced", "max_iter": 50, "tol": 1e-3}
    served(LogisticRegression(**settings).fit(X, BINARY), X)
    served(lightgbm(LGBMClassifier, max_bin=15, extra_trees=True).fit(X, BINARY), X)
    served(XGBClassifier(n_estimators=2, max_leaves=4, gamma=0.1).fit(X, BINARY), X)


@pytest.mark.parametrize(
    "model",
    [
        GaussianNB(priors=pd.Series([0.4, 0.6])),
        GaussianNB(priors=np.array([0.4, 0.6])),
        XGBClassifier(n_estimators=2, feature_weights=np.ones(X.shape[1])),
        XGBClassifier(n_estimators=2, missing=np.float32("nan")),
    ],
    ids=["series", "array", "array-of-xgboost", "nan-of-numpy"],
)
def test_a_setting_may_be_an_array(model: Any) -> None:
    served(model.fit(X, BINARY), X)


def test_a_setting_that_a_new_release_adds_is_refused_unless_it_has_its_default() -> None:
    class Newer(LogisticRegression):  # type: ignore[misc]
        def __init__(self, *, round_to: int | None = None) -> None:
            super().__init__()
            self.round_to = round_to

    Newer.__module__ = "sklearn.linear_model"
    check_settings([Newer()])
    with pytest.raises(FormatError, match=r"Newer with round_to=2 cannot be .*'round_to'"):
        check_settings([Newer(round_to=2)])


def test_estimators_of_other_libraries_have_the_settings_that_their_converters_read() -> None:
    class Own(ClassifierMixin):  # type: ignore[misc]
        def get_params(self, *, deep: bool = True) -> dict[str, Any]:
            return {"anything": deep}

    check_settings([Own()])
