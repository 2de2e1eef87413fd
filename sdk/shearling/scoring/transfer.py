"""One pass over an object: its rows are read, answered and written, but nothing appears yet."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import orjson

from shearling.errors import InvalidRequestError
from shearling.protocol.requests import InferRequest
from shearling.scoring.answering import Refused, answer, answer_valid, first_refused, message_of
from shearling.scoring.file_names import REJECTED
from shearling.scoring.outcome import Failure
from shearling.scoring.sink import Sink
from shearling.scoring.writers import writer_of
from shearling.tensors.dtypes import DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.scoring.answering import Answered
    from shearling.scoring.blocks import Block, Reader, Scorer
    from shearling.scoring.pace import Pace
    from shearling.scoring.request import ScoreRequest
    from shearling.scoring.writers import Writer
    from shearling.storage.conditional import ConditionalObjects

#: Maximum characters of a message in a file, and of a rejected row.
_MESSAGE, _ROW = 2000, 10_000


#: Rows of the first part of a slow model's first block, and how many times more the next has.
_FIRST_ROWS, _GROWTH = 64, 4

#: Share of the time that a block may take without being divided.
_SLOW = 0.1


class RowRefusedError(InvalidRequestError):
    """A row that the model refuses, in an object that must have none."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Transfer:
    """Writes the answers to an object's rows to an output.

    Attributes:
        rows: number of rows that were read.
        rejected: number of them that the model refused.
        truncated: number of texts that were longer than the model reads; None for a model that
            reads no texts.
        output: the output.
        rejects: the file of the refused rows.
    """

    def __init__(self, request: ScoreRequest, objects: ConditionalObjects, scorer: Scorer) -> None:
        self._request = request
        self._scorer = scorer
        self._head = b""
        self._writer: Writer | None = None
        self.rows = 0
        self.rejected = 0
        self.truncated: int | None = None
        self.output = Sink(objects, request.output_key)
        self.rejects = Sink(objects, request.output_key + REJECTED)

    def run(self, reader: Reader, pace: Pace) -> None:
        """Answer all rows.

        Raises:
            RowRefusedError: the model refuses a row.
            InferenceError: the object cannot be scored.
            StoreError: a store refuses or fails.
        """
        for block in self._paced(reader, pace):
            for each in self._answered(block):
                self.rows += len(each.block)
                if isinstance(each, Refused):
                    self._reject(each)
                    continue
                writer = self._writer = self._writer or self._new_writer(reader)
                self.output.write(writer.write(each.block, each.request, each.outputs))
                self._count_truncated(each.request)
            pace.advance(block.size)
        if self._writer is None:  # the output has no rows, but it has their form
            self._writer = self._new_writer(reader)
            request = empty_request(self._scorer)
            self.output.write(
                self._writer.write(reader.empty, request, self._scorer.answer(request))
            )
            self._count_truncated(request)
        self.output.write(self._writer.tail())
        self._head = self._writer.head(self.rows - self.rejected)

    def finish(self, replaces: str | None) -> str:
        """Make the output appear, and return its ETag; see `Sink`."""
        return self.output.finish(replaces, self._head)

    def abort(self) -> None:
        """Delete what was uploaded and has not appeared."""
        if self._writer is not None:
            self._writer.close()
        self.output.abort()
        self.rejects.abort()

    def _paced(self, reader: Reader, pace: Pace) -> Iterator[Block]:
        """Yield the blocks; the first in growing parts if the model is slow.

        So it is known soon if the object will not be done in time.
        """
        blocks = iter(reader)
        if (first := next(blocks, None)) is not None:
            yield from _growing(first) if self._is_slow(first, pace) else [first]
        yield from blocks

    def _is_slow(self, block: Block, pace: Pace) -> bool:
        """Return whether a block would take long, as far as a few of its rows tell."""
        if not self._scorer.is_divisible or len(block) <= _FIRST_ROWS:
            return False
        started = pace.seconds
        with suppress(InvalidRequestError):  # is found again, and then named
            answer(block.part(0, _FIRST_ROWS), self._scorer)
        return (pace.seconds - started) / _FIRST_ROWS * len(block) > _SLOW * pace.limit

    def _answered(self, block: Block) -> Iterator[Answered | Refused]:
        if self._request.options.on_bad_rows == "skip":
            yield from answer_valid(block, self._scorer)
            return
        try:
            yield answer(block, self._scorer)
        except InvalidRequestError as error:
            refused = Refused(block, error)
            if self._scorer.is_divisible:
                refused = first_refused(block, self._scorer, error)
            raise RowRefusedError(failure_of(refused)) from error

    def _count_truncated(self, request: InferRequest) -> None:
        if request.truncated is not None:
            self.truncated = (self.truncated or 0) + request.truncated

    def _reject(self, refused: Refused) -> None:
        self.rejected += 1
        failure = failure_of(refused).document()
        line = {"row": failure.pop("row"), "data": refused.block.text()[:_ROW], "error": failure}
        self.rejects.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def _new_writer(self, reader: Reader) -> Writer:
        options = self._request.options
        return writer_of(
            self._request.output_format, self._scorer, reader.names, keep=options.keep_columns
        )


def _growing(block: Block) -> Iterator[Block]:
    """Yield parts of a block, each larger than the one before."""
    start, count, step = 0, len(block), _FIRST_ROWS
    while start < count:
        part = block.part(start, min(start + step, count))
        part.size = block.size * len(part) // count
        yield part
        start, step = start + step, step * _GROWTH


def failure_of(refused: Refused) -> Failure:
    """Return what a result's files say of a refused row."""
    block, error = refused.block, refused.error
    return Failure(
        message=message_of(refused)[:_MESSAGE],
        row=block.number() if len(block) == 1 else None,
        column=error.column,
        value=error.value,
    )


def empty_request(scorer: Scorer) -> InferRequest:
    """Return a request without rows, whose answer shows the form of the outputs."""
    signature = scorer.signature
    inputs = {
        spec.name: np.empty(
            (0, *(1 if size == -1 else size for size in spec.shape[1:])), DTYPES[spec.datatype]
        )
        for spec in signature.inputs
    }
    return InferRequest(None, inputs, signature.output_names, rows="values")
