"""Write a model as a new version: convert it, prove the result, publish it."""

from __future__ import annotations

import getpass
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling import formats
from shearling.bundle import ExampleFile, Manifest, Signature, describe
from shearling.canonical import canonical_json, plain_metadata
from shearling.errors import (
    BundleError,
    FormatError,
    InvalidRefError,
    InvalidRequestError,
    RegistryError,
)
from shearling.example import EXAMPLE_LIMIT_BYTES, Example, compare
from shearling.inputs import check_rows
from shearling.model_version import ModelVersion
from shearling.progress import human_bytes, progress
from shearling.ref import check_alias, check_model
from shearling.registry import Registry
from shearling.rollout import require_served, wait_for_release

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shearling.bundle import Descriptor
    from shearling.formats import Predictor, Saved

_EXAMPLE = "example.tensors"

#: The example runs at every start; the rest of what is given only proves the conversion.
_EXAMPLE_ROWS = 8


#: Where votes or distances tie, the last bit decides: that happens in few rows.
_TIES = 0.01

#: Who has such a file has the model by `joblib.load`.
_PICKLES = frozenset({".joblib", ".pickle", ".pkl"})

#: How models of other libraries become ONNX, by the package that made them.
_EXPORTS = {
    "torch": 'write it by torch.onnx.export(model, inputs, "model.onnx")',
    "keras": 'write it by model.export("model.onnx", format="onnx")',
}

#: What makes a saved model answer differently, and what helps.
_HINTS = {
    "onnx": "ONNX computes in 32 bits: fit and push on float32 data (trees without a scaler before "
    "them: its last bit decides where a value lies on a split)",
    "cloudpickle": "It was only pickled and loaded again: let it answer the same every time, with "
    "a fixed seed and no state",
}

#: The oldest that functions run on.
_OLDEST_PYTHON = (3, 12)


