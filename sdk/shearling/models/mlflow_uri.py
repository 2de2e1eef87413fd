"""Fetch the folder of a model from MLflow by its URI, with mlflow-skinny."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from shearling.bundle.metrics import metrics_of
from shearling.errors import FormatError, StoreError
from shearling.models.mlflow_folder import MlflowModel

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A URI; one letter is a drive of Windows.
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")


def is_uri(source: object) -> bool:
    """Return whether a source is a URI, such as `models:/fraud/7`."""
    return isinstance(source, str) and _URI.match(source) is not None


@contextmanager
def fetched(uri: str) -> Iterator[MlflowModel]:
    """Fetch a model, with the metrics of its run, until the context ends.

    Raises:
        FormatError: mlflow-skinny is not installed, or what is fetched is no model.
        StoreError: it cannot be fetched.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.artifacts import download_artifacts
    except ImportError as error:
        raise FormatError(
            f"fetching {uri} needs mlflow-skinny: pip install mlflow-skinny. Or download the "
            "model, and pass its folder"
        ) from error
    with TemporaryDirectory(prefix="shearling-") as directory:
        try:
            folder = Path(download_artifacts(artifact_uri=uri, dst_path=directory))
        except Exception as error:  # of the clients of MLflow's stores
            raise StoreError(
                f"cannot fetch {uri:.300}: {error!s:.500}. MLFLOW_TRACKING_URI names the server"
            ) from error
        model = MlflowModel.open(folder)
        metrics = model.metrics or _metrics(MlflowClient(), model.run_id)
        yield replace(model, uri=uri, metrics=metrics)


def _metrics(client: Any, run_id: str) -> dict[str, Any]:
    """Return the metrics of a run; none if it was deleted or may not be read."""
    if not run_id:
        return {}
    try:
        return metrics_of(client.get_run(run_id).data.metrics)
    except Exception:  # noqa: BLE001 - of the clients of MLflow's stores
        return {}
