"""Many rows for a deployed model: cut into calls, several at once, their answers in order."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain
from math import prod
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import (
    InferenceError,
    InvalidRequestError,
    PayloadTooLargeError,
    PredictionError,
    RowFailure,
    RowsFailedError,
)
from shearling.progress import progress
from shearling.protocol.binary import request_body
from shearling.tensors.conversion import differing_row_counts
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shearling.tensors.spec import Signature, TensorSpec

    Tensors = Mapping[str, NDArray[Any]]
    Infer = Callable[[Tensors], dict[str, NDArray[Any]]]

#: Of a call's rows, sent or answered. Lambda carries six times that: base64 and JSON take more,
#: some rows are longer than others, and a call that fails or is slow is better a small one.
_CALL_BYTES = 1_000_000

#: Rows whose length stands for all.
_SAMPLE = 64

#: What is said of the rows that were sent: others may be answered.
_OF_THE_ROWS = (InvalidRequestError, PayloadTooLargeError, PredictionError)

#: Other failures, in succession, after which the next call is not expected to do better.
_PATIENCE = 10


def infer_rows(
    infer: Infer,
    inputs: Tensors,
    signature: Signature,
    *,
    title: str,
    rows_per_call: int | None,
    max_concurrency: int,
) -> dict[str, NDArray[Any]]:
    """Return the outputs for all rows, from as many calls as they need.

    Args:
        infer: one call, in a thread of its own.
        inputs: what fits the signature.
        signature: what the model takes and gives.
        title: of the progress bar.
        rows_per_call: None fits them to `_CALL_BYTES`.
        max_concurrency: calls at once.

    Raises:
        InvalidRequestError: the model takes no rows, or there are not as many for each input.
        RowsFailedError: some rows have no answer.
    """
    for name, value in (("rows_per_call", rows_per_call), ("max_concurrency", max_concurrency)):
        if value is not None and (not isinstance(value, int | np.integer) or value < 1):
            raise InvalidRequestError(f"{name}: {value!r} is not an integer of at least 1")
    count = _count(inputs, signature)
    if count == 0:
        return infer(inputs)
    calls = _Calls(infer, inputs, rows_per_call or rows_per_call_of(inputs, signature), count)
    with progress(title, count, unit=" rows") as advance:
        calls.run(max_concurrency, advance)
    return calls.outputs()


class _Calls:
    """The calls for all rows, and what became of them; one thread's, but for `_call`."""

    def __init__(self, infer: Infer, inputs: Tensors, rows_per_call: int, count: int) -> None:
        self._infer = infer
        self._inputs = inputs
        self._rows_per_call = rows_per_call
        self._left = [range(count)]  # not sent yet; the next ones are the last
        self._answers: dict[range, Tensors] = {}
        self._failures: list[RowFailure] = []
        self._form: dict[str, Any] | None = None
        self._failed_in_succession = 0

    def run(self, max_concurrency: int, advance: Callable[[int], object]) -> None:
        """Call for all rows, and tell of the number that are done."""
        running: dict[Future[Tensors], range] = {}
        pool = ThreadPoolExecutor(max_concurrency)
        try:
            while self._left or running:
                while self._left and len(running) < max_concurrency:
                    rows = self._take()
                    running[pool.submit(self._call, rows)] = rows
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    advance(self._settle(running.pop(future), future))
        finally:
            pool.shutdown(wait=False)  # who interrupts does not wait for what is under way

    def outputs(self) -> dict[str, NDArray[Any]]:
        """Return the outputs for all rows, in order.

        Raises:
            RowsFailedError: some rows have no answer.
        """
        answered = sorted(self._answers, key=lambda rows: rows.start)
        outputs = {
            name: np.concatenate([self._answers[rows][name] for rows in answered])
            for name in self._form or ()
        }
        if not self._failures:
            return outputs
        failures = sorted(self._failures, key=lambda failure: failure.rows.start)
        numbers = np.fromiter(chain.from_iterable(answered), np.intp)
        raise RowsFailedError(failures, answered=numbers, outputs=outputs) from failures[0].error

    def _take(self) -> range:
        rows = self._left.pop()
        if len(rows) > self._rows_per_call:
            self._left.append(rows[self._rows_per_call :])
        return rows[: self._rows_per_call]

    def _call(self, rows: range) -> Tensors:
        part = {name: array[rows.start : rows.stop] for name, array in self._inputs.items()}
        outputs = self._infer(part)
        for name, array in outputs.items():
            if array.shape[:1] != (len(rows),):
                raise InferenceError(
                    f"output {name!r} has shape {list(array.shape)}, which is not a row for each "
                    f"of {len(rows)}: use infer"
                )
        return outputs

    def _settle(self, rows: range, future: Future[Tensors]) -> int:
        """Keep what became of a call, and return the number of rows that are done."""
        try:
            outputs = future.result()
            self._check_form(outputs)
        except Exception as error:  # noqa: BLE001 - whatever it is, what others answered is kept
            if isinstance(error, PayloadTooLargeError) and len(rows) > 1:
                middle = len(rows) // 2
                self._left += [rows[middle:], rows[:middle]]
                return 0
            self._fail(rows, error)
        else:
            self._answers[rows] = outputs
            self._failed_in_succession = 0
        return len(rows)

    def _check_form(self, outputs: Tensors) -> None:
        form = {name: (str(array.dtype), array.shape[1:]) for name, array in outputs.items()}
        self._form = self._form or form
        if form != self._form:
            raise InferenceError(
                f"the outputs {form} do not go together with other rows' {self._form}: use infer"
            )

    def _fail(self, rows: range, error: Exception) -> None:
        _forget_frames(error)
        self._failures.append(RowFailure(rows, error))
        if isinstance(error, _OF_THE_ROWS):
            return
        self._failed_in_succession += 1
        if self._failed_in_succession >= _PATIENCE:
            unsent = InferenceError(f"not sent: {_PATIENCE} calls in succession failed")
            self._failures += [RowFailure(left, unsent) for left in self._left]
            self._left.clear()


def _forget_frames(error: BaseException | None) -> None:
    """Let go of the request that the frames of an error hold: there may be many."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _count(inputs: Tensors, signature: Signature) -> int:
    """Return the number of rows."""
    for spec in signature.inputs:
        if spec.shape[:1] != (-1,):
            raise InvalidRequestError(
                f"input {spec} does not take any number of rows (-1 as its first size): use infer"
            )
    if not inputs:
        raise InvalidRequestError("inputs: there are none, and so no rows")
    if counts := differing_row_counts(inputs):
        raise InvalidRequestError(f"inputs: different numbers of rows: {counts}")
    return len(next(iter(inputs.values())))


def rows_per_call_of(inputs: Tensors, signature: Signature) -> int:
    """Return how many rows make a call of `_CALL_BYTES`, sent or, as far as is known, answered."""
    sample = {name: array[:: max(1, len(array) // _SAMPLE)] for name, array in inputs.items()}
    body, _ = request_body(sample)
    sent = len(body) / len(next(iter(sample.values())))
    answered = sum(map(_row_bytes, signature.outputs))
    return max(1, int(_CALL_BYTES / max(sent, answered)))


def _row_bytes(spec: TensorSpec) -> int:
    """Return the bytes of a row, one for each size that is not known."""
    return prod(map(abs, spec.shape[1:])) * DTYPES[spec.datatype].itemsize
