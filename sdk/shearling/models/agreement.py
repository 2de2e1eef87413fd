"""Judge whether a conversion agrees with its original, and say which rows differ and why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from shearling.errors import FormatError
from shearling.models.probe_rows import Probe, first_rows, recombined, unlike
from shearling.models.tensor_rows import count_of, joined, taken
from shearling.tensors.comparison import compare
from shearling.tensors.inputs import has_rows

if TYPE_CHECKING:
    from shearling.converters.base import ConvertedModel
    from shearling.formats.base import Tensors
    from shearling.models.both_models import BothModels, Outcome

#: Share of recombined rows that may differ by rounding, where votes or distances tie.
_TIES = 0.01

#: Share of rows with large numbers that may differ.
_LARGE, _FEW = "have large", 0.1

#: Number of rows that are asked alone and in a batch.
_ALONE = 8

#: Share of differing rows from which an unread setting of the model is the likely cause.
_MOST = 0.5

#: Factor of the tolerance up to which a wider tolerance is worth a thought.
_WIDER = 30

#: What rows do that take each value from a random row of the example.
_RECOMBINED = "recombine its values"

_ROUNDING = (
    "ONNX computes in 32-bit floats, and these rows are so close to a split or a tie that rounding "
    "decides: fit the model on float32 data, push float32 rows as the example, and use no scaler "
    "before trees"
)


def check_repeated(both: BothModels, first: Tensors, second: Tensors) -> None:
    """Raise FormatError if a conversion answers the example differently when asked again."""
    problem = compare(first, second, rtol=both.rtol, atol=both.atol).problem
    if problem:
        raise FormatError(
            f"the model answers the same rows differently when it is asked again: {problem}. "
            "Nothing was published. A function must answer as the push did: use a fixed seed and "
            "no state"
        )


def check_example(both: BothModels, converted: ConvertedModel, given: Tensors) -> None:
    """Raise FormatError if the answers to the example differ from the original's."""
    if has_rows(both.original.rows, both.signature.inputs):
        probe = Probe("the example", both.original.rows)
        outcome = both.compared(probe, converted.expected, given)
        problem, advice = outcome.problem, _advice(both, outcome) if outcome.problem else ""
    else:
        problem = compare(converted.expected, given, rtol=both.rtol, atol=both.atol).problem
        advice = ""
    if problem:
        raise FormatError(
            f"the converted model's answers differ from the original's: {problem}. Nothing was "
            f"published. {advice}".strip(". ")
        )


def check_other_sizes(both: BothModels) -> str:
    """Return a warning about sizes that only the original refuses; empty if there are none.

    Raises:
        FormatError: the models differ on rows of another size than the example's.
    """
    refused: list[Outcome] = []
    for size, rows in both.original.other_sizes:
        (outcome,) = both.ask([Probe(size, rows)])
        if outcome.problem and isinstance(outcome.expected, Exception):
            refused.append(outcome)
        elif outcome.problem:
            raise FormatError(
                f"the converted model agrees with the original on the example, but not with "
                f"{size}: {outcome.problem}. Nothing was published. The model's code treats some "
                "sizes otherwise than others, which a graph cannot: compute with the sizes instead "
                "of deciding by them, and name axes, as in squeeze(-1)"
            )
    sizes = ", ".join(outcome.probe.kind for outcome in refused)
    return f"with {sizes}, {refused[0].problem}: send no such requests" if refused else ""


def warning_of_other_rows(both: BothModels, limit: int) -> str:
    """Return a warning about rows unlike the example that the models answer differently.

    Args:
        both: the models.
        limit: the most rows of a kind to ask about.
    """
    rows = both.original.rows
    probes = list(unlike(rows, both.signature.inputs, limit))
    is_of_pictures = any(spec.content for spec in both.signature.inputs)
    if count_of(rows) > 1 and not is_of_pictures:
        probes.insert(0, Probe(_RECOMBINED, recombined(rows, limit)))
    outcomes = [*both.ask(probes), *both.ask([Probe("are asked alone", first_rows(rows, 1))])]
    differing = [outcome for outcome in outcomes if outcome.problem and _counts(both, outcome)]
    if not differing:
        return ""
    first, kinds = differing[0], list(dict.fromkeys(item.probe.kind for item in differing))
    also = f". The same holds for rows that {', '.join(kinds[1:])}" if kinds[1:] else ""
    return (
        "the converted model agrees with the original on the example, but not on all rows that "
        f"{kinds[0]}: {first.problem}, for example for the row {first.row}{also}. "
        f"{_advice(both, first)}Push more rows as the example to see whether real rows are affected"
    )


