"""Write a model as a new version: convert it, prove the result, publish it."""

from __future__ import annotations

import getpass
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling.aliases.waiting import require_served, wait_for_release
from shearling.bundle.canonical_json import canonical_json, plain_metadata
from shearling.errors import (
    BundleError,
    FormatError,
    InvalidRefError,
    InvalidRequestError,
    RegistryError,
)
from shearling.models.model_version import ModelVersion
from shearling.models.verification import verify
from shearling.progress import progress
from shearling.python_versions import OLDEST_ON_AWS
from shearling.refs import check_alias, check_model
from shearling.registry.registry import Registry
from shearling.tensors.comparison import ATOL, RTOL
from shearling.tensors.inputs import check_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from shearling.bundle.manifest import Manifest
    from shearling.converters.base import ConvertedModel

#: Who has such a file has the model by `joblib.load`.
_PICKLES = frozenset({".joblib", ".pickle", ".pkl"})

#: How models of other libraries become ONNX, by the package that made them.
_EXPORTS = {
    "torch": 'write it by torch.onnx.export(model, inputs, "model.onnx")',
    "keras": 'write it by model.export("model.onnx", format="onnx")',
}


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
    rtol: float = RTOL,
    atol: float = ATOL,
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
        FormatError: the model cannot be converted, or the saved one answers differently.
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
    said = _metadata(metadata)
    rtol, atol = _tolerance("rtol", rtol), _tolerance("atol", atol)
    target = Registry.at(registry)
    target.store.folders("models")  # before the work: can it be reached?
    if alias is not None and wait:
        require_served(target, name, alias)
    with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
        converted = _save(model, example, options, Path(directory))
        verified = verify(converted, name, Path(directory), rtol=rtol, atol=atol, metadata=said)
        manifest = verified.manifest
        _warn_of_python(manifest)
        details = _details(manifest, verified.load_seconds)
        with progress(f"push {name}", manifest.size) as advance:
            published = target.publish(manifest, verified.files, details, advance)
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


def _save(model: Any, example: Any, options: _Options, directory: Path) -> ConvertedModel:
    check_rows(example)
    from shearling.converters import cloudpickle, onnx, sklearn

    if isinstance(model, type) and (options.format != "cloudpickle" or hasattr(model, "predict")):
        raise FormatError(
            f"model: {model.__name__} is a class: push an instance of it, as {model.__name__}(...)"
        )
    if options.format == "cloudpickle":
        return cloudpickle.convert(model, example, directory, options.requirements)
    if isinstance(model, str | Path) and Path(model).suffix in _PICKLES:
        raise FormatError(f"{model}: the path of a model is that of ONNX: load it, and push that")
    if isinstance(model, str | Path) or type(model).__name__ == "ModelProto":
        return onnx.convert(model, example, directory, options.load)
    if sklearn.is_estimator(model):
        return sklearn.convert(model, example, directory, options.load)
    raise FormatError(
        f"{type(model).__name__} has no conversion to ONNX here: {_way_to_onnx(model)} and push "
        "the file, or pass format='cloudpickle' (which runs code when it is loaded: the function "
        "must allow it)"
    )


def _way_to_onnx(model: object) -> str:
    makers = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    exports = (_EXPORTS[maker] for maker in _EXPORTS if maker in makers)
    return next(exports, "convert it yourself")


def _warn_of_python(manifest: Manifest) -> None:
    """Say that no function can load a pickle of this Python, which a notebook still can."""
    if manifest.environment and sys.version_info[:2] < OLDEST_ON_AWS:
        oldest = ".".join(map(str, OLDEST_ON_AWS))
        warnings.warn(
            f"a pickle of Python {manifest.environment.python} runs on no function of AWS, which "
            f"have Python {oldest} or newer: push it from Python {oldest} or newer",
            UserWarning,
            stacklevel=3,
        )


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
