"""Send many rows to a deployed model: split into concurrent calls, joined in order."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain
from math import prod
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.client.outputs import Outputs, versions_of_rows
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
    Infer = Callable[[range], tuple[Tensors, str]]

#: Target size of a call's request or response, in bytes. Lambda's limit is six times as much. The
#: margin covers base64, JSON and rows of uneven length, and keeps a failed or slow call small.
_CALL_BYTES = 1_000_000

#: Number of rows from which the length of a row is estimated.
_SAMPLE_ROWS = 64

#: Errors about the rows of one call: other rows may succeed.
_ROW_ERRORS = (InvalidRequestError, PayloadTooLargeError, PredictionError)

#: Number of other failures in succession after which no more calls are sent.
_MAX_FAILURES_IN_SUCCESSION = 10


def infer_rows(
    infer: Infer,
    inputs: Tensors,
    signature: Signature,
    *,
    title: str,
    rows_per_call: int | None,
    max_concurrency: int,
) -> Outputs:
    """Return the outputs for all rows, from as many calls as needed.

    Args:
        infer: makes one call for some rows, and returns its outputs and the version that answered;
            runs in several threads.
        inputs: arrays of shape [rows, ...] by input name, valid for the signature.
        signature: inputs and outputs of the model.
        title: title of the progress bar.
        rows_per_call: number of rows in a call; None: about `_CALL_BYTES` of rows.
        max_concurrency: number of calls at a time.

    Raises:
        InvalidRequestError: the model accepts only a fixed number of rows, the inputs differ in the
            number of rows, or the rows need several calls although they depend on each other.
        RowsFailedError: some rows failed.
    """
    for name, value in (("rows_per_call", rows_per_call), ("max_concurrency", max_concurrency)):
        if value is not None and (not isinstance(value, int | np.integer) or value < 1):
            raise InvalidRequestError(f"{name} must be an integer of at least 1, not {value!r}")
    count = _count(inputs, signature)
    if count == 0:
        return _answer(infer, count)
    size = rows_per_call or rows_per_call_of(inputs, signature)
    if not signature.independent_rows:
        if count > size:
            raise InvalidRequestError(
                f"this model's answer to a row depends on the other rows of the request, so the "
                f"{count} rows cannot be split into calls of {size}: use `infer` for the rows that "
                "belong together"
            )
        return _answer(infer, count)
    calls = _Calls(infer, size, count)
    with progress(title, count, unit=" rows") as advance:
        calls.run(max_concurrency, advance)
    return calls.outputs()


def _answer(infer: Infer, count: int) -> Outputs:
    """Return the outputs for all rows from one call."""
    outputs, version = infer(range(count))
    return Outputs(outputs, versions_of_rows({range(count): version}))


class _Calls:
    """The calls for all rows and their results; only `_call` runs in other threads."""

    def __init__(self, infer: Infer, rows_per_call: int, count: int) -> None:
        self._infer = infer
        self._rows_per_call = rows_per_call
        self._unsent = [range(count)]  # a stack: the next rows to send are the last
        self._answers: dict[range, Tensors] = {}
        self._versions: dict[range, str] = {}
        self._failures: list[RowFailure] = []
        self._form: dict[str, Any] | None = None
        self._failed_in_succession = 0

    def run(self, max_concurrency: int, advance: Callable[[int], object]) -> None:
        """Send all rows, and pass the number of finished rows to `advance`."""
        running: dict[Future[tuple[Tensors, str]], range] = {}
        pool = ThreadPoolExecutor(max_concurrency)
        try:
            while self._unsent or running:
                while self._unsent and len(running) < max_concurrency:
                    rows = self._take()
                    running[pool.submit(self._call, rows)] = rows
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    advance(self._settle(running.pop(future), future))
        finally:
            pool.shutdown(wait=False)  # an interrupt does not wait for running calls

    def outputs(self) -> Outputs:
        """Return the outputs for all rows, in order.

        Raises:
            RowsFailedError: some rows failed.
        """
        answered = sorted(self._answers, key=lambda rows: rows.start)
        joined = {
            name: np.concatenate([self._answers[rows][name] for rows in answered])
            for name in self._form or ()
        }
        versions = versions_of_rows({rows: self._versions[rows] for rows in answered})
        outputs = Outputs(joined, versions)
        if not self._failures:
            return outputs
        failures = sorted(self._failures, key=lambda failure: failure.rows.start)
        numbers = np.fromiter(chain.from_iterable(answered), np.intp)
        raise RowsFailedError(failures, answered=numbers, outputs=outputs) from failures[0].error

    def _take(self) -> range:
        rows = self._unsent.pop()
        if len(rows) > self._rows_per_call:
            self._unsent.append(rows[self._rows_per_call :])
        return rows[: self._rows_per_call]

    def _call(self, rows: range) -> tuple[Tensors, str]:
        outputs, version = self._infer(rows)
        for name, array in outputs.items():
            if array.shape[:1] != (len(rows),):
                raise InferenceError(
                    f"output {name!r} has shape {list(array.shape)}; expected {len(rows)} rows, "
                    "one for each row sent. Use `infer` for this model"
                )
        return outputs, version

    def _settle(self, rows: range, future: Future[tuple[Tensors, str]]) -> int:
        """Record the result of a call, and return the number of rows that are finished."""
        try:
            outputs, version = future.result()
            self._check_form(outputs)
        except Exception as error:  # noqa: BLE001 - other calls' answers are kept after any error
            if isinstance(error, PayloadTooLargeError) and len(rows) > 1:
                middle = len(rows) // 2
                self._unsent += [rows[middle:], rows[:middle]]
                return 0
            self._fail(rows, error)
        else:
            self._answers[rows], self._versions[rows] = outputs, version
            self._failed_in_succession = 0
        return len(rows)

    def _check_form(self, outputs: Tensors) -> None:
        form = {name: (str(array.dtype), array.shape[1:]) for name, array in outputs.items()}
        self._form = self._form or form
        if form != self._form:
            raise InferenceError(
                f"the outputs {form} differ in name, type or shape from those of other rows, "
                f"{self._form}. Use `infer` for this model"
            )

    def _fail(self, rows: range, error: Exception) -> None:
        _forget_frames(error)
        self._failures.append(RowFailure(rows, error))
        if isinstance(error, _ROW_ERRORS):
            return
        self._failed_in_succession += 1
        if self._failed_in_succession >= _MAX_FAILURES_IN_SUCCESSION:
            count = self._failed_in_succession
            unsent = InferenceError(f"not sent, because {count} calls in succession failed")
            self._failures += [RowFailure(rows, unsent) for rows in self._unsent]
            self._unsent.clear()


def _forget_frames(error: BaseException | None) -> None:
    """Free the requests that the frames of an error refer to, since there may be many errors."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _count(inputs: Tensors, signature: Signature) -> int:
    """Return the number of rows."""
    for spec in signature.inputs:
        if spec.shape[:1] != (-1,):
            raise InvalidRequestError(
                f"input {spec} accepts only a fixed number of rows: its first size is not -1. "
                "Use `infer` for this model"
            )
    if not inputs:
        raise InvalidRequestError("the model has no inputs, so it has no rows")
    if counts := differing_row_counts(inputs):
        raise InvalidRequestError(f"the inputs have different numbers of rows: {counts}")
    return len(next(iter(inputs.values())))


def rows_per_call_of(inputs: Tensors, signature: Signature) -> int:
    """Return the number of rows whose request and expected response have `_CALL_BYTES` at most."""
    sample = {name: array[:: max(1, len(array) // _SAMPLE_ROWS)] for name, array in inputs.items()}
    body, _ = request_body(sample)
    sent = len(body) / len(next(iter(sample.values())))
    answered = sum(map(_row_bytes, signature.outputs))
    return max(1, int(_CALL_BYTES / max(sent, answered)))


def _row_bytes(spec: TensorSpec) -> int:
    """Return the bytes of a row of an output; counts each unknown size as 1."""
    return prod(map(abs, spec.shape[1:])) * DTYPES[spec.datatype].itemsize
