"""Push a model that another library saved or registered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.converters.skops_file import SUFFIX, checked_types, load_skops
from shearling.errors import FormatError, InvalidRequestError
from shearling.models.lineage import Imported, imported_from
from shearling.models.mlflow_folder import MLMODEL, MlflowModel
from shearling.models.model_archive import PICKLES
from shearling.models.push import push_model
from shearling.refs import check_model

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from shearling.models.model_version import ModelVersion

#: Files of which a folder of a text model has one.
_TEXT_FILES = ("config.json", "modules.json", "tokenizer.json")


def import_model(
    source: str | os.PathLike[str],
    name: str,
    *,
    example: Any = None,
    trusted: Sequence[str] | None = None,
    allow_pickle: bool = False,
    **options: Any,
) -> ModelVersion:
    """Push a model that another library saved or registered.

    Args:
        source: a model of MLflow, by its folder or a URI such as `models:/fraud/7` or
            `runs:/<run>/model`; a `.skops` file; or a file or folder that `push_model` takes.
        name: the model's name, as for `push_model`.
        example: rows to run the model on, as for `push_model`; by default the input example that a
            model of MLflow was logged with.
        trusted: for a file of skops, the types to load besides those that skops trusts, as in
            `["xgboost.sklearn.XGBClassifier"]`. The error lists those that are missing.
        allow_pickle: whether the model of MLflow may be a pickle, which is loaded here and runs the
            code in it.
        options: other arguments of `push_model`, such as `alias`, `wait`, `metadata` and
            `registry`.

    Raises:
        FormatError: the model cannot be read, is a pickle, or has types that are not trusted.
        InvalidRequestError: there is no example.
        StoreError: MLflow cannot be reached, or has no such model.
        ShearlingError: as for `push_model`.
    """
    from shearling.models import mlflow_uri

    check_model(name)
    if trusted is not None:
        checked_types(trusted)
    own: dict[str, Any] = {"example": example, "trusted": trusted, "allow_pickle": allow_pickle}
    if mlflow_uri.is_uri(source):
        with mlflow_uri.fetched(str(source)) as model:
            return _import_mlflow(model, name, options, **own)
    path = Path(source)
    if not path.exists():
        raise FormatError(f"{source} does not exist: expected a file or folder of a model")
    if path.name == MLMODEL:
        path = path.parent
    if (path / MLMODEL).exists():
        model = MlflowModel.open(path)
        return _import_mlflow(model, name, options, **own)
    return _import_file(path, name, example, trusted, options)


def _import_mlflow(
    model: MlflowModel,
    name: str,
    options: dict[str, Any],
    *,
    example: Any,
    trusted: Sequence[str] | None,
    allow_pickle: bool,
) -> ModelVersion:
    from shearling.models import mlflow_flavors
    from shearling.models.mlflow_example import example_of

    if example is None:
        example = example_of(model)
    loaded = mlflow_flavors.load(model, trusted=trusted, allow_pickle=allow_pickle)
    with imported_from(Imported(name="mlflow", facts=model.to_record(), metrics=model.metrics)):
        return push_model(loaded, name, example=example, **options)


def _import_file(
    path: Path, name: str, example: Any, trusted: Sequence[str] | None, options: dict[str, Any]
) -> ModelVersion:
    is_skops = path.suffix == SUFFIX
    if path.suffix.lower() in PICKLES:
        raise FormatError(
            f"{path} is a pickle, which runs code when it is loaded, so it is not imported. Save "
            "the model with skops.io.dump and import that file, or load the model yourself and "
            "pass it to push_model"
        )
    if path.is_dir() and not any((path / file).exists() for file in _TEXT_FILES):
        raise FormatError(f"{path} has no file {MLMODEL}: expected the folder of a model of MLflow")
    if trusted is not None and not is_skops:
        raise InvalidRequestError(f"trusted applies to {SUFFIX} files only: leave it out")
    if example is None:
        raise InvalidRequestError(
            f"example: {path.name} has no rows to run the model on: pass example=X"
        )
    model = load_skops(path, trusted) if is_skops else path
    return push_model(model, name, example=example, **options)
