"""Format `cloudpickle`: any Python object, as the last resort, since loading it runs its code."""

from __future__ import annotations

import pickle
import re
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import EnvironmentMismatchError, FormatError
from shearling.tensors.dtypes import datatype_of
from shearling.tensors.inputs import named_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.bundle.manifest import Environment, Manifest
    from shearling.formats.base import LoadSettings, Tensors

ARRAY_INPUT = "X"
_OUTPUT = "output"
PINNED = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)")


class PythonPredictor:
    """An object with `predict`, or a callable, as a predictor.

    Args:
        model: the object.
        takes: how it takes its inputs: as one "array", a "frame", or a dict of "tensors".
    """

    def __init__(self, model: Any, takes: str) -> None:
        self._model = model
        self._takes = takes

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for inputs that fit the signature."""
        answers = self.answers(inputs)
        return {name: answers[name] for name in outputs}

    def answers(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Return all outputs."""
        value: Any = dict(inputs)
        if self._takes == "array":
            value = inputs[ARRAY_INPUT]
        elif self._takes == "frame":
            import pandas as pd

            value = pd.DataFrame({name: array.ravel() for name, array in inputs.items()})
        predict = getattr(self._model, "predict", self._model)
        result = predict(value)
        if hasattr(self._model, "predict_proba"):
            result = {"label": result, "probabilities": self._model.predict_proba(value)}
        return _named(result)


def load(manifest: Manifest, directory: Path, settings: LoadSettings) -> PythonPredictor:
    """Unpickle the bundle's object, if the loading side allows that.

    Raises:
        FormatError: it is not allowed here.
        EnvironmentMismatchError: Python or a package is not the one it was pushed with.
    """
    if not settings.allow_pickle:
        raise FormatError(
            f"a bundle of model {manifest.model!r} is a pickle, which runs code when it is loaded: "
            "allow it on the loading side, by `allow_pickle = true` of the model in Terraform, or "
            "by load_model(<pinned ref>, allow_pickle=True)"
        )
    if manifest.environment:
        _check_environment(manifest.environment)
    path = directory / manifest.file(manifest.entry).hex
    try:
        with path.open("rb") as stream:
            model = pickle.load(stream)  # noqa: S301 - allowed above, and its digest is proven
    except Exception as error:  # a pickle runs any code
        raise FormatError(f"the pickle does not load: {type(error).__name__}: {error}") from error
    return PythonPredictor(model, str(manifest.options.get("takes", "array")))


def _named(result: Any) -> dict[str, NDArray[Any]]:
    if isinstance(result, tuple):
        result = {f"{_OUTPUT}_{i}": item for i, item in enumerate(result)}
    arrays = named_arrays(result) or {_OUTPUT: np.asarray(result)}
    return {name: as_tensor(array, f"output {name!r}") for name, array in arrays.items()}


def as_tensor(array: NDArray[Any], what: str) -> NDArray[Any]:
    """Return an array that a datatype of the protocol has, of at least one dimension.

    Raises:
        FormatError: no datatype has it; the message begins with `what`.
    """
    if array.dtype.kind == "U":
        array = array.astype(object)
    if array.ndim == 0:
        array = array.reshape(1)
    strings = array.dtype.kind != "O" or all(isinstance(one, str) for one in array.ravel())
    if datatype_of(array) is None or not strings:
        raise FormatError(f"{what} is {array.dtype}, which is no tensor of the protocol")
    return array


def _check_environment(environment: Environment) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    problems = []
    if environment.python != here:
        problems.append(f"Python {environment.python} (this is {here})")
    for requirement in environment.requirements:
        pin = PINNED.fullmatch(requirement)
        if pin and (installed := _installed(pin[1])) != pin[2]:
            problems.append(f"{requirement} (here: {installed or 'not installed'})")
    if problems:
        raise EnvironmentMismatchError(
            f"the pickle needs {', '.join(problems)}: build its function package with "
            "`shearling package --for <ref>`, on the Python that it was pushed with"
        )


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
