"""Pickle any Python object, and record the Python version and packages that it needs."""

from __future__ import annotations

import pickletools
import re
import sys
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

from shearling.bundle.manifest import Environment
from shearling.converters.original import Original
from shearling.errors import FormatError
from shearling.formats.cloudpickle import ARRAY_INPUT, PINNED, PythonPredictor, as_tensor
from shearling.formats.frames import FrameForm
from shearling.tensors.comparison import ATOL, RTOL, compare
from shearling.tensors.inputs import as_array, check_strings, columns_of, is_frame, named_arrays
from shearling.tensors.spec import Signature

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shearling.converters.base import ConvertedModel
    from shearling.formats.base import Tensors


_ENTRY = "model.pkl"

#: Why a loaded pickle may answer the example otherwise than the object did.
_REQUESTED = (
    "The pickle gets the DataFrame that a request carries: columns with their values and types, "
    "named by strings or integers, and a new index. Put what the model reads from the index into a "
    "column"
)
_STATE = (
    "The model was only pickled and loaded again, so it keeps state that the pickle does not have, "
    "or changes with each call: use a fixed seed and no state"
)


def convert(
    model: Any, example: Any, directory: Path, requirements: Sequence[str] | None
) -> ConvertedModel:
    """Pickle a model, write it to a directory, and record the environment that it needs.

    Args:
        model: an object with `predict`, or a callable.
        example: the argument to call the model with: an array, a DataFrame or a dict of arrays.
        directory: existing directory to write the pickle to.
        requirements: pinned packages, such as `scikit-learn==1.7.0`; None takes the installed
            packages that the pickle refers to, with their dependencies.

    Raises:
        FormatError: the model cannot be pickled, or its answer is not a tensor.
    """
    from shearling.converters.base import ConvertedModel, observed_specs

    if not callable(getattr(model, "predict", model)):
        raise FormatError(f"a {type(model).__name__} has no `predict` and is not callable")
    data = _pickle(model)
    (directory / _ENTRY).write_bytes(data)
    takes, inputs = _inputs(example)
    form = _form(example, inputs) if takes == "frame" else FrameForm(names=tuple(inputs))
    predictor = PythonPredictor(model, takes, form)
    try:
        # A request carries arrays, not lists, and no more of a DataFrame than its form.
        expected = predictor.answers_to(example) if takes == "frame" else predictor.answers(inputs)
    except FormatError:
        raise
    except Exception as error:  # models raise errors of any class
        raise FormatError(f"the model fails on the example: {error!r}") from error
    rows = next(iter(inputs.values())).shape[:1]
    specs = tuple(
        replace(spec, categories=(tuple(form.categories[spec.name]),))
        if spec.name in form.categories
        else spec
        for spec in observed_specs(inputs, rows)
    )
    columns = columns_of(example, specs)

    def advice(given: Tensors | Exception) -> str:
        """Return why the loaded pickle answered the example otherwise."""
        try:
            requested = predictor.answers(inputs)
        except Exception as error:  # noqa: BLE001 - models raise errors of any class
            return f"{_REQUESTED} ({error!r:.100})" if isinstance(given, Exception) else _STATE
        is_same = (
            not isinstance(given, Exception)
            and not compare(requested, given, rtol=RTOL, atol=ATOL).problem
        )
        return _REQUESTED if is_same else _STATE

    return ConvertedModel(
        format="cloudpickle",
        entry=_ENTRY,
        files={_ENTRY: directory / _ENTRY},
        signature=Signature(inputs=specs, outputs=observed_specs(expected, rows)),
        inputs=inputs,
        expected=expected,
        original=Original(kind="object", rows=inputs, answer=predictor.answers, advice=advice),
        options={"takes": takes} | form.options() | ({"columns": columns} if columns else {}),
        environment=_environment(data, requirements),
    )


def _pickle(model: Any) -> bytes:
    """Pickle an object, including the code of modules that belong to no installed package."""
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
    except Exception as error:  # __reduce__ may raise errors of any class
        raise FormatError(f"{type(model).__name__} cannot be pickled: {error}") from error
    return data


def _inputs(example: Any) -> tuple[str, dict[str, NDArray[Any]]]:
    arrays = named_arrays(example)
    takes = "array" if arrays is None else "frame" if is_frame(example) else "tensors"
    named = {ARRAY_INPUT: as_array(example, "example")} if arrays is None else arrays
    for name, array in named.items():
        if array.dtype.kind == "O" and any(isinstance(value, str) for value in array.ravel()):
            check_strings(array, f"example {name!r}")
    return takes, {name: as_tensor(array, f"example {name!r}") for name, array in named.items()}


def _form(frame: Any, inputs: Tensors) -> FrameForm:
    """Return the form of an example, of which a request can make an equal DataFrame.

    Raises:
        FormatError: the example is not a DataFrame of pandas, or has a column without categories.
    """
    if not hasattr(frame, "iloc"):
        raise FormatError(
            f"example: the pickle gets a pandas DataFrame with each request, and this is "
            f"{type(frame).__module__.partition('.')[0]}'s {type(frame).__name__}: pass "
            "example.to_pandas(), and a model that takes it"
        )
    form = FrameForm.of(frame, inputs)
    for name, categories in form.categories.items():
        if not categories:
            raise FormatError(
                f"example: column {name!r:.80} has pandas' type category, but no category: pass "
                "rows in which it has values"
            )
    return form


def _environment(data: bytes, requirements: Sequence[str] | None) -> Environment:
    if requirements is None:
        pins = _pins(_closure(_distributions(data)))
    else:
        for requirement in requirements:
            if not PINNED.fullmatch(requirement):
                raise FormatError(
                    f"requirements: {requirement!r} is not pinned: use <package>==<version>"
                )
        pins = list(requirements)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Environment(python=python, requirements=tuple(sorted(pins)))


def _modules(data: bytes) -> set[str]:
    """Return the top-level modules that a pickle refers to.

    A pickle refers to modules by strings, sometimes as arguments of calls. So every string that is
    the name of an imported module counts; a superfluous module is harmless.
    """
    strings = (argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str))
    names = {string.split(" ")[0] for string in strings}
    return {name.split(".")[0] for name in names if name in sys.modules}


def _own_modules(data: bytes) -> set[str]:
    """Return the modules that a pickle refers to and that belong to no installed package."""
    installed = {*metadata.packages_distributions(), *sys.stdlib_module_names}
    own = _modules(data) - installed - {"__main__", "shearling", "shearling_runtime"}
    return {name for name in own if name in sys.modules}


def _distributions(data: bytes) -> set[str]:
    """Return the distributions of the modules that a pickle refers to."""
    owners = metadata.packages_distributions()
    named = {owner for module in _modules(data) for owner in owners.get(module, [])}
    return (named | {"cloudpickle"}) - {"shearling"}


def _closure(names: set[str]) -> set[str]:
    """Return distributions together with their installed dependencies."""
    pending, closure = list(names), set[str]()
    while pending:
        name = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if name in closure:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        closure.add(name)
        needed = [requirement for requirement in required if "extra ==" not in requirement]
        pending += [re.split(r"[^A-Za-z0-9._-]", requirement)[0] for requirement in needed]
    return closure


def _pins(names: set[str]) -> list[str]:
    return [f"{name}=={metadata.version(name)}" for name in names]
