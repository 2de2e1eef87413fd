"""Push a model: convert it, verify the result, and publish it as a version."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shearling.aliases.promotion import require_known
from shearling.aliases.set_alias import set_alias
from shearling.aliases.waiting import require_served, wait_for_release
from shearling.bundle.canonical_json import canonical_json, plain_metadata
from shearling.bundle.json_reader import check_value
from shearling.bundle.metrics import metrics_of
from shearling.errors import (
    BreakingChangeError,
    BundleError,
    FormatError,
    InvalidRefError,
    InvalidRequestError,
    RegistryError,
)
from shearling.models.measuring import LARGEST, check_largest
from shearling.models.model_version import ModelVersion
from shearling.models.quantize import check_recipe, smaller_if_it_pays
from shearling.models.training import TRAINING_FIELD, current_job
from shearling.models.verification import verify
from shearling.models.version_details import measured_fields, version_details
from shearling.progress import human_bytes, progress
from shearling.python_versions import OLDEST_ON_AWS
from shearling.refs import check_alias, check_model
from shearling.registry.registry import Registry
from shearling.tensors.comparison import ATOL, RTOL
from shearling.tensors.conversion import shown
from shearling.tensors.inputs import check_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from shearling.bundle.manifest import Manifest
    from shearling.converters.base import ConvertedModel
    from shearling.refs import Pin
    from shearling.registry.records import AliasEntry

#: Suffixes of pickle files, which `push_model` does not accept as paths of models.
_PICKLES = frozenset({".joblib", ".pickle", ".pkl"})

#: Bytes of metadata as JSON: with them, the model's metadata still fit into any answer.
_METADATA_LIMIT = 256_000

#: How to export models of other libraries to ONNX, by top-level package.
_EXPORTS = {
    "torch": 'export it with torch.onnx.export(model, inputs, "model.onnx")',
    "keras": 'export it with model.export("model.onnx", format="onnx")',
}


def push_model(
    model: Any,
    name: str,
    *,
    example: Any,
    format: str | None = None,  # noqa: A002 - the usual term
    alias: str | None = None,
    wait: bool = False,
    allow_breaking: bool = False,
    requirements: Sequence[str] | None = None,
    metadata: Mapping[str, object] | None = None,
    rtol: float = RTOL,
    atol: float = ATOL,
    load: Literal["latency", "throughput"] | None = None,
    measure: bool | None = None,
    largest: int = LARGEST,
    quantize: str | None = None,
    data: Any = None,
    y: Any = None,
    metric: str | Callable[..., float] | None = None,
    max_loss: float = 0.01,
    registry: str | os.PathLike[str] | Registry | None = None,
) -> ModelVersion:
    """Convert, verify and publish a model as the next version of `name`.

    Before publishing, the converted model is loaded again and its answers are compared with the
    original's, on the example and on rows unlike it. If the registry already has the same bundle,
    nothing is uploaded and the existing version is returned.

    Args:
        model: an `onnx.ModelProto`, the path of an ONNX file, or a fitted scikit-learn, LightGBM or
            XGBoost estimator or pipeline. With `format="cloudpickle"`, any object with `predict`,
            or a callable. `sdk.Remote` for the contract of a model that an endpoint serves.
        name: the model's name: 1 to 48 of a-z, 0-9 and '-', starting with a letter or digit.
        example: rows to run the model on: an array, a DataFrame, or a dict of arrays by input name.
            The signature is inferred from it. All rows verify the conversion. The first few rows
            are published with the model, and run before every release and at every start of a
            function, so use no personal data.
        format: "onnx" (the default), or "cloudpickle", which runs code when it is loaded.
        alias: an alias to set to this version, as `set_alias` does.
        wait: whether to wait until every function that serves the alias has released the version.
        allow_breaking: whether the version may break callers of the alias.
        requirements: for cloudpickle, pinned packages such as `scikit-learn==1.7.0`; by default the
            installed packages that the pickle refers to.
        metadata: facts to store with the model, such as `{"auc": 0.93}`: texts, numbers, lists,
            dicts, arrays and Series. They are part of the manifest, so other metadata makes another
            version. The version's record has its numbers too, as `metrics`.
        rtol: largest relative difference between an answer and the original model's; 1e-3 by
            default.
        atol: largest absolute difference between an answer and the original model's, added to the
            relative one; 1e-4 by default.
        load: for ONNX, "latency" to start fastest or "throughput" to answer large batches fastest.
            By default, large float weights load for latency and everything else for throughput.
        measure: whether to measure memory, load time and latency of a new version in a process of
            its own, for `plan`; yes by default, unless SHEARLING_MEASURE is 0. It takes a second or
            two, and at most 20 seconds. If it fails, a warning says why.
        largest: rows of the largest request that callers will send, to measure with.
        quantize: "auto", "int8" or "fp16" makes the version smaller afterwards, as `quantize` does.
            The smaller version is returned, and gets the alias. If no recipe passes and pays, or
            the model has nothing to quantise, that is the version as it was pushed, and a warning
            says why.
        data: with `quantize`, rows like those that callers send.
        y: with `quantize`, the true value of each row of `data`.
        metric: with `y`, the metric whose loss decides.
        max_loss: with `y`, the largest loss of the metric.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        InvalidRefError: the model's name or the alias is not allowed.
        InvalidRequestError: the example does not fit the model, or a tolerance is not allowed.
        BundleError: the metadata is not a dict of JSON values, or is too large.
        FormatError: the model cannot be converted, or the converted model's answers differ from the
            original's by more than the tolerance.
        StoreError: the registry cannot be reached or written. The version is published only if it
            was the alias that could not be set.
        BreakingChangeError: callers of the alias would break, and `allow_breaking` is False. The
            version is published, but the alias not moved.
        ReleaseError: the alias was never set and no function serves it, or, with `wait`, no
            function serves it; then nothing is published. With `wait`, also if the release failed,
            timed out or was superseded after the version was published.
    """
    check_model(_text("name", name))
    if alias is not None:
        check_alias(_text("alias", alias))
    elif wait:
        raise RegistryError("wait=True waits until an alias is released: pass alias=... too")
    options = _Options(format=format, requirements=requirements, load=load)
    options.check()
    check_largest(largest)
    if quantize is not None:
        check_recipe(quantize)
    if (data is None) is not (quantize is None):
        raise InvalidRequestError("quantize and data go together: pass the rows that judge as data")
    facts, metrics = _metadata(metadata)
    rtol, atol = _tolerance("rtol", rtol), _tolerance("atol", atol)
    target = Registry.at(registry)
    target.store.folders("models")  # raises before the conversion if the registry is unreachable
    if alias is not None:
        require_known(target, name, alias, target.alias_entry(name, alias))
        if wait:
            require_served(target, name, alias)
    with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
        converted = _save(model, example, options, Path(directory))
        verified = verify(converted, name, Path(directory), rtol=rtol, atol=atol, metadata=facts)
        manifest = verified.manifest
        _warn_of_python(manifest)
        details = version_details(manifest, verified.load_seconds, target.caller())
        details |= _lineage(metrics) | measured_fields(
            target, manifest, Path(directory), wanted=measure, largest=largest
        )
        with progress(f"push {name}", manifest.size) as advance:
            published = target.publish(manifest, verified.files, details, advance)
    pushed = ModelVersion(
        pin=published.version.pin,
        is_new=published.is_new,
        uploaded_bytes=published.sent_bytes,
        size_bytes=manifest.size,
        format=manifest.format,
        alias=alias,
        registry=target.store.uri,
    )
    if quantize is not None:
        pushed = smaller_if_it_pays(
            pushed, data, y=y, metric=metric, max_loss=max_loss, recipe=quantize, registry=target
        )
    if alias is not None:
        entry = _set_alias(target, pushed.pin, alias, allow_breaking=allow_breaking)
        if wait:
            wait_for_release(target, entry)
    return pushed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """How to store the model."""

    format: str | None
    requirements: Sequence[str] | None
    load: Literal["latency", "throughput"] | None

    def check(self) -> None:
        if self.format not in (None, "onnx", "cloudpickle"):
            raise FormatError(f"format {self.format!r}: expected 'onnx' or 'cloudpickle'")
        if self.load not in (None, "latency", "throughput"):
            raise FormatError(f"load {self.load!r}: expected 'latency' or 'throughput'")
        if self.format == "cloudpickle" and self.load:
            raise FormatError("load applies to ONNX only: leave it out with format='cloudpickle'")
        if self.format != "cloudpickle" and self.requirements is not None:
            raise FormatError(
                "requirements apply to format='cloudpickle' only: ONNX models need none"
            )


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRefError(
            f"{field} {value!r:.80} is not a string: expected a string such as 'fraud'"
        )
    return value


def _tolerance(field: str, value: Any) -> float:
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if is_number and not isinstance(value, bool) and 0 <= (number := float(value)) < float("inf"):
        return number
    raise InvalidRequestError(f"{field} {value!r:.80} is not a finite number of at least 0")


def _metadata(metadata: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metadata for the manifest, and its numbers for the version's record."""
    if metadata is None:
        return {}, {}
    if not isinstance(metadata, Mapping):
        raise BundleError(
            f"{shown(metadata)} is not a dict such as {{'auc': 0.93}}", field="metadata"
        )
    plain = plain_metadata(metadata)
    check_value({"metadata": plain})
    _check_size(plain)
    return plain, metrics_of(metadata)


