"""Ways of keeping a model: each is saved and loaded in one module, found here by name."""

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


#: format -> the module that has its `load(manifest, directory, settings)`
_LOADERS = {"onnx": "shearling.formats.onnx", "cloudpickle": "shearling.formats.cloudpickle"}


class Predictor(Protocol):
    """A loaded model."""

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for inputs that fit the signature."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """What the loading side decides.

    Attributes:
        allow_pickle: whether a format that runs code from the bundle may be loaded.
        threads: of one prediction; None leaves it to the format.
    """

    allow_pickle: bool = False
    threads: int | None = None


def load_bundle(manifest: Manifest, directory: Path, settings: LoadSettings) -> Predictor:
    """Load a bundle whose blobs lie, proven, in a flat directory.

    Raises:
        FormatError: the format is unknown here, or refuses the bundle.
        EnvironmentMismatchError: the bundle needs another Python or other packages.
    """
    module = _LOADERS.get(manifest.format)
    if module is None:
        raise FormatError(
            f"format {manifest.format!r} is not one of {', '.join(_LOADERS)}: upgrade shearling, "
            "or rebuild the function's package"
        )
    predictor: Predictor = import_module(module).load(manifest, directory, settings)
    return predictor
