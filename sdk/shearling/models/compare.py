"""Compare the versions of a model with each other, and with what an alias serves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from shearling.errors import InvalidRefError, InvalidRequestError, ShearlingError
from shearling.models.answer_differences import AnswerDifferences, answer_differences
from shearling.models.comparison import ComparedVersion, Comparison
from shearling.models.evaluation import answers_to, metrics_of_answers
from shearling.models.labelled_rows import all_labels_of
from shearling.models.latency import TIMED_ROWS, median_milliseconds
from shearling.models.load import load_model
from shearling.models.model_version import ModelVersion
from shearling.models.push_options import is_number
from shearling.models.tensor_rows import count_of, repeated
from shearling.models.version_facts import VersionFacts
from shearling.progress import progress
from shearling.refs import Ref, check_model
from shearling.registry.registry import Registry
from shearling.tensors.inputs import to_tensors

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from shearling.formats.base import Tensors
    from shearling.models.load import LoadedModel
    from shearling.refs import Pin

#: The alias that versions are compared with by default.
_DEFAULT_ALIAS = "prod"

#: Versions of a model that are listed, and those that answer data: the newest.
_MOST_LISTED, _MOST_ASKED = 20, 5


def compare(
    model: str | ModelVersion,
    *,
    against: str | int | None = None,
    data: Any = None,
    y: Any = None,
    min_agreement: float | None = None,
    max_difference: float | None = None,
    allow_pickle: bool = False,
    registry: str | os.PathLike[str] | Registry | None = None,
) -> Comparison:
    """Compare versions: metrics, size, latency, memory and contract, and answers to data.

    Args:
        model: a model, of which the newest versions are listed and the newest is judged; or one
            version to judge, such as `fraud:8` or the result of `push_model`.
        against: what to compare with: an alias, a version's number, or a ref, also of another
            model. By default what the alias `prod` serves; without one, what the only alias does.
        data: rows to ask the versions about: an array, a DataFrame, or a dict of arrays. Of a
            model, the five newest versions are asked. The report has the agreement, the largest
            difference, the ten worst rows, and the latency in this process.
        y: the labels of the rows, for the standard metrics of each version on them.
        min_agreement: the share of the rows that the judged version must answer as the other does:
            with the same label, or with numbers within the other's tolerance.
        max_difference: the largest absolute difference of a number that is allowed.
        allow_pickle: whether to load pickles, which run the code in them. Only versions that are
            named by a pinned ref are.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Returns:
        A report. `is_good` is False, and `problems` says why, if the judged version breaks callers
        of the other one, does not answer the data, or exceeds a limit.

    Raises:
        InvalidRefError: a ref is malformed.
        ModelNotFoundError: the registry has no such model, version or alias.
        InvalidRequestError: the limits need data, or the labels do not fit the judged version's
            answers.
    """
    _check_limits(data, y, min_agreement=min_agreement, max_difference=max_difference)
    source = Registry.existing(registry)
    ref = str(model.pin) if isinstance(model, ModelVersion) else _checked(model)
    judged = source.resolve(ref)
    base = _compared_with(source, judged.model, against)
    pins = _listed(source, ref, judged, base, asked=data is not None)
    facts = [_facts(source, pin) for pin in pins]
    first = next((one for one in facts if one.pin == base), None)
    versions = [
        ComparedVersion(facts=one, changes=one.changes_from(first) if first else ())
        for one in facts
    ]
    if data is not None:
        pinned = {pin for pin in (judged, base) if pin and str(pin) in (ref, against)}
        loader = _Loader(source, pinned if allow_pickle else set())
        versions = _answered(versions, base, data, y, loader, judged=judged)
    own = next(one for one in versions if one.pin == judged)
    problems = _problems(own, base, min_agreement, max_difference)
    return Comparison(versions=tuple(versions), against=base, judged=judged, problems=problems)


def _check_limits(
    data: Any, y: Any, *, min_agreement: float | None, max_difference: float | None
) -> None:
    needing = {"y": y, "min_agreement": min_agreement, "max_difference": max_difference}
    given = [name for name, value in needing.items() if value is not None]
    if data is None and given:
        raise InvalidRequestError(f"{given[0]} needs rows to ask the versions about: pass data too")
    for name, value, most in (
        ("min_agreement", min_agreement, 1.0),
        ("max_difference", max_difference, float("inf")),
    ):
        if value is not None and not (is_number(value) and 0 <= value <= most):
            limit = "from 0 to 1" if most == 1 else "of at least 0"
            raise InvalidRequestError(f"{name} {value!r:.80}: expected a number {limit}")


def _checked(model: object) -> str:
    if not isinstance(model, str):
        raise InvalidRefError(
            f"{model!r:.80}: expected a model such as 'fraud', a ref such as 'fraud:7', or the "
            "result of push_model"
        )
    return model


def _compared_with(source: Registry, model: str, against: str | int | None) -> Pin | None:
    """Return the version to compare with; None if no alias was named and none is there."""
    if against is None:
        aliases = source.aliases(model)
        found = [_DEFAULT_ALIAS] if _DEFAULT_ALIAS in aliases else list(aliases)
        if len(found) != 1:
            return None
        against = found[0]
    text = str(against)
    if ":" in text:
        return source.resolve(text)
    entry = None if text.isdecimal() else source.alias_entry(check_model(model), text)
    answering = entry and source.alias_log(model, text).answering(entry)
    # What answers, where the newest entry failed to be released.
    return source.resolve(f"{model}:{answering.version if answering else text}")


def _listed(source: Registry, ref: str, judged: Pin, base: Pin | None, *, asked: bool) -> list[Pin]:
    """Return the versions to list, newest first; the one to compare with is among them."""
    pins = [judged]
    parsed = Ref.parse(ref)
    if parsed.selector is None and parsed.digest is None:
        most = _MOST_ASKED if asked else _MOST_LISTED
        pins = [version.pin for version in source.versions(judged.model)[::-1][:most]]
    if base is not None and base not in pins:
        pins.append(base)
    return pins


def _facts(source: Registry, pin: Pin) -> VersionFacts:
    aliases = tuple(
        alias for alias, entry in source.aliases(pin.model).items() if entry.version == pin.version
    )
    return VersionFacts.of(source.version(pin), source.manifest(pin), aliases)


@dataclass(frozen=True, slots=True)
class _Loader:
    """Loads versions; of pickles only those that may be."""

    registry: Registry
    pickles: set[Pin]

    def load(self, pin: Pin) -> LoadedModel:
        """Return a loaded version."""
        return load_model(str(pin), allow_pickle=pin in self.pickles, registry=self.registry)


def _answered(
    versions: Sequence[ComparedVersion],
    base: Pin | None,
    data: Any,
    y: Any,
    loader: _Loader,
    *,
    judged: Pin,
) -> list[ComparedVersion]:
    """Return the versions with their answers to data, compared with those of one.

    Raises:
        InvalidRequestError: the labels do not fit the answers of the judged version.
    """
    answers: dict[Pin, Tensors] = {}
    calls: dict[Pin, list[Callable[[], object]]] = {}
    found: dict[Pin, ComparedVersion] = {}
    with progress("compare", len(versions), unit="version") as advance:
        for one in versions:
            try:
                model = loader.load(one.pin)
                tensors = _tensors(model, data)
                answers[one.pin] = answers_to(model.predictor, tensors, model.signature)
            except ShearlingError as error:
                found[one.pin] = replace(one, problem=_short(error))
                continue
            finally:
                advance(1)
            calls[one.pin] = [_call(model, tensors, count) for count in TIMED_ROWS]
            found[one.pin] = one
            if y is not None:
                own = answers[one.pin]
                found[one.pin] = _with_metrics(one, model, own, y, is_judged=one.pin == judged)
    found |= _timed(found, calls)
    if base is not None and base in answers:
        tolerance = loader.registry.manifest(base).example
        for pin in answers.keys() - {base}:
            differences = answer_differences(
                answers[base], answers[pin], rtol=tolerance.rtol, atol=tolerance.atol
            )
            if isinstance(differences, AnswerDifferences):
                found[pin] = replace(found[pin], differences=differences)
            else:
                found[pin] = replace(found[pin], problem=differences)
    return [found[one.pin] for one in versions]


def _short(error: ShearlingError) -> str:
    return " ".join(str(error).split())[:200]


def _tensors(model: LoadedModel, data: Any) -> Tensors:
    columns = model.manifest.options.get("columns", ())
    tensors = to_tensors(data, model.signature.inputs, columns)
    if not count_of(tensors):
        raise InvalidRequestError("data has no rows")
    return tensors


def _call(model: LoadedModel, tensors: Tensors, count: int) -> Callable[[], object]:
    return partial(model.predictor.predict, repeated(tensors, count), model.signature.output_names)


def _with_metrics(
    one: ComparedVersion, model: LoadedModel, answers: Tensors, y: Any, *, is_judged: bool
) -> ComparedVersion:
    """Return a version with its metrics, or with the problem that they have if it is not judged."""
    try:
        labels = all_labels_of(y, count_of(answers), "y")
        evaluation = metrics_of_answers(answers, labels, model.manifest, what="y")
    except InvalidRequestError as error:
        if is_judged:
            raise
        return replace(one, problem=_short(error))
    return replace(one, metrics=evaluation.metrics)


def _timed(
    found: dict[Pin, ComparedVersion], calls: dict[Pin, list[Callable[[], object]]]
) -> dict[Pin, ComparedVersion]:
    """Return the versions with their latencies, which are measured in turns."""
    one, many = (
        median_milliseconds({pin: by_count[place] for pin, by_count in calls.items()})
        for place in range(len(TIMED_ROWS))
    )
    return {pin: replace(found[pin], latency_ms=(one[pin], many[pin])) for pin in calls}


def _problems(
    own: ComparedVersion,
    base: Pin | None,
    min_agreement: float | None,
    max_difference: float | None,
) -> tuple[str, ...]:
    """Return what speaks against a version."""
    name = f"{own.pin.model}:{own.pin.version}"
    problems = [f"{name} breaks callers: {change}" for change in own.breaking]
    if own.problem:
        problems.append(f"{name}: {own.problem}")
    found = own.differences
    if found is None:
        is_limited = min_agreement is not None or max_difference is not None
        if is_limited and own.pin != base and not own.problem:
            problems.append(f"{name} has no answers to compare with, so no limit can be checked")
        return tuple(problems)
    if min_agreement is not None and found.agreement < min_agreement:
        problems.append(
            f"{name} agrees in {found.agreement:.4g} of the {found.rows:,} rows, and "
            f"min_agreement is {min_agreement:g}"
        )
    if max_difference is not None and (found.largest or 0) > max_difference:
        problems.append(
            f"{name} differs by up to {found.largest:.4g}, and max_difference is {max_difference:g}"
        )
    return tuple(problems)
