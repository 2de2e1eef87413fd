"""Find the values that a signature must refuse: missing, infinite, and unknown ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from shearling.errors import FormatError, InvalidRequestError
from shearling.models.probe_rows import (
    Column,
    Probe,
    columns,
    foreign,
    infinite,
    known,
    missing,
    unseen,
)
from shearling.models.tensor_rows import count_of, taken

if TYPE_CHECKING:
    from shearling.formats.base import Tensors
    from shearling.models.both_models import BothModels, Outcome
    from shearling.tensors.spec import Scalar, Signature, TensorSpec

#: The most values of a column in the example that may be categories.
_CATEGORIES = 64

#: The most characters of the known values in a message.
_SHOWN = 200


def limit_inputs(both: BothModels, limit: int) -> tuple[Signature, list[str]]:
    """Return a signature that refuses what the models answer differently, and warnings about it.

    Args:
        both: the models. Its signature has the categories that the converter knows.
        limit: the most rows of a kind to ask about.

    Raises:
        FormatError: the models differ on a known category, on text, or on missing values and the
            example has some.
    """
    _check_known(both)
    both, warnings = _limit_categories(both)
    _check_text(both)
    signature, of_missing = _limit_missing(both, limit)
    signature, of_infinite = _limit_infinite(replace(both, signature=signature), limit)
    return signature, warnings + of_missing + of_infinite


def _check_known(both: BothModels) -> None:
    """Raise FormatError if the models differ on a category that the converter knows."""
    rows, probes = both.original.rows, []
    for spec in both.signature.inputs:
        for place, values in enumerate(spec.categories or ()):
            if values is not None:
                probes.append(Probe(spec.name, known(rows, Column(spec.name, place), values)))
    for outcome in both.ask(probes):
        if outcome.problem:
            raise FormatError(
                f"the converted model differs from the original on a known category of input "
                f"{outcome.probe.kind!r}: {outcome.problem}, for the row {outcome.row}. Nothing "
                "was published"
            )


def _limit_categories(both: BothModels) -> tuple[BothModels, list[str]]:
    """Limit columns to the example's values where other values are not answered as they were."""
    rows, signature = both.original.rows, both.signature
    probes = {
        column: [Probe("have an unseen value", row) for row in unseen(rows, column)]
        for column in columns(rows, signature.inputs, "Oiuf")
    }
    outcomes = iter(both.ask([probe for own in probes.values() for probe in own]))
    warnings: list[str] = []
    limits: dict[Column, tuple[Scalar, ...]] = {}
    for column, asked in probes.items():
        own = list(islice(outcomes, len(asked)))
        values = _values(rows, column)
        are_few = len(values) <= _CATEGORIES or isinstance(own[0].expected, Exception)
        if are_few and all(_is_answered_otherwise(both, column, outcome) for outcome in own):
            limits[column] = values
            warnings.append(
                f"values of {_name(both, column)} that the example does not have are not answered "
                f"as the original does: {_reason(own[0])}. So the published model accepts only "
                f"the example's: {', '.join(map(repr, values)):.{_SHOWN}}. If there are others, "
                "push an example that has them all"
            )
    specs = tuple(_with_limits(spec, rows, limits) for spec in signature.inputs)
    return replace(both, signature=replace(signature, inputs=specs)), warnings


def _is_answered_otherwise(both: BothModels, column: Column, outcome: Outcome) -> bool:
    """Return whether an unseen value of a column is answered wrongly, or by a failure."""
    is_float = column.of(both.original.rows).dtype.kind == "f"
    if is_float and not isinstance(outcome.expected, Exception):
        return False  # numbers rather than categories
    if outcome.problem:
        return not both.are_rounded(outcome)
    # A function answers an error without a reason with 500.
    is_failure = isinstance(outcome.given, Exception) and not both.predictor.refusal(outcome.given)
    return is_failure and both.original.kind == "estimator"


def _reason(outcome: Outcome) -> str:
    if isinstance(outcome.expected, Exception) and isinstance(outcome.given, Exception):
        cause = outcome.expected.__cause__ or outcome.expected
        return f"both models fail, the original with {cause!r:.{_SHOWN}}"
    return f"{outcome.problem}, for the row {outcome.row}"


def _values(rows: Tensors, column: Column) -> tuple[Scalar, ...]:
    values = column.of(rows)
    return tuple(np.unique(values[values == values]).tolist())  # noqa: PLR0124 - without NaN


def _with_limits(
    spec: TensorSpec, rows: Tensors, limits: dict[Column, tuple[Scalar, ...]]
) -> TensorSpec:
    width = prod(rows[spec.name].shape[1:])
    own = {column.place: values for column, values in limits.items() if column.name == spec.name}
    if not own:
        return spec
    before = spec.categories or (None,) * width
    return replace(spec, categories=tuple(own.get(i, before[i]) for i in range(width)))


def _name(both: BothModels, column: Column) -> str:
    array = both.original.rows[column.name]
    is_only = prod(array.shape[1:]) == 1
    return f"input {column.name!r}" + ("" if is_only else f", column {column.place}")


