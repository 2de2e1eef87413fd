"""Ask the original model and its conversion about the same rows, and find where they differ."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.models.tensor_rows import count_of, joined, taken
from shearling.tensors.comparison import compare, far_apart
from shearling.tensors.inputs import to_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from shearling.converters.original import Original
    from shearling.formats.base import Predictor, Tensors
    from shearling.models.probe_rows import Probe
    from shearling.tensors.spec import Signature

    Answers = Tensors | Exception
    Mask = NDArray[np.bool_]

_T = TypeVar("_T")

#: The most differing rows for which the cause is sought.
_EXPLAINED_ROWS = 16

#: How often a row is moved by one unit in the last place of a 32-bit float, in random directions.
_MOVES = 6

#: Relative distance of two scores below which 32-bit floats may rank them either way.
_TIE = 1e-5

#: The most characters of a row or an error in a message.
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the original and the conversion answered to rows of one kind.

    Attributes:
        probe: the rows.
        expected: the original's answers, or the error that it raised.
        given: the conversion's answers, or the error that it raised.
        differing: for each row, whether the answers differ by more than the tolerance.
        problem: text that describes the largest difference; empty if there is none.
    """

    probe: Probe
    expected: Answers
    given: Answers
    differing: Mask
    problem: str = ""

    @property
    def share(self) -> float:
        """The fraction of the rows that differ."""
        return float(self.differing.mean())

    @property
    def has_same_shapes(self) -> bool:
        """Whether both models answered, and with outputs of the same shapes."""
        if isinstance(self.expected, Exception) or isinstance(self.given, Exception):
            return False
        return _have_same_shapes(self.expected, self.given)

    @property
    def row(self) -> str:
        """Text that shows the first differing row."""
        place = int(self.differing.argmax())
        values = {
            name: array[place : place + 1].ravel().tolist()
            for name, array in self.probe.rows.items()
        }
        single = {name: row[0] if len(row) == 1 else row for name, row in values.items()}
        for name, value in single.items():
            if isinstance(value, bytes):
                single[name] = f"<a picture of {len(value):,} bytes>"
        shown = next(iter(single.values())) if len(single) == 1 else single
        return f"{shown!r:.{_SHOWN}}"


@dataclass(frozen=True, slots=True)
class BothModels:
    """The original model, and its conversion as a function loads it.

    Attributes:
        original: the model that was pushed.
        predictor: the loaded conversion.
        signature: what a request may carry, and the outputs that are served.
        rtol: largest relative difference.
        atol: largest absolute difference, added to the relative one.
    """

    original: Original
    predictor: Predictor
    signature: Signature
    rtol: float
    atol: float

    def served(self, rows: Tensors) -> Answers:
        """Return the conversion's answers to the request that carries some rows, or its error."""

        def answer(rows: Tensors) -> Tensors:
            inputs = to_tensors(dict(rows), self.signature.inputs)
            return self.predictor.predict(inputs, self.signature.output_names)

        return _tried(answer, rows)

    def ask(self, probes: Sequence[Probe]) -> list[Outcome]:
        """Return the outcome for each kind of rows.

        All rows are asked in one call where both models answer it, since a call of a large model is
        slow.
        """
        if len(probes) <= 1:
            return [self._ask_alone(probe) for probe in probes]
        rows = joined([probe.rows for probe in probes])
        expected, given = _tried(self.original.answer, rows), self.served(rows)
        count = count_of(rows)
        if not (_is_by_row(expected, count) and _is_by_row(given, count)):
            middle = len(probes) // 2
            return [*self.ask(probes[:middle]), *self.ask(probes[middle:])]
        outcomes, start = [], 0
        for probe in probes:
            own = slice(start, start + count_of(probe.rows))
            outcomes.append(self.compared(probe, taken(expected, own), taken(given, own)))
            start = own.stop
        return outcomes

    def compared(self, probe: Probe, expected: Answers, given: Answers) -> Outcome:
        """Compare the answers of both models, where labels may differ if their scores tie."""
        count = count_of(probe.rows)
        if isinstance(expected, Exception) or isinstance(given, Exception):
            problem = _clash(expected, given)
            differing = np.full(count, bool(problem))
        else:
            differing, problem = self._differing(probe.rows, expected, given)
        return Outcome(
            probe=probe, expected=expected, given=given, differing=differing, problem=problem
        )

    def are_rounded(self, outcome: Outcome) -> bool:
        """Return whether rounding to 32 bits explains the differences, in the first differing rows.

        It does if the original's own answers vary as much when the values of the row move by one
        unit in the last place of a 32-bit float.
        """
        if isinstance(outcome.given, Exception) or isinstance(outcome.expected, Exception):
            return False
        if not outcome.has_same_shapes:
            return False
        places = np.flatnonzero(outcome.differing)[:_EXPLAINED_ROWS]
        rows = taken(outcome.probe.rows, places)
        moved = joined([rows, *(_moved(rows, seed) for seed in range(_MOVES))])
        answers = _tried(self.original.answer, moved)
        if not _is_by_row(answers, count_of(moved)):
            return False
        shape = (_MOVES + 1, len(places))
        return all(
            self._are_within(answer.reshape(*shape, *answer.shape[1:]), outcome.given[name][places])
            for name, answer in answers.items()
            if name in outcome.given
        )

    def _ask_alone(self, probe: Probe) -> Outcome:
        return self.compared(
            probe, _tried(self.original.answer, probe.rows), self.served(probe.rows)
        )

    def _differing(self, rows: Tensors, expected: Tensors, given: Tensors) -> tuple[Mask, str]:
        """Return a mask of the rows that differ, and the largest difference as text."""
        count = count_of(rows)
        names = [name for name in self.signature.output_names if name in expected]
        wanted = {name: np.asarray(expected[name]) for name in names}
        own = {name: np.asarray(given[name]) for name in names}
        if not _have_same_shapes(wanted, own):
            problem = compare(wanted, own, rtol=self.rtol, atol=self.atol).problem
            return np.ones(count, bool), problem
        far = {
            name: far_apart(wanted[name], own[name], rtol=self.rtol, atol=self.atol)
            for name in names
        }
        if "label" in far and far["label"].any():
            far["label"] &= ~self._ties(rows, far["label"], _row_distance(wanted, own))
        # Only values that count as different stay in the comparison that the message is made of.
        kept = {name: np.where(far[name], own[name], wanted[name]) for name in names}
        problem = compare(wanted, kept, rtol=self.rtol, atol=self.atol).problem
        masks = [_by_row(mask, count) for mask in far.values()]
        return np.logical_or.reduce([np.zeros(count, bool), *masks]), problem

    def _ties(self, rows: Tensors, labels: Mask, distance: NDArray[Any]) -> Mask:
        """Return where labels differ and the original's scores tie within their own difference."""
        ties = np.zeros_like(labels)
        places = np.flatnonzero(_by_row(labels, len(labels)))
        if self.original.margin is None:
            return ties
        margin = _tried(self.original.margin, taken(rows, places))
        if not isinstance(margin, Exception) and margin.shape == labels[places].shape:
            limit = _TIE + 2 * distance[places]
            ties[places] = margin <= limit.reshape(-1, *[1] * (margin.ndim - 1))
        return ties

    def _are_within(self, variants: NDArray[Any], own: NDArray[Any]) -> bool:
        """Return whether each answer is one of, or between, the variants along the first axis."""
        if own.dtype.kind != "f" or variants.dtype.kind not in "fiu":
            return bool((variants == own).any(axis=0).all())
        low, high = variants.min(axis=0), variants.max(axis=0)
        is_low = far_apart(low, own, rtol=self.rtol, atol=self.atol) & (own < low)
        is_high = far_apart(high, own, rtol=self.rtol, atol=self.atol) & (own > high)
        return not bool((is_low | is_high | (np.isnan(own) != np.isnan(low))).any())