def _check_size(metadata: Mapping[str, object]) -> None:
    """Refuse metadata that are too large for an answer; the message names the largest field."""
    size = len(canonical_json(metadata))
    if size > _METADATA_LIMIT:
        largest = max(metadata, key=lambda name: len(canonical_json(metadata[name])))
        raise BundleError(
            f"the metadata have {human_bytes(size)} as JSON, of which this is the largest field; "
            f"{human_bytes(_METADATA_LIMIT)} are allowed, because each answer with the model's "
            "metadata has them: store large values elsewhere, and their place here",
            field=f"metadata.{largest:.60}",
        )


def _save(model: Any, example: Any, options: _Options, directory: Path) -> ConvertedModel:
    from shearling.converters import boosting, cloudpickle, onnx, sklearn
    from shearling.converters.remote import Remote
    from shearling.converters.remote import convert as convert_remote

    if hasattr(example, "toarray"):  # scipy's sparse matrices
        raise InvalidRequestError(
            f"example: sparse data is not supported ({type(example).__name__}): "
            f"{boosting.dense_form(model)}"
        )
    check_rows(example)

    if isinstance(model, Remote):
        if options.format or options.load:
            raise FormatError("format and load do not apply to sdk.Remote: leave them out")
        return convert_remote(model, example)
    if isinstance(model, type) and (options.format != "cloudpickle" or hasattr(model, "predict")):
        raise FormatError(
            f"model: {model.__name__} is a class: push a fitted instance, such as "
            f"{model.__name__}(...).fit(X, y)"
        )
    if options.format == "cloudpickle":
        return cloudpickle.convert(model, example, directory, options.requirements)
    if isinstance(model, str | Path) and Path(model).suffix in _PICKLES:
        raise FormatError(
            f"{model} is not an ONNX file: load the model from it, and push the loaded object"
        )
    if isinstance(model, str | Path) or type(model).__name__ == "ModelProto":
        return onnx.convert(model, example, directory, options.load)
    if sklearn.is_estimator(model):
        return sklearn.convert(model, example, directory, options.load)
    raise FormatError(
        f"Shearling has no converter to ONNX for {type(model).__name__}: {_onnx_export(model)} and "
        "push the file, or pass format='cloudpickle' (a pickle runs code when it is loaded, so the "
        "function must allow pickles)"
    )


