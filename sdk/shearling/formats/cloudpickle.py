"""Format `cloudpickle`: any Python object; the last resort, since loading runs its code."""

from __future__ import annotations

import pickle
import re
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import EnvironmentMismatchError, FormatError
from shearling.formats.frames import FrameForm
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
    """A predictor for an object with `predict`, or for a callable.

    Args:
        model: the object or callable.
        takes: form of its argument: "array" (a single array), "frame" (a DataFrame) or "tensors" (a
            dict of arrays).
        form: the form of the DataFrame.
    """

    def __init__(self, model: Any, takes: str, form: FrameForm) -> None:
        self._model = model
        self._takes = takes
        self._form = form

    def predict(self, inputs: Tensors, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for inputs that match the signature."""
        answers = self.answers(inputs)
        return {name: answers[name] for name in outputs}

    def refusal(self, error: Exception) -> str:
        """Return an empty reason: the message of a Python error may contain secrets."""
        del error
        return ""

    def answers(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Return all outputs by name."""
        value: Any = dict(inputs)
        if self._takes == "array":
            value = inputs[ARRAY_INPUT]
        elif self._takes == "frame":
            value = self._form.frame(inputs)
        return self.answers_to(value)

    def answers_to(self, value: Any) -> dict[str, NDArray[Any]]:
        """Return all outputs for an argument in the form that the model takes.

        Each method gets a copy, since it may change its argument in place.
        """
        predict = getattr(self._model, "predict", self._model)
        result = predict(_copy(value))
        if hasattr(self._model, "predict_proba"):
            result = {"label": result, "probabilities": self._model.predict_proba(_copy(value))}
        return _named(result)


def load(manifest: Manifest, directory: Path, settings: LoadSettings) -> PythonPredictor:
    """Unpickle the object of a bundle if the settings allow it.

    Raises:
        FormatError: the settings do not allow pickles, or the pickle cannot be loaded.
        EnvironmentMismatchError: Python or a package has another version than at push.
    """
    if not settings.allow_pickle:
        raise FormatError(
            f"the bundle of model {manifest.model!r} is a pickle, which runs code when it is "
            "loaded: allow it with `allow_pickle = true` for the model in Terraform, or with "
            "load_model(<pinned ref>, allow_pickle=True)"
        )
    if manifest.environment:
        _check_environment(manifest.environment)
    path = directory / manifest.file(manifest.entry).hex
    try:
        with path.open("rb") as stream:
            model = pickle.load(stream)  # noqa: S301 - allowed above, and its digest is verified
    except Exception as error:  # the code of a pickle can raise anything
        raise FormatError(
            f"the pickle cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    takes = str(manifest.options.get("takes", "array"))
    return PythonPredictor(model, takes, FrameForm.from_manifest(manifest))


def _copy(value: Any) -> Any:
    """Return a copy of an array, a DataFrame or a dict of arrays that can be written to."""
    if isinstance(value, dict):
        return {name: array.copy() for name, array in value.items()}
    return value.copy()


def _named(result: Any) -> dict[str, NDArray[Any]]:
    """Return what a model answered as tensors, which its next answer does not change."""
    if isinstance(result, tuple):
        result = {f"{_OUTPUT}_{i}": item for i, item in enumerate(result)}
    arrays = named_arrays(result) or {_OUTPUT: np.asarray(result)}
    return {name: as_tensor(array.copy(), f"output {name!r}") for name, array in arrays.items()}


def as_tensor(array: NDArray[Any], what: str) -> NDArray[Any]:
    """Convert an array to a type of the protocol and to at least one dimension.

    Raises:
        FormatError: the protocol does not have the array's type; the message begins with `what`.
    """
    if array.dtype.kind == "U":
        array = array.astype(object)
    if array.ndim == 0:
        array = array.reshape(1)
    are_strings = array.dtype.kind != "O" or all(isinstance(value, str) for value in array.ravel())
    if datatype_of(array) is None or not are_strings:
        raise FormatError(
            f"{what} has type {array.dtype}: expected numbers, booleans or strings that the Open "
            "Inference Protocol has a datatype for"
        )
    return array


def _check_environment(environment: Environment) -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    problems = []
    if environment.python != python:
        problems.append(f"Python {environment.python} (this is {python})")
    for requirement in environment.requirements:
        pin = PINNED.fullmatch(requirement)
        if pin and (installed := _installed(pin[1])) != pin[2]:
            problems.append(f"{requirement} (installed: {installed or 'none'})")
    if problems:
        raise EnvironmentMismatchError(
            f"the pickle needs {', '.join(problems)}: install these versions, or build the "
            "package of its function with `shearling package runtime --for <ref>`"
        )


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
