"""Load the model of a bundle with the module of its format."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from shearling.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest

    Tensors = Mapping[str, NDArray[Any]]


#: Format of a bundle that has a contract and no model, which an endpoint serves.
REMOTE = "remote"

#: Format -> module with its function `load(manifest, directory, settings)`.
_LOADERS = {
    "onnx": "shearling.formats.onnx",
    "cloudpickle": "shearling.formats.cloudpickle",
    REMOTE: "shearling.formats.remote",
}


class Predictor(Protocol):
    """A loaded model."""

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for inputs that match the signature."""
        ...

    def refusal(self, error: Exception) -> str:
        """Return why `predict` failed if the values of the inputs are the cause.

        Args:
            error: exception that `predict` raised.

        Returns:
            The reason for the caller; empty if the cause may be another, such as too little memory.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """Settings of the process that loads a model.

    Attributes:
        allow_pickle: whether to load formats that run code from the bundle.
        threads: number of threads for one prediction; None takes the format's default.
    """

    allow_pickle: bool = False
    threads: int | None = None


def load_bundle(manifest: Manifest, directory: Path, settings: LoadSettings) -> Predictor:
    """Load the model of a bundle.

    Args:
        manifest: manifest of the bundle.
        directory: flat directory with the verified blobs of the bundle.
        settings: settings for loading.

    Raises:
        FormatError: the format is unknown or cannot load the model.
        EnvironmentMismatchError: the bundle needs another Python or package version.
    """
    module = _LOADERS.get(manifest.format)
    if module is None:
        raise FormatError(
            f"format {manifest.format!r} is not one of {', '.join(_LOADERS)}: upgrade shearling, "
            "or rebuild the function's package"
        )
    predictor: Predictor = import_module(module).load(manifest, directory, settings)
    return predictor
