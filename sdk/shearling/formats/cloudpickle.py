"""Format `cloudpickle`: any Python object, as the last resort, since loading it runs its code."""

from __future__ import annotations

import pickle
import pickletools
import re
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.bundle import Environment, Signature, TensorSpec
from shearling.errors import EnvironmentMismatchError, FormatError
from shearling.inputs import as_array, check_strings, columns_of, is_frame, named_arrays
from shearling.tensors import datatype_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.bundle import Manifest
    from shearling.formats import LoadSettings, Saved, Tensors

_ENTRY = "model.pkl"
_INPUT = "X"
_OUTPUT = "output"
_PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)")


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
            value = inputs[_INPUT]
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


def save(model: Any, example: Any, directory: Path, requirements: Sequence[str] | None) -> Saved:
    """Pickle an object and record the environment that it needs.

    Args:
        model: an object with `predict`, or a callable.
        example: an array, a DataFrame or a dict of arrays: what it is called with.
        directory: where the file goes.
        requirements: pinned, as in `scikit-learn==1.7.0`; None finds what the pickle refers to.

    Raises:
        FormatError: it cannot be pickled, or its answer is no tensor.
    """
    from shearling.formats import Saved

    if not callable(getattr(model, "predict", model)):
        raise FormatError(f"a {type(model).__name__} has no `predict` and is not callable")
    data = _pickle(model)
    (directory / _ENTRY).write_bytes(data)
    takes, inputs = _inputs(example)
    try:
        outputs = PythonPredictor(model, takes).answers(inputs)
    except FormatError:
        raise
    except Exception as error:  # the model's own
        raise FormatError(f"the model fails on the example: {error!r}") from error
    rows = next(iter(inputs.values())).shape[:1]
    specs = _specs(inputs, rows)
    columns = columns_of(example, specs)
    return Saved(
        format="cloudpickle",
        entry=_ENTRY,
        files={_ENTRY: directory / _ENTRY},
        signature=Signature(inputs=specs, outputs=_specs(outputs, rows)),
        inputs=inputs,
        expected=outputs,
        options={"takes": takes} | ({"columns": columns} if columns else {}),
        environment=_environment(data, requirements),
    )


def _pickle(model: Any) -> bytes:
    """Pickle an object, with the code of what no package brings to the function."""
    import cloudpickle

    try:
        own = [sys.modules[name] for name in _own_modules(cloudpickle.dumps(model))]
        for module in own:
            cloudpickle.register_pickle_by_value(module)
        try:
            data: bytes = cloudpickle.dumps(model)
        finally:
            for module in own:
                cloudpickle.unregister_pickle_by_value(module)
    except Exception as error:  # an object's own __reduce__ raises what it likes
        raise FormatError(f"{type(model).__name__} cannot be pickled: {error}") from error
    return data


def _inputs(example: Any) -> tuple[str, dict[str, NDArray[Any]]]:
    arrays = named_arrays(example)
    takes = "array" if arrays is None else "frame" if is_frame(example) else "tensors"
    named = {_INPUT: as_array(example, "example")} if arrays is None else arrays
    for name, array in named.items():
        if array.dtype.kind == "O" and any(isinstance(one, str) for one in array.ravel()):
            check_strings(array, f"example {name!r}")
    return takes, {name: _tensor(array, f"example {name!r}") for name, array in named.items()}


def _named(result: Any) -> dict[str, NDArray[Any]]:
    if isinstance(result, tuple):
        result = {f"{_OUTPUT}_{i}": item for i, item in enumerate(result)}
    arrays = named_arrays(result) or {_OUTPUT: np.asarray(result)}
    return {name: _tensor(array, f"output {name!r}") for name, array in arrays.items()}


def _tensor(array: NDArray[Any], what: str) -> NDArray[Any]:
    if array.dtype.kind == "U":
        array = array.astype(object)
    if array.ndim == 0:
        array = array.reshape(1)
    strings = array.dtype.kind != "O" or all(isinstance(one, str) for one in array.ravel())
    if datatype_of(array) is None or not strings:
        raise FormatError(f"{what} is {array.dtype}, which is no tensor of the protocol")
    return array


def _specs(tensors: Tensors, rows: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    # A first dimension that is the number of rows of the example may be any number of rows.
    return tuple(
        TensorSpec(
            name=name,
            datatype=str(datatype_of(array)),
            shape=((-1, *array.shape[1:]) if array.shape[:1] == rows else array.shape),
        )
        for name, array in tensors.items()
    )


def _environment(data: bytes, requirements: Sequence[str] | None) -> Environment:
    if requirements is None:
        pins = _pins(_closure(_distributions(data)))
    else:
        for requirement in requirements:
            if not _PIN.fullmatch(requirement):
                raise FormatError(
                    f"requirements: {requirement!r} is not pinned: write <package>==<version>"
                )
        pins = list(requirements)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Environment(python=python, requirements=tuple(sorted(pins)))


def _modules(data: bytes) -> set[str]:
    """Return the top-level modules that a pickle names.

    Modules are named by strings, some of them arguments of calls: so every string that is an
    imported module counts. One too many does no harm.
    """
    strings = (argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str))
    names = {string.split(" ")[0] for string in strings}
    return {name.split(".")[0] for name in names if name in sys.modules}


def _own_modules(data: bytes) -> set[str]:
    """Return the modules that a pickle names and that belong to no installed package."""
    installed = {*metadata.packages_distributions(), *sys.stdlib_module_names}
    found = _modules(data) - installed - {"__main__", "shearling", "shearling_runtime"}
    return {name for name in found if name in sys.modules}


def _distributions(data: bytes) -> set[str]:
    """Return the distributions of the modules that a pickle names."""
    owners = metadata.packages_distributions()
    named = {owner for module in _modules(data) for owner in owners.get(module, [])}
    return (named | {"cloudpickle"}) - {"shearling"}


def _closure(names: set[str]) -> set[str]:
    """Return distributions with all that they require and that is installed."""
    todo, found = list(names), set[str]()
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        todo += [re.split(r"[^A-Za-z0-9._-]", one)[0] for one in required if "extra ==" not in one]
    return found


def _pins(names: set[str]) -> list[str]:
    return [f"{name}=={metadata.version(name)}" for name in names]


def _check_environment(environment: Environment) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    problems = []
    if environment.python != here:
        problems.append(f"Python {environment.python} (this is {here})")
    for requirement in environment.requirements:
        pin = _PIN.fullmatch(requirement)
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
