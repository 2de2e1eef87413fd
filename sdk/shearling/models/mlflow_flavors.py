"""Load the model of a folder of MLflow by the libraries that it names, in order of preference."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from shearling.converters.skops_file import SUFFIX, load_skops
from shearling.errors import FormatError
from shearling.models.mlflow_folder import MLMODEL
from shearling.models.pickled_file import unpickled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from shearling.models.mlflow_folder import MlflowModel

#: A flavour of MLflow that each model has besides its library's, and its own alone for a pyfunc.
_PYFUNC = "python_function"

#: Wrappers of XGBoost by the first word of a booster's objective.
_XGBOOST = {"binary": "XGBClassifier", "multi": "XGBClassifier", "rank": "XGBRanker"}


def load(model: MlflowModel, *, trusted: Sequence[str] | None, allow_pickle: bool) -> Any:
    """Return the model of a folder, as `push_model` takes it.

    Args:
        model: the folder.
        trusted: types to load from a file of skops.
        allow_pickle: whether to load a pickle, which runs the code in it.

    Raises:
        FormatError: there is no flavour that can be read, or its files cannot be loaded.
    """
    flavor = next((name for name in _LOADERS if name in model.flavors), None)
    if flavor is None:
        raise _no_flavor(model)
    try:
        return _LOADERS[flavor](_Files(model, flavor, trusted, allow_pickle))
    except FormatError:
        raise
    except ImportError as error:
        raise FormatError(
            f"{model.path}: loading the flavor {flavor} needs a package that is not installed: "
            f"{error!s:.300}"
        ) from error
    except Exception as error:  # libraries raise errors of any class
        raise FormatError(
            f"{model.path}: the flavor {flavor} cannot be loaded: {type(error).__name__}: "
            f"{error!s:.500}"
        ) from error


def _no_flavor(model: MlflowModel) -> FormatError:
    found = ", ".join(map(str, model.flavors)) or "none"
    pyfunc = model.flavors.get(_PYFUNC, {})
    if pyfunc.get("loader_module") == "mlflow.pyfunc.model":
        return FormatError(
            f"{model.path} is a Python function of your own, which runs code when it is loaded. If "
            "you trust it, load it with mlflow.pyfunc.load_model, and push that with "
            "push_model(..., format='cloudpickle')"
        )
    return FormatError(
        f"{model.path / MLMODEL}: no flavor that is imported (it has {found:.200}): expected one "
        f"of {', '.join(_LOADERS)}. Load the model with MLflow, and pass it to push_model"
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a flavour, and what the caller allows to load of them."""

    _model: MlflowModel
    _flavor: str
    _trusted: Sequence[str] | None
    _allow_pickle: bool

    def path(self, field: str) -> Path:
        return self._model.file(self._flavor, field)

    def value(self, field: str, default: str) -> str:
        return str(self._model.flavors[self._flavor].get(field) or default)

    def object(self, file: Path, read: Callable[[Path], Any] = unpickled) -> Any:
        """Return the object of a file of skops or a pickle, if the caller allows it."""
        if file.suffix == SUFFIX:
            return load_skops(file, self._trusted)
        if not self._allow_pickle:
            raise FormatError(
                f"{file} is a pickle, which runs code when it is loaded: pass allow_pickle=True if "
                "you trust it. It is loaded on this machine only, and the function gets ONNX"
            )
        with self._code():
            return read(file)

    @contextmanager
    def _code(self) -> Iterator[None]:
        """Let the modules that the model was logged with be imported."""
        code = self._model.flavors[self._flavor].get("code")
        if not code:
            yield
            return
        place = str(self.path("code"))
        sys.path.insert(0, place)
        try:
            yield
        finally:
            sys.path.remove(place)


def _sklearn(files: _Files) -> Any:
    return files.object(files.path("pickled_model"))


def _xgboost(files: _Files) -> Any:
    """Return a fitted estimator; a booster becomes the one that its objective names."""
    import json

    import xgboost

    name = files.value("model_class", "xgboost.core.Booster").rpartition(".")[2]
    file = str(files.path("data"))
    if name == "Booster":
        booster = xgboost.Booster(model_file=file)
        objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
        name = _XGBOOST.get(objective.partition(":")[0], "XGBRegressor")
    estimator = _class_of(xgboost, name, "XGB")()
    estimator.load_model(file)
    return estimator


def _lightgbm(files: _Files) -> Any:
    if files.value("model_class", "lightgbm.basic.Booster").endswith(".Booster"):
        raise FormatError(
            f"{files.path('data')} is a booster of LightGBM, which has no classes and no "
            "parameters: log the LGBMClassifier or LGBMRegressor"
        )
    return files.object(files.path("data"))


def _catboost(files: _Files) -> Any:
    import catboost

    estimator = _class_of(catboost, files.value("model_type", "CatBoost"), "CatBoost")()
    return estimator.load_model(str(files.path("data")), format=files.value("save_format", "cbm"))


def _class_of(library: Any, name: str, prefix: str) -> Any:
    found = getattr(library, name, None) if name.startswith(prefix) else None
    if not isinstance(found, type):
        raise FormatError(f"{library.__name__} has no model of the class {name!r:.80}")
    return found


def _pytorch(files: _Files) -> Any:
    torch = import_module("torch")
    folder = files.path("model_data")
    exported = folder / "model.pt2"
    if exported.is_file():
        return torch.export.load(exported)

    def read(file: Path) -> Any:
        return torch.load(file, map_location="cpu", weights_only=False)

    file = folder / "model.pth" if folder.is_dir() else folder
    return files.object(file, read)


_LOADERS: dict[str, Callable[[_Files], Any]] = {
    "onnx": lambda files: files.path("data"),
    "sklearn": _sklearn,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "pytorch": _pytorch,
}
