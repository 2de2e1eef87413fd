"""Push a model: convert it, verify the result, and publish it as a version."""

from __future__ import annotations

import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from shearling.aliases.promotion import require_known
from shearling.aliases.set_alias import set_alias
from shearling.aliases.waiting import require_served, wait_for_release
from shearling.bundle.evaluation import EVALUATION_FIELD
from shearling.converters.classes import with_given_classes
from shearling.errors import BreakingChangeError, InvalidRequestError, RegistryError
from shearling.formats.base import REMOTE
from shearling.models.conversion import convert_model
from shearling.models.evaluation import evaluate as evaluate_model
from shearling.models.lineage import current_import
from shearling.models.measuring import LARGEST
from shearling.models.model_version import version_of
from shearling.models.push_options import PushOptions, checked_metadata, text_of, tolerance_of
from shearling.models.quantize import check_recipe, smaller_if_it_pays
from shearling.models.training import TRAINING_FIELD, current_job
from shearling.models.verification import verify
from shearling.models.version_details import measured_fields, version_details
from shearling.progress import progress
from shearling.python_versions import OLDEST_ON_AWS
from shearling.refs import check_alias, check_model
from shearling.registry.registry import Registry
from shearling.tensors.comparison import ATOL, RTOL

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from shearling.bundle.evaluation import Evaluation
    from shearling.bundle.manifest import Manifest
    from shearling.converters.image_settings import Image
    from shearling.models.lineage import Lineage
    from shearling.models.model_version import ModelVersion
    from shearling.models.verification import VerifiedBundle
    from shearling.refs import Pin
    from shearling.registry.records import AliasEntry


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
    dynamic: Mapping[str, Mapping[int, str]] | None = None,
    evaluate: tuple[Any, Any] | None = None,
    measure: bool | None = None,
    largest: int = LARGEST,
    image: Image | None = None,
    classes: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
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
        model: an `onnx.ModelProto`, the path of an ONNX file, or a fitted scikit-learn, LightGBM,
            XGBoost or CatBoost estimator or pipeline; a PyTorch module, or a Keras model on
            PyTorch; for texts a `SentenceTransformer`, a pipeline of transformers, or the path of a
            folder that either was saved to. With `format="cloudpickle"`, any object with `predict`,
            or a callable. `sdk.Remote` for the contract of a model that an endpoint serves.
        name: the model's name: 1 to 48 of a-z, 0-9 and '-', starting with a letter or digit.
        example: rows to run the model on: an array, a DataFrame, or a dict of arrays by input name.
            For a PyTorch module also a tuple of arrays, one for each parameter of `forward`. The
            signature is inferred from it. All rows verify the conversion. The first few rows are
            published with the model, and run before every release and at every start of a function,
            so use no personal data.
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
        dynamic: for a PyTorch or Keras model, the axes of its inputs whose size varies, besides the
            number of rows, as in `{"input_ids": {1: "seq"}}`. A name stands for one size.
        evaluate: rows and their labels that the model was not fitted on, as in `(X_test, y_test)`.
            The converted model's metrics on them go into the new version's record, for `compare`:
            accuracy, balanced accuracy, macro F1, log loss and ROC AUC of classes; R2, mean
            absolute and root mean squared error of numbers. The rows are not published.
        measure: whether to measure memory, load time and latency of a new version in a process of
            its own, for `plan`; yes by default, unless SHEARLING_MEASURE is 0. It takes a second or
            two, and at most 20 seconds. If it fails, a warning says why.
        largest: rows of the largest request that callers will send, to measure with.
        image: `sdk.Image(...)` for a network of pictures: how a JPEG, PNG or WebP file becomes its
            input. The example is then pictures: paths, bytes of files, images of Pillow, or arrays
            of uint8 pixels.
        classes: names of the columns of an output of a network, in their order, as in
            `["cat", "dog"]`; with several outputs of as many columns, by output name. Estimators
            bring their own.
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
    check_model(text_of("name", name))
    if alias is not None:
        check_alias(text_of("alias", alias))
    elif wait:
        raise RegistryError("wait=True waits until an alias is released: pass alias=... too")
    options = PushOptions(
        format=format,
        requirements=requirements,
        load=load,
        rtol=tolerance_of("rtol", rtol),
        atol=tolerance_of("atol", atol),
        evaluate=evaluate,
        measure=measure,
        largest=largest,
        image=image,
        classes=classes,
        dynamic=dynamic,
    )
    options.check()
    _check_quantization(quantize, data, y, metric)
    facts, metrics = checked_metadata(metadata)
    target = Registry.at(registry)
    target.store.folders("models")  # raises before the conversion if the registry is unreachable
    if alias is not None:
        require_known(target, name, alias, target.alias_entry(name, alias))
        if wait:
            require_served(target, name, alias)
    pushed = _publish(
        model,
        name,
        example=example,
        options=options,
        facts=facts,
        metrics=metrics,
        target=target,
    )
    if quantize is not None:
        pushed = smaller_if_it_pays(
            pushed,
            data,
            y=y,
            metric=metric,
            max_loss=max_loss,
            recipe=quantize,
            options=options,
            registry=target,
        )
    if alias is None:
        return pushed
    entry = _set_alias(target, pushed.pin, alias, allow_breaking=allow_breaking)
    if wait:
        wait_for_release(target, entry)
    return replace(pushed, alias=alias)


