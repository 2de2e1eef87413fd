"""Read what the file `MLmodel` says of a folder that MLflow wrote, without MLflow."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from shearling.bundle.metrics import metrics_of
from shearling.errors import FormatError
from shearling.progress import human_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: The file of a folder that says what the others are.
MLMODEL = "MLmodel"

#: Size limits of that file, of an input example and of a metric's history.
_MOST_BYTES, _MOST_EXAMPLE_BYTES, _MOST_METRIC_BYTES = 1_000_000, 100_000_000, 10_000_000

#: Folders above a model's in which its run is looked for, and metrics of a run that are read.
_MOST_LEVELS, _MOST_METRICS = 5, 1_000

#: Fields of `MLmodel` that a version's record has.
_RECORDED = ("run_id", "model_uuid", "model_id", "mlflow_version", "utc_time_created")


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowModel:
    """A model in a folder of MLflow.

    Attributes:
        path: the folder.
        flavors: what each library needs to load the model, by the library's name.
        fields: the other fields of `MLmodel`.
        metrics: the metrics of its run, if they are known.
        uri: where the folder was fetched from.
    """

    path: Path
    flavors: Mapping[str, Mapping[str, Any]]
    fields: Mapping[str, Any]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    uri: str = ""

    @classmethod
    def open(cls, path: Path) -> MlflowModel:
        """Read the file `MLmodel` of a folder, and its run's metrics if they are beside it.

        Raises:
            FormatError: the file is missing, too large or invalid.
        """
        fields = _read_yaml(path / MLMODEL)
        flavors = fields.pop("flavors", None)
        if not isinstance(flavors, dict) or not all(
            isinstance(flavor, dict) for flavor in flavors.values()
        ):
            raise FormatError(f"{path / MLMODEL}: flavors: expected an object for each library")
        model = cls(path=path, flavors=flavors, fields=fields)
        return replace(model, metrics=_metrics_beside(path, model.run_id))

    @property
    def run_id(self) -> str:
        """The run that logged the model; empty if unknown."""
        run = self.fields.get("run_id")
        return run if isinstance(run, str) and run.isalnum() else ""

    def file(self, flavor: str, name: str) -> Path:
        """Return the path that a field of a flavour names.

        Raises:
            FormatError: it is no path inside of the folder, or there is nothing.
        """
        return self.inside(f"flavors.{flavor}.{name}", self.flavors[flavor].get(name))

    def inside(self, where: str, value: object) -> Path:
        """Return a path of the folder that a field names.

        Raises:
            FormatError: it is no path inside of the folder, or there is nothing.
        """
        root = self.path.resolve()
        found = (root / value).resolve() if isinstance(value, str) and "\0" not in value else root
        if root not in found.parents:
            raise FormatError(
                f"{self.path / MLMODEL}: {where} {value!r:.80} is not a path inside of the folder"
            )
        if not found.exists():
            raise FormatError(
                f"{self.path / MLMODEL}: {where} is {value!r:.80}, which the folder does not have: "
                "download the whole folder"
            )
        return found

    def json(self, file: Path) -> Any:
        """Return the content of a JSON file of the folder."""
        text = _read(file, _MOST_EXAMPLE_BYTES)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{file} is not valid JSON ({error!s:.200})") from error

    def to_record(self) -> dict[str, str]:
        """Return what a version's record says of the origin."""
        found = {name: self.fields.get(name) for name in _RECORDED} | {"uri": self.uri}
        return {
            name: str(value)[:200]
            for name, value in found.items()
            if value and not isinstance(value, dict | list)
        }


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise FormatError(
            f"reading {file.name} needs PyYAML: pip install 'shearling[imports]'"
        ) from error
    text = _read(file, _MOST_BYTES)
    try:
        loaded = yaml.load(text, Loader=_without_aliases(yaml))  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(f"{file} is not valid YAML ({error!s:.200})") from error
    if not isinstance(loaded, dict):
        raise FormatError(f"{file}: expected an object with flavors")
    return loaded


def _without_aliases(yaml: Any) -> Any:
    """Return PyYAML's safe loader without aliases, whose expansion can be without bounds."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it has aliases, which MLflow does not write")
            return super().compose_node(parent, index)

    return Loader


def _read(file: Path, limit: int) -> str:
    try:
        if (size := file.stat().st_size) > limit:
            raise FormatError(
                f"{file} has {human_bytes(size)}, but {human_bytes(limit)} are allowed"
            )
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise FormatError(f"{file} cannot be read: {reason}") from error


def _metrics_beside(path: Path, run_id: str) -> dict[str, Any]:
    """Return the last values of a run's metrics, if the folder is in MLflow's tracking folder."""
    above = list(path.resolve().parents)[:_MOST_LEVELS] if run_id else []
    folders = (folder / run_id / "metrics" for folder in above)
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        return {}
    files = sorted(file for file in folder.rglob("*") if file.is_file())[:_MOST_METRICS]
    values = {str(file.relative_to(folder)): _last_value(file) for file in files}
    return metrics_of({name: value for name, value in values.items() if value is not None})


def _last_value(file: Path) -> float | None:
    """Return the value in the last line of a metric's file, as in `1795799649112 0.93 0`."""
    try:
        return float(_read(file, _MOST_METRIC_BYTES).splitlines()[-1].split()[1])
    except (FormatError, IndexError, ValueError):
        return None