def _onnx_export(model: object) -> str:
    makers = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    exports = (_EXPORTS[maker] for maker in _EXPORTS if maker in makers)
    return next(exports, "convert it to ONNX yourself")


def _warn_of_python(manifest: Manifest) -> None:
    """Warn about a pickle made by a Python that is older than every Python on AWS."""
    if manifest.environment and sys.version_info[:2] < OLDEST_ON_AWS:
        oldest = ".".join(map(str, OLDEST_ON_AWS))
        warnings.warn(
            f"a pickle made by Python {manifest.environment.python} cannot run on AWS Lambda, "
            f"where functions have Python {oldest} or newer: push it from Python {oldest} or newer",
            UserWarning,
            stacklevel=3,
        )


def _set_alias(registry: Registry, pin: Pin, alias: str, *, allow_breaking: bool) -> AliasEntry:
    """Set the alias unless it names the version already, and return its entry."""
    entry = registry.alias_entry(pin.model, alias)
    if entry and entry.version == pin.version and not entry.canary:
        return entry
    try:
        return set_alias(
            pin.model, alias, pin.version, allow_breaking=allow_breaking, registry=registry
        )
    except BreakingChangeError as error:
        published = f"{pin.model}:{pin.version} is published, but {error}"
        raise BreakingChangeError(published, reason=error.reason, changes=error.changes) from error


def _lineage(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and the training job, whose own metrics are among them."""
    job = current_job()
    metrics = {**(job.metrics if job else {}), **metrics}
    facts = {"metrics": metrics, TRAINING_FIELD: job.to_record() if job else {}}
    return {name: value for name, value in facts.items() if value}