def row_dependence(both: BothModels, limit: int) -> tuple[bool, str]:
    """Return whether answers to rows depend on the other rows of a batch, and a warning."""
    rows = first_rows(both.original.rows, min(limit, _ALONE))
    count = count_of(rows)
    together = _in_a_batch(both, rows, limit)
    if together is None:
        return False, ""
    if any(array.shape[:1] != (count,) for array in together.values()):
        return True, ""  # not an answer for each row
    problem = _problem_alone(both, rows, together)
    if not problem:
        return False, ""
    return True, (
        "a row's answer depends on the other rows of its request: asked alone instead of in a "
        f"batch, {problem}. `infer_many` refuses to cut the rows of this model into several "
        "requests: send with `infer` the rows that belong together"
    )


def _problem_alone(both: BothModels, rows: Tensors, together: Tensors) -> str:
    """Return how the answers to single rows differ from those to a batch; empty if they agree."""
    alone: list[Tensors] = []
    for place in range(count_of(rows)):
        answer = both.served(taken(rows, [place]))
        if isinstance(answer, Exception):
            return f"a row fails with {answer!s:.200}"
        if any(array.shape[:1] != (1,) for array in answer.values()):
            return "a row gets another number of answers"
        alone.append(answer)
    return both.compared(Probe("are asked alone", rows), together, joined(alone)).problem


def _in_a_batch(both: BothModels, rows: Tensors, limit: int) -> Tensors | None:
    """Return the conversion's answers to rows in a batch with others; None if it fails."""
    specs = both.signature.inputs
    parts = [probe.rows for probe in unlike(rows, specs, min(limit, _ALONE))]
    for others in (parts, [recombined(both.original.rows, limit)], [rows]):
        given = both.served(joined([rows, *others]))
        if not isinstance(given, Exception):
            total = count_of(rows) + sum(map(count_of, others))
            return {
                name: array[: count_of(rows)] if array.shape[:1] == (total,) else np.empty(0)
                for name, array in given.items()
            }
    return None


def _counts(both: BothModels, outcome: Outcome) -> bool:
    """Return whether a difference is more than what rounding to 32 bits must make of few rows."""
    if _LARGE in outcome.probe.kind and outcome.share < _FEW:
        return False  # what is close beside large numbers ties in 32 bits, such as distances
    if not both.are_rounded(outcome):
        return True
    return outcome.probe.kind == _RECOMBINED and outcome.share > _TIES


def _advice(both: BothModels, outcome: Outcome) -> str:
    """Return what explains a difference, as far as it was found out, and what to do."""
    if both.original.advice is not None:
        return f"{both.original.advice(outcome.given)}. "
    if not outcome.has_same_shapes:
        has_failed = isinstance(outcome.expected, Exception) or isinstance(outcome.given, Exception)
        return "" if has_failed else "The converter does not know the model, or a setting of it. "
    raising = ", or raise rtol= or atol=. " if _is_close(both, outcome) else ". "
    if both.are_rounded(outcome):
        return f"{_ROUNDING}{raising}"
    if both.original.kind == "graph":
        return f"ONNX Runtime's optimisations change the answers of this graph{raising}"
    tried = (
        "Rows that are rounded to 32 bits, or moved by one unit in the last place, do not explain "
        f"it{raising}"
    )
    if outcome.share > _MOST:
        return f"Most rows differ, so the converter does not know a setting of the model. {tried}"
    return tried


def _is_close(both: BothModels, outcome: Outcome) -> bool:
    """Return whether somewhat wider tolerances would accept a difference."""
    wider = replace(both, rtol=_WIDER * both.rtol, atol=_WIDER * both.atol)
    return not wider.compared(outcome.probe, outcome.expected, outcome.given).problem