def _check_text(both: BothModels) -> None:
    """Raise FormatError if the models differ on text."""
    rows = both.original.rows
    probes = [
        Probe(_name(both, column), taken(texts, [place]))
        for column in columns(rows, both.signature.inputs, "O")
        for texts in [foreign(rows, column)]
        for place in range(count_of(texts))
    ]
    for outcome in both.ask(probes):
        is_refused = isinstance(outcome.given, Exception) and both.predictor.refusal(outcome.given)
        if outcome.problem and not is_refused and not isinstance(outcome.expected, Exception):
            raise FormatError(
                f"the converted model reads text otherwise than the original: for the row "
                f"{outcome.row} ({outcome.probe.kind}), {outcome.problem}. Nothing was published"
            )


def _limit_missing(both: BothModels, limit: int) -> tuple[Signature, list[str]]:
    """Set `nullable` for inputs of floats: whether both models answer missing values equally."""
    rows, signature = both.original.rows, both.signature
    floats = {spec.name: columns(rows, [spec], "f") for spec in signature.inputs}
    probes = [Probe(name, missing(rows, own, limit)) for name, own in floats.items() if own]
    outcomes = {outcome.probe.kind: outcome for outcome in both.ask(probes)}
    specs, warnings = [], []
    for spec in signature.inputs:
        outcome = outcomes.get(spec.name)
        is_nullable, text = (
            (True, "") if outcome is None else _missing_limit(both, spec, outcome, limit)
        )
        specs.append(replace(spec, nullable=is_nullable))
        warnings += [text] if text else []
    return replace(signature, inputs=tuple(specs)), warnings


def _missing_limit(
    both: BothModels, spec: TensorSpec, outcome: Outcome, limit: int
) -> tuple[bool, str]:
    """Return whether an input accepts missing values, and a warning; empty if there is none."""
    has_missing = bool(np.isnan(both.original.rows[spec.name].astype(float)).any())
    if isinstance(outcome.expected, Exception) and has_missing:
        return True, _missing_in_columns(both, spec, limit)
    if isinstance(outcome.expected, Exception) or isinstance(outcome.given, InvalidRequestError):
        return False, ""
    if not outcome.problem or both.are_rounded(outcome):
        return True, ""
    problem = (
        f"if a value of {spec.name!r} is missing, the converted model's answers differ from the "
        f"original's: {outcome.problem}"
    )
    if has_missing:
        raise FormatError(f"{problem}. Nothing was published. Fill missing values before the model")
    return False, (
        f"{problem}. So the published model refuses missing values in {spec.name!r}: fill them "
        "before the model"
    )


def _missing_in_columns(both: BothModels, spec: TensorSpec, limit: int) -> str:
    """Return a warning that names columns in which only the original refuses missing values."""
    own = columns(both.original.rows, [spec], "f")
    probes = [Probe("", missing(both.original.rows, [column], limit)) for column in own]
    places = [
        column.place
        for column, outcome in zip(own, both.ask(probes), strict=True)
        if outcome.problem
    ]
    if not places:
        return ""
    return (
        f"the original refuses missing values in columns {places!r:.{_SHOWN}} of {spec.name!r}, "
        "and the published model answers them: fill them before the model"
    )


def _limit_infinite(both: BothModels, limit: int) -> tuple[Signature, list[str]]:
    """Set `finite` for inputs of floats whose infinite values are not answered as they were."""
    rows, signature = both.original.rows, both.signature
    floats = {spec.name: columns(rows, [spec], "f") for spec in signature.inputs}
    probes = [Probe(name, infinite(rows, own, limit)) for name, own in floats.items() if own]
    outcomes = {outcome.probe.kind: outcome for outcome in both.ask(probes)}
    specs, warnings = [], []
    for spec in signature.inputs:
        outcome = outcomes.get(spec.name)
        is_finite, text = (False, "") if outcome is None else _infinite_limit(both, spec, outcome)
        specs.append(replace(spec, finite=is_finite))
        warnings += [text] if text else []
    return replace(signature, inputs=tuple(specs)), warnings


def _infinite_limit(both: BothModels, spec: TensorSpec, outcome: Outcome) -> tuple[bool, str]:
    """Return whether an input refuses infinite values, and a warning; empty if there is none."""
    has_infinite = bool(np.isinf(both.original.rows[spec.name].astype(float)).any())
    if isinstance(outcome.expected, Exception) and not has_infinite:
        return True, ""
    if not outcome.problem or both.are_rounded(outcome):
        return False, ""
    problem = (
        f"if a value of {spec.name!r} is infinite, the converted model does not answer as the "
        f"original does: {outcome.problem}, for the row {outcome.row}"
    )
    if has_infinite:
        raise FormatError(
            f"{problem}. Nothing was published. Fill infinite values before the model, in the "
            "example too"
        )
    return True, (
        f"{problem}. So the published model refuses infinite values in {spec.name!r}: replace them "
        "before the model"
    )