def _check_quantization(quantize: str | None, data: Any, y: Any, metric: Any) -> None:
    """Refuse arguments of quantization that are not allowed, or that do not go together."""
    if quantize is not None:
        check_recipe(quantize)
    if (data is None) is not (quantize is None):
        raise InvalidRequestError("quantize and data go together: pass the rows that judge as data")
    if quantize is None and (y is not None or metric is not None):
        raise InvalidRequestError(
            "y and metric go with quantize: they judge the smaller version. Leave them out; for "
            "metrics of the model as it is, pass evaluate=(X, y)"
        )


def push_derived(
    model: Any,
    name: str,
    *,
    example: Any,
    lineage: Lineage,
    metadata: Mapping[str, object] | None,
    registry: Registry,
) -> ModelVersion:
    """Publish a model that was made from another one, with its lineage.

    Args:
        model: as for `push_model`, like the arguments that are not listed here.
        name: the model's name.
        example: rows to run the model on.
        lineage: what the model was made from, how, and what was measured.
        metadata: the caller's own facts.
        registry: the registry.
    """
    _, metrics = checked_metadata(metadata)
    facts, _ = checked_metadata(lineage.with_metadata(metadata))
    return _publish(
        model,
        name,
        example=example,
        options=PushOptions(),
        facts=facts,
        metrics=metrics,
        target=registry,
        further=lineage.record_fields(),
    )


def _publish(
    model: Any,
    name: str,
    *,
    example: Any,
    options: PushOptions,
    facts: Mapping[str, Any],
    metrics: Mapping[str, Any],
    target: Registry,
    further: Mapping[str, Any] = MappingProxyType({}),
) -> ModelVersion:
    """Convert, verify and publish a model.

    Args:
        model: the model.
        name: its name.
        example: rows to run it on.
        options: how to store it, and how closely it must agree with the original.
        facts: metadata for the manifest.
        metrics: numbers of the metadata, for the version's record.
        target: the registry.
        further: more fields of the version's record.
    """
    with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
        converted = convert_model(model, example, Path(directory), options)
        if options.classes is not None:
            signature = with_given_classes(converted.signature, options.classes)
            converted = replace(converted, signature=signature)
        verified = verify(
            converted,
            name,
            Path(directory),
            # What the caller leaves at its default is as wide as the model's own rounding.
            rtol=max(RTOL, converted.rounding) if options.rtol == RTOL else options.rtol,
            atol=max(ATOL, converted.rounding) if options.atol == ATOL else options.atol,
            metadata=facts,
        )
        manifest = verified.manifest
        _warn_of_python(manifest)
        evaluation = _evaluation(verified, options)
        details = version_details(manifest, verified.load_seconds, target.caller())
        details |= _origin(metrics) | dict(further)
        if evaluation is not None:
            details[EVALUATION_FIELD] = evaluation.to_record()
        details |= measured_fields(
            target,
            manifest,
            Path(directory),
            wanted=options.measure,
            largest=options.largest,
        )
        with progress(f"push {name}", manifest.size) as advance:
            published = target.publish(manifest, verified.files, details, advance)
    return version_of(published, manifest, target, evaluation)


def _evaluation(verified: VerifiedBundle, options: PushOptions) -> Evaluation | None:
    """Return the metrics of the converted model on the rows to evaluate it with, if there are any.

    Raises:
        InvalidRequestError: the rows do not fit the model, or the model is elsewhere.
    """
    if options.evaluate is None:
        return None
    if verified.manifest.format == REMOTE:
        raise InvalidRequestError(
            "evaluate does not apply to sdk.Remote, which is not asked at push: leave it out"
        )
    return evaluate_model(verified.predictor, verified.manifest, options.evaluate)


def _warn_of_python(manifest: Manifest) -> None:
    """Warn about a pickle made by a Python that is older than every Python on AWS."""
    if manifest.environment and sys.version_info[:2] < OLDEST_ON_AWS:
        oldest = ".".join(map(str, OLDEST_ON_AWS))
        warnings.warn(
            f"a pickle made by Python {manifest.environment.python} cannot run on AWS Lambda, "
            f"where functions have Python {oldest} or newer: push it from Python {oldest} or newer",
            UserWarning,
            stacklevel=4,
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


def _origin(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics, the training job and the import, whose own metrics are among them."""
    job, imported = current_job(), current_import()
    metrics = {
        **(job.metrics if job else {}),
        **(imported.metrics if imported else {}),
        **metrics,
    }
    facts = {"metrics": metrics, TRAINING_FIELD: job.to_record() if job else {}}
    if imported:
        facts[imported.name] = dict(imported.facts)
    return {name: value for name, value in facts.items() if value}