def _tried(answer: Callable[[Tensors], _T], rows: Tensors) -> _T | Exception:
    """Return what a model answers, or the error that it raises; its warnings are ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return answer(rows)
        except Exception as error:  # noqa: BLE001 - models raise errors of any class
            return error


def _is_by_row(answers: Answers, count: int) -> TypeGuard[Tensors]:
    if isinstance(answers, Exception):
        return False
    return all(np.shape(array)[:1] == (count,) for array in answers.values())


def _have_same_shapes(expected: Tensors, given: Tensors) -> bool:
    """Return whether the outputs that both models answer have the same shapes."""
    return all(
        np.shape(given[name]) == np.shape(array)
        for name, array in expected.items()
        if name in given
    )


def _by_row(mask: Mask, count: int) -> Mask:
    """Reduce a mask of values to one of rows."""
    if mask.shape[:1] != (count,):
        return np.full(count, bool(mask.any()))
    return np.asarray(mask.reshape(count, -1).any(axis=1))


def _row_distance(wanted: Tensors, own: Tensors) -> NDArray[Any]:
    """Return the largest difference of float outputs in each row of labels."""
    distance = np.zeros(len(own["label"]))
    for name, array in wanted.items():
        if array.dtype.kind == "f" and array.shape[:1] == distance.shape:
            difference = np.abs(array - own[name]).reshape(len(array), -1).max(axis=1, initial=0)
            distance = np.maximum(distance, np.nan_to_num(difference))
    return distance


def _moved(rows: Tensors, seed: int) -> Tensors:
    """Return rows whose floats moved by one unit in the last place of 32 bits; zeros are exact."""
    random = np.random.default_rng(seed)
    moved: dict[str, NDArray[Any]] = {}
    for name, array in rows.items():
        moved[name] = array
        if array.dtype.kind == "f":
            toward = random.choice(np.array([-np.inf, np.inf], np.float32), array.shape)
            near = np.nextafter(array.astype(np.float32), toward).astype(array.dtype)
            moved[name] = np.where(array == 0, array, near)
    return moved


def _clash(expected: Answers, given: Answers) -> str:
    """Return what differs if one model raised an error; empty if both did, or a request would."""
    if isinstance(given, InvalidRequestError) or (
        isinstance(expected, Exception) and isinstance(given, Exception)
    ):
        return ""
    if isinstance(expected, Exception):
        cause = expected.__cause__ or expected
        reason = f"{type(cause).__name__}: {cause}"
        return f"the original raises {reason:.{_SHOWN}}, but the converted model answers"
    return f"the original answers, but the converted model fails: {given!s:.{_SHOWN}}"
