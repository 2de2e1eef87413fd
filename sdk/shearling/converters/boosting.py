"""Register onnxmltools' converters of LightGBM and XGBoost estimators with skl2onnx."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: skl2onnx's options for classifiers: return class labels (nocl), and probabilities as a tensor
#: (zipmap).
_OPTIONS = {"nocl": [True, False], "zipmap": [True, False, "columns"]}


def library_of(part: object) -> str:
    """Return the top-level package of an estimator's class, such as `lightgbm`."""
    return type(part).__module__.partition(".")[0]


def register(parts: Iterable[object]) -> None:
    """Register converters with skl2onnx for the libraries whose estimators a model contains.

    Raises:
        FormatError: onnxmltools is not installed.
    """
    for library in {library_of(part) for part in parts} & _REGISTER.keys():
        try:
            _REGISTER[library]()
        except ImportError as error:
            raise FormatError(
                f"converting {library} models needs onnxmltools: pip install 'shearling[boosting]'"
            ) from error


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


def _register_lightgbm() -> None:
    import lightgbm
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    _register(lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", convert_lightgbm)
    _register(lightgbm.LGBMRegressor, "LightGbmLGBMRegressor", convert_lightgbm)


def _register_xgboost() -> None:
    import xgboost
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

    _register(xgboost.XGBClassifier, "XGBoostXGBClassifier", convert_xgboost)
    _register(xgboost.XGBRegressor, "XGBoostXGBRegressor", convert_xgboost)


def _register(estimator: type, name: str, convert: Any) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator

    if name.endswith("Classifier"):
        shapes, options = shape_calculator.calculate_linear_classifier_output_shapes, _OPTIONS
    else:
        shapes, options = shape_calculator.calculate_linear_regressor_output_shapes, {"split": None}
    update_registered_converter(estimator, name, shapes, convert, options=options)


_REGISTER = {"lightgbm": _register_lightgbm, "xgboost": _register_xgboost}