def push_model(
    model: Any,
    name: str,
    *,
    example: Any,
    format: str | None = None,  # noqa: A002 - the word of the field
    alias: str | None = None,
    wait: bool = False,
    requirements: Sequence[str] | None = None,
    metadata: Mapping[str, object] | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    load: Literal["latency", "throughput"] | None = None,
    registry: str | os.PathLike[str] | Registry | None = None,
) -> ModelVersion:
    """Write a model as the next version of `name`, or find the version that is the same.

    Args:
        model: an `onnx.ModelProto`, the path of an ONNX file, a scikit-learn estimator or
            pipeline, LightGBM's and XGBoost's included; with `format="cloudpickle"` any object
            with `predict`, or a callable.
        name: the model's name: 1 to 48 of a-z, 0-9 and '-'.
        example: rows to try the model on: an array, a DataFrame, or a dict of arrays by input. The
            signature is inferred from it. All rows prove the conversion; the first few are
            published with the model, run before a release and at every start: use no personal data.
        format: "onnx" (the default), or "cloudpickle", which runs code when it is loaded.
        alias: an alias to name this version by, as `set_alias` does.
        wait: wait until every function that serves the alias has released it.
        requirements: for cloudpickle, pinned packages; by default those that the pickle refers to.
        metadata: what else to say of the model; kept in the manifest, so that other words are
            another version.
        rtol: how far, relatively, an answer may be from the original model's.
        atol: the same, absolutely.
        load: for ONNX, "latency" starts fastest, "throughput" answers large batches fastest; by
            default large float weights are loaded for latency, and all else for throughput.
        registry: the registry or its URI; by default SHEARLING_REGISTRY.

    Raises:
        InvalidRefError: a name is not allowed.
        InvalidRequestError: the example does not fit the model.
        FormatError: the model cannot be saved, or the saved one answers differently.
        StoreError: the registry cannot be reached or written; nothing is published.
        ReleaseError: with `wait`: nothing serves that alias, and nothing is published; or the
            release failed or was superseded.
    """
    check_model(_text("name", name))
    if alias is not None:
        check_alias(_text("alias", alias))
    elif wait:
        raise RegistryError("wait=True waits for the release of an alias: pass alias=... with it")
    options = _Options(format=format, requirements=requirements, load=load)
    options.check()
    asked = _Asked(
        metadata=_metadata(metadata), rtol=_tolerance("rtol", rtol), atol=_tolerance("atol", atol)
    )
    target = Registry.at(registry)
    target.store.folders("models")  # before the work: can it be reached?
    if alias is not None and wait:
        require_served(target, name, alias)
    with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
        saved = _save(model, example, options, Path(directory))
        manifest, files, load_seconds = _prove(saved, name, asked, Path(directory))
        _warn_of_python(manifest)
        details = _details(manifest, load_seconds)
        with progress(f"push {name}", manifest.size) as advance:
            published = target.publish(manifest, files, details, advance)
    pin = published.version.pin
    if alias is not None:
        entry = target.alias_entry(name, alias)
        if entry is None or entry.version != pin.version or entry.canary:
            entry = target.set_alias(name, alias, pin.version)
        if wait:
            wait_for_release(target, entry)
    return ModelVersion(
        pin=pin,
        is_new=published.is_new,
        uploaded_bytes=published.sent_bytes,
        size_bytes=manifest.size,
        format=manifest.format,
        alias=alias,
        registry=target.store.uri,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """How a model shall be kept."""

    format: str | None
    requirements: Sequence[str] | None
    load: Literal["latency", "throughput"] | None

    def check(self) -> None:
        if self.format not in (None, "onnx", "cloudpickle"):
            raise FormatError(f"format {self.format!r}: expected 'onnx' or 'cloudpickle'")
        if self.load not in (None, "latency", "throughput"):
            raise FormatError(f"load {self.load!r}: expected 'latency' or 'throughput'")
        if self.format == "cloudpickle" and self.load:
            raise FormatError("load is for ONNX: a pickle is loaded in one way only")
        if self.format != "cloudpickle" and self.requirements is not None:
            raise FormatError("requirements are for format='cloudpickle': ONNX needs none")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the manifest says because it was asked for."""

    metadata: Mapping[str, Any]
    rtol: float
    atol: float


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRefError(f"{field} {value!r:.80} is not a string: expected one, as in 'fraud'")
    return value


def _tolerance(field: str, value: Any) -> float:
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if is_number and not isinstance(value, bool) and 0 <= (number := float(value)) < float("inf"):
        return number
    raise InvalidRequestError(f"{field} {value!r:.80} is not a finite number of at least 0")


def _metadata(metadata: object) -> dict[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise BundleError(
            f"{metadata!r:.80} is not a dict, as in {{'auc': 0.93}}", field="metadata"
        )
    plain = plain_metadata(metadata)
    for key, value in plain.items():
        try:
            canonical_json({key: value})
        except UnicodeEncodeError as error:
            raise BundleError(
                f"{error.object[error.start]!r} is half a character, which UTF-8 cannot write",
                field=f"metadata.{key!a}",
            ) from error
    return plain


def _save(model: Any, example: Any, options: _Options, directory: Path) -> Saved:
    check_rows(example)
    from shearling.formats import cloudpickle, onnx, sklearn

    if isinstance(model, type) and (options.format != "cloudpickle" or hasattr(model, "predict")):
        raise FormatError(
            f"model: {model.__name__} is a class: push an instance of it, as {model.__name__}(...)"
        )
    if options.format == "cloudpickle":
        return cloudpickle.save(model, example, directory, options.requirements)
    if isinstance(model, str | Path) and Path(model).suffix in _PICKLES:
        raise FormatError(f"{model}: the path of a model is that of ONNX: load it, and push that")
    if isinstance(model, str | Path) or type(model).__name__ == "ModelProto":
        return onnx.save(model, example, directory, options.load)
    if sklearn.is_estimator(model):
        return sklearn.save(model, example, directory, options.load)
    raise FormatError(
        f"{type(model).__name__} has no conversion to ONNX here: {_way_to_onnx(model)} and push "
        "the file, or pass format='cloudpickle' (which runs code when it is loaded: the function "
        "must allow it)"
    )


def _way_to_onnx(model: object) -> str:
    makers = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    exports = (_EXPORTS[maker] for maker in _EXPORTS if maker in makers)
    return next(exports, "convert it yourself")


def _prove(
    saved: Saved,
    name: str,
    asked: _Asked,
    directory: Path,
) -> tuple[Manifest, dict[str, Path], float]:
    """Load what was saved as a function would, and compare its answers with the original's."""
    described = {path: _describe(path, file, directory) for path, file in saved.files.items()}
    draft = Manifest(
        model=name,
        format=saved.format,
        entry=saved.entry,
        files=tuple(described.values()),
        signature=saved.signature,
        example=ExampleFile(path=_EXAMPLE, rtol=asked.rtol, atol=asked.atol),
        options=saved.options,
        metadata=asked.metadata,
        environment=saved.environment,
    )
    started = time.perf_counter()
    predictor = formats.load(draft, directory, formats.LoadSettings(allow_pickle=True))
    load_seconds = time.perf_counter() - started
    names = [spec.name for spec in saved.signature.outputs]
    answers = predictor.predict(saved.inputs, names)
    found = compare(saved.expected, answers, rtol=asked.rtol, atol=asked.atol)
    if found.problem:
        raise FormatError(
            f"the saved model does not answer as the original does: {found.problem}. Nothing is "
            f"published. {_HINTS[saved.format]}, or allow more with rtol= and atol="
        )
    _warn_of_other_rows(saved, predictor, asked)
    inputs = []
    for spec in saved.signature.inputs:
        nullable = spec.name not in saved.missing or _is_nullable(
            spec.name, saved, predictor, asked
        )
        inputs.append(replace(spec, nullable=nullable))
    example = _write_example(saved, predictor, names, directory)
    manifest = replace(
        draft,
        signature=Signature(inputs=tuple(inputs), outputs=saved.signature.outputs),
        files=(*draft.files, example),
    )
    return manifest, {file.path: directory / file.hex for file in manifest.files}, load_seconds


def _warn_of_other_rows(saved: Saved, predictor: Predictor, asked: _Asked) -> None:
    """Say that rows like those of the example are answered otherwise than by the original."""
    if saved.mixed is None:
        return
    answers = predictor.predict(saved.mixed.inputs, list(saved.mixed.outputs))
    found = compare(saved.mixed.outputs, answers, rtol=asked.rtol, atol=asked.atol)
    if found.share > _TIES:
        warnings.warn(
            "the saved model answers the example as the original does, but not all rows that mix "
            f"its values: {found.problem}. {_HINTS[saved.format]}, or push more rows as the "
            "example, to see whether any of them is answered so",
            UserWarning,
            stacklevel=4,
        )


def _is_nullable(name: str, saved: Saved, predictor: Predictor, asked: _Asked) -> bool:
    """Say whether values of an input may be missing: both models take such rows, and agree."""
    has_missing = bool(np.isnan(saved.inputs[name]).any())
    for example in saved.missing[name]:
        answers = predictor.predict(example.inputs, list(example.outputs))
        found = compare(example.outputs, answers, rtol=asked.rtol, atol=asked.atol)
        if not found.problem:
            continue
        differs = (
            f"where a value of {name!r} is missing, the saved model does not answer as the "
            f"original does: {found.problem}"
        )
        if has_missing:
            raise FormatError(f"{differs}. Nothing is published. Fill such values before the model")
        refuses = f"{differs}. It refuses such values: fill them before the model"
        warnings.warn(refuses, UserWarning, stacklevel=4)
        return False
    return has_missing or bool(saved.missing[name])


def _warn_of_python(manifest: Manifest) -> None:
    """Say that no function can load a pickle of this Python, which a notebook still can."""
    if manifest.environment and sys.version_info[:2] < _OLDEST_PYTHON:
        oldest = ".".join(map(str, _OLDEST_PYTHON))
        warnings.warn(
            f"a pickle of Python {manifest.environment.python} runs on no function of AWS, which "
            f"have Python {oldest} or newer: push it from Python {oldest} or newer",
            UserWarning,
            stacklevel=3,
        )


def _describe(path: str, file: Path, directory: Path) -> Descriptor:
    """Describe a file, and give it the name that its blob has wherever it is loaded."""
    with file.open("rb") as stream:
        described = describe(path, stream)
    file.rename(directory / described.hex)
    return described


def _write_example(
    saved: Saved, predictor: Predictor, names: list[str], directory: Path
) -> Descriptor:
    """Write the example's first rows, as many as are allowed, with the answers to them."""
    rows = _EXAMPLE_ROWS
    while True:
        inputs, are_fewer = _first_rows(saved, rows)
        data = Example(inputs, predictor.predict(inputs, names)).to_bytes()
        if len(data) <= EXAMPLE_LIMIT_BYTES:
            break
        if rows == 1 or not are_fewer:
            raise InvalidRequestError(
                f"example: {human_bytes(len(data))} with its answers, and it runs at every start: "
                f"pass a smaller one, of at most {human_bytes(EXAMPLE_LIMIT_BYTES)}"
            )
        rows //= 2
    file = directory / _EXAMPLE
    file.write_bytes(data)
    return _describe(_EXAMPLE, file, directory)


def _first_rows(saved: Saved, rows: int) -> tuple[dict[str, NDArray[Any]], bool]:
    """Return the example's first rows, and True; all of it if its first dimension is no row."""
    inputs = dict(saved.inputs)
    counts = {array.shape[:1] for array in inputs.values()}
    if len(counts) == 1 and all(spec.shape[:1] == (-1,) for spec in saved.signature.inputs):
        return {key: array[:rows] for key, array in inputs.items()}, True
    return inputs, False


def _details(manifest: Manifest, load_seconds: float) -> dict[str, Any]:
    """Return what is measured or said of this push, rather than of the model."""
    commit = _git_commit()
    return {
        "format": manifest.format,
        "size_bytes": manifest.size,
        "load_ms": round(load_seconds * 1000),
        "pushed_by": _user(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "shearling": installed_version("shearling"),
    } | ({"git_commit": commit} if commit else {})


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def _git_commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - wherever git is
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
