"""Make a version smaller by quantization, if what it answers stays good enough."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.bundle.evaluation import EVALUATION_FIELD
from shearling.bundle.options import TOKENIZER
from shearling.bundle.processor import processor_flags, processor_name
from shearling.converters.quantization import RECIPES, refusal
from shearling.errors import FormatError, InvalidRequestError
from shearling.models.agreement_gate import AgreementGate
from shearling.models.candidates import Candidate
from shearling.models.evaluation import evaluate
from shearling.models.labelled_rows import labels_of, rows_of
from shearling.models.lineage import PARENT, RECIPE, Lineage
from shearling.models.load import cache_directory
from shearling.models.metric_gate import MetricGate
from shearling.models.model_version import version_of
from shearling.models.optimisation_report import TAKEN, OptimisationReport
from shearling.models.push_options import PushOptions, is_number, text_of
from shearling.models.row_split import split_rows
from shearling.models.tensor_rows import count_of, taken
from shearling.models.trial import Trial
from shearling.models.version_details import measured_fields, version_details
from shearling.progress import progress
from shearling.refs import check_model
from shearling.registry.registry import Registry, naming_verify

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import onnx

    from shearling.bundle.manifest import Manifest
    from shearling.converters.quantization import Recipe
    from shearling.models.model_version import ModelVersion
    from shearling.refs import Pin

#: The least number of different rows that judge.
MIN_ROWS = 200

#: The most rows that calibrate, and that judge.
_CALIBRATING, _JUDGING = 256, 4096

#: Stack level of a warning that points to `push_model`'s caller.
_CALLER = 3

#: Rows of a batch of calibration.
_BATCH = 16


def quantize(
    ref: str,
    data: Any,
    *,
    y: Any = None,
    metric: str | Callable[..., float] | None = None,
    max_loss: float = 0.01,
    recipe: str = "auto",
    name: str | None = None,
    min_rows: int = MIN_ROWS,
    registry: str | os.PathLike[str] | Registry | None = None,
) -> OptimisationReport:
    """Make a version smaller and faster, and publish the result as a new version.

    Recipes are tried in order. The first that passes the gate and pays is taken: it is 1.5 times
    smaller and at most 1.1 times slower, or 1.2 times faster. If none is, nothing is published, and
    the report says why.

    Half of the rows calibrate, and the other half judges; equal rows are in the same half. With
    labels, the upper end of the loss's interval must be at most `max_loss`. Without, the answers
    must agree with the original's: 99 % of the classes, a cosine similarity of at least 0.98 for 99
    % of the vectors, or an R2 of at least 0.999 for numbers, and for each target of an estimator.

    Args:
        ref: the version: `embed` (the newest), `embed:7` or `embed:prod`.
        data: rows like those that callers send: an array, a DataFrame, or a dict of arrays; a list
            of texts for a model of texts, and of pictures for one of pictures.
        y: the true value of each row.
        metric: with labels, a scorer or metric of scikit-learn by name, such as "roc_auc" or
            "mean_absolute_error", or a function of the true and the predicted values; greater is
            better, unless the function's name ends in `_error` or `_loss`. By default accuracy for
            classes, and R2 for numbers.
        max_loss: the largest loss of the metric, in its own unit.
        recipe: "auto" tries all, "int8" those with 8 bits, "fp16" the one with 16 bits; or the name
            of a recipe.
        name: the model to publish the version of; by default the same.
        min_rows: the least number of different rows that judge.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        FormatError: the version cannot be quantised, such as a tree ensemble or a pickle.
        InvalidRequestError: the rows, labels or metric do not fit the model, or are too few.
        ModelNotFoundError: the registry has no such model, version or alias.
        StoreError: the registry cannot be read or written.
    """
    report, _ = _quantized(
        ref,
        data,
        y=y,
        metric=metric,
        max_loss=max_loss,
        recipe=recipe,
        name=name,
        min_rows=min_rows,
        registry=Registry.existing(registry),
    )
    return report


def _quantized(
    ref: str,
    data: Any,
    *,
    y: Any,
    metric: str | Callable[..., float] | None,
    max_loss: float,
    recipe: str,
    registry: Registry,
    name: str | None = None,
    min_rows: int = MIN_ROWS,
    options: PushOptions = PushOptions(),  # noqa: B008 - it is immutable
) -> tuple[OptimisationReport, ModelVersion | None]:
    """Return the report of `quantize`, whose arguments these are, and the version.

    The options say what to measure of the version.
    """
    target = None if name is None else check_model(text_of("name", name))
    choice = check_recipe(recipe)
    if metric is not None and y is None:
        raise InvalidRequestError("metric needs the true values: pass y=... too")
    _check_number("max_loss", max_loss, least=0)
    _check_number("min_rows", min_rows, least=1)
    pin = registry.resolve(ref)
    parent, graph = _opened(registry, pin)
    recipes = [each for each in choice if each.is_for(graph)]
    if not recipes:
        named = ", ".join(each.name for each in choice)
        raise FormatError(f"{_named(pin)} has no large weights that {named} is for: try the others")
    rows = rows_of(data, parent.manifest)
    labels = labels_of(y, count_of(rows))
    calibrating, judging = split_rows(rows, int(min_rows))
    calibrating, judging = calibrating[:_CALIBRATING], judging[:_JUDGING]
    judged = taken(rows, judging)
    expected = parent.answers(judged)
    trial = Trial(
        parent=parent,
        graph=graph,
        calibration=[
            taken(rows, places)
            for places in np.array_split(calibrating, -(-len(calibrating) // _BATCH))
        ],
        rows=judged,
        expected=expected,
        gate=AgreementGate(parent.manifest.signature, expected)
        if labels is None
        else MetricGate.of(
            metric, labels[judging], parent.manifest.signature, expected, float(max_loss)
        ),
    )
    with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
        candidate = trial.first_taken(recipes, Path(directory))
        report = OptimisationReport(
            parent=pin,
            rows=trial.report(),
            calibration_rows=len(calibrating),
            judged_rows=len(judging),
            processor=processor_name(),
        )
        if candidate is None:
            return report, None
        version = _publish(registry, target or pin.model, candidate, report, options)
    return replace(report, version=version.pin, is_new=version.is_new), version


def smaller_if_it_pays(
    pushed: ModelVersion,
    data: Any,
    *,
    y: Any,
    metric: str | Callable[..., float] | None,
    max_loss: float,
    recipe: str,
    options: PushOptions,
    registry: Registry,
) -> ModelVersion:
    """Quantize a version that was pushed, and return the smaller one, or else the same.

    A warning says why the version stays as it is. The smaller version is evaluated and measured as
    the options of the push say. The other arguments are those of `quantize`.

    Raises:
        InvalidRequestError: the rows, labels or metric do not fit the model, or are too few. The
            version is published.
    """
    named = _named(pushed.pin)
    try:
        report, version = _quantized(
            str(pushed.pin),
            data,
            y=y,
            metric=metric,
            max_loss=max_loss,
            recipe=recipe,
            registry=registry,
            options=options,
        )
    except FormatError as error:
        warnings.warn(f"{named} is published as it was pushed: {error}", stacklevel=_CALLER)
        return pushed
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{named} is published, but not quantised: {error}") from error
    if version is None:
        reasons = "; ".join(f"{row.recipe}: {row.reason}" for row in report.rows[1:])
        warnings.warn(f"{named} is published as it was pushed. {reasons}", stacklevel=_CALLER)
        return replace(pushed, quantization=report)
    return replace(version, alias=pushed.alias, quantization=report)


def check_recipe(recipe: str) -> list[Recipe]:
    """Return the recipes of a name, of a number of bits, or all.

    Raises:
        InvalidRequestError: there is none.
    """
    chosen = [
        each for each in RECIPES if recipe in ("auto", each.name, each.name.partition("-")[0])
    ]
    if not chosen:
        known = ", ".join(["auto", "int8", "fp16", *(each.name for each in RECIPES)])
        raise InvalidRequestError(f"recipe {recipe!r:.80}: expected one of {known}")
    return chosen


def _check_number(field: str, value: Any, *, least: int) -> None:
    if not is_number(value) or not least <= value < float("inf"):
        raise InvalidRequestError(
            f"{field} {value!r:.80} is not a finite number of at least {least}"
        )


def _opened(registry: Registry, pin: Pin) -> tuple[Candidate, onnx.ModelProto]:
    """Fetch and load a version, and return it with its graph.

    Raises:
        FormatError: it cannot be quantised.
    """
    import onnx

    directory = cache_directory()
    with naming_verify(pin):
        manifest = registry.manifest(pin)
        _check_kind(pin, manifest)
        with progress(f"fetch {_named(pin)}", manifest.size) as advance:
            registry.fetch(manifest, directory, advance)
    graph = onnx.load(str(directory / manifest.file(manifest.entry).hex))
    if sentence := refusal(graph):
        raise FormatError(f"{_named(pin)} is not quantised: {sentence}")
    return Candidate.load(manifest, directory), graph


def _check_kind(pin: Pin, manifest: Manifest) -> None:
    """Raise FormatError if a version is no graph of rows of numbers, tokens or pictures."""
    inputs = manifest.signature.inputs
    if manifest.format != "onnx":
        raise FormatError(
            f"{_named(pin)} is stored as {manifest.format}, and only ONNX graphs are quantised: "
            "push a model that converts to ONNX, or train a smaller one on its answers (distil)"
        )
    texts = [spec.name for spec in inputs if spec.datatype == "BYTES" and not spec.content]
    if texts and TOKENIZER not in manifest.options:
        raise FormatError(
            f"{_named(pin)} is not quantised: its input {texts[0]!r:.80} is text, which is most of "
            "the work of such a model, and is not computed with weights"
        )
    if fixed := [spec for spec in inputs if spec.shape[:1] != (-1,)]:
        raise FormatError(
            f"{_named(pin)} is not quantised: the first dimension of {fixed[0]!s:.200} is not the "
            "number of rows, so no rows can be judged. Export it with a dynamic batch dimension"
        )


def _publish(
    registry: Registry,
    name: str,
    candidate: Candidate,
    report: OptimisationReport,
    options: PushOptions,
) -> ModelVersion:
    """Publish the bundle that was taken, with its parent, recipe and measurements."""
    taken = next(row for row in report.rows if row.verdict == TAKEN)
    measured = report.to_dict() | {"flags": list(processor_flags())}
    lineage = Lineage(
        parent=report.parent, recipe={"method": "quantize", "name": taken.recipe}, measured=measured
    )
    given = candidate.manifest.metadata.items()
    metadata = lineage.with_metadata({k: v for k, v in given if k not in (PARENT, RECIPE)})
    manifest = replace(candidate.manifest, model=name, metadata=metadata)
    details = version_details(manifest, (taken.load_ms or 0) / 1000, registry.caller())
    details |= lineage.record_fields() | measured_fields(
        registry, manifest, candidate.directory, wanted=options.measure, largest=options.largest
    )
    evaluation = None
    if options.evaluate is not None:
        evaluation = evaluate(candidate.predictor, manifest, options.evaluate)
        details[EVALUATION_FIELD] = evaluation.to_record()
    files = {file.path: candidate.directory / file.hex for file in manifest.files}
    with progress(f"push {name}", manifest.size) as advance:
        published = registry.publish(manifest, files, details, advance)
    return version_of(published, manifest, registry, evaluation)


def _named(pin: Pin) -> str:
    return f"{pin.model}:{pin.version}"
