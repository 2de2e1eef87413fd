"""Push a model that another library saved or registered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.converters.skops_file import SUFFIX, checked_types, load_skops
from shearling.errors import FormatError, InvalidRequestError
from shearling.models.model_archive import PICKLES
from shearling.models.push import push_model
from shearling.refs import check_model

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from shearling.models.model_version import ModelVersion


def import_model(
    source: str | os.PathLike[str],
    name: str,
    *,
    example: Any = None,
    trusted: Sequence[str] | None = None,
    **options: Any,
) -> ModelVersion:
    """Push a model that another library saved.

    Args:
        source: a `.skops` file; or a file or folder that `push_model` takes.
        name: the model's name, as for `push_model`.
        example: rows to run the model on, as for `push_model`.
        trusted: for a `.skops` file, the types to load besides those that skops trusts, as in
            `["xgboost.sklearn.XGBClassifier"]`. The error lists those that are missing.
        options: other arguments of `push_model`, such as `alias`, `wait`, `metadata` and
            `registry`.

    Raises:
        FormatError: the model cannot be read, or has types that are not trusted.
        InvalidRequestError: there is no example.
        ShearlingError: as for `push_model`.
    """
    check_model(name)
    path = Path(source)
    if not path.exists():
        raise FormatError(f"{source} does not exist: expected a file or folder of a model")
    if trusted is not None:
        checked_types(trusted)
        if path.suffix != SUFFIX:
            raise InvalidRequestError(f"trusted applies to {SUFFIX} files only: leave it out")
    return _import_path(path, name, example, trusted, options)


def _import_path(
    path: Path, name: str, example: Any, trusted: Sequence[str] | None, options: dict[str, Any]
) -> ModelVersion:
    if path.suffix.lower() in PICKLES:
        raise FormatError(
            f"{path} is a pickle, which runs code when it is loaded, so it is not imported. Save "
            "the model with skops.io.dump and import that file, or load the model yourself and "
            "pass it to push_model"
        )
    if example is None:
        raise InvalidRequestError(
            f"example: {path.name} has no rows to run the model on: pass example=X"
        )
    model = load_skops(path, trusted) if path.suffix == SUFFIX else path
    return push_model(model, name, example=example, **options)
