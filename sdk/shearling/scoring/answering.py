"""Answer a block, or find the rows of it that the model refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import InvalidRequestError
from shearling.scoring.blocks import PLACE, rows_of_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from shearling.protocol.requests import InferRequest
    from shearling.scoring.blocks import Block, Scorer


@dataclass(frozen=True, slots=True)
class Answered:
    """Consecutive rows with their answers."""

    block: Block
    request: InferRequest
    outputs: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that the model refuses, as a block of its own."""

    block: Block
    error: InvalidRequestError


def answer(block: Block, scorer: Scorer) -> Answered:
    """Return a block with its answers.

    Raises:
        InvalidRequestError: the model refuses a row.
        InferenceError: the model fails.
    """
    request = block.request()
    count, step = _rows(request), rows_of_block(scorer.signature.outputs)
    if count <= step or not scorer.is_divisible:
        return Answered(block, request, scorer.answer(request))
    requests = [
        replace(request, inputs={name: a[i : i + step] for name, a in request.inputs.items()})
        for i in range(0, count, step)
    ]
    parts = [scorer.answer(each) for each in requests]
    if requests[0].truncated is not None:
        request.truncated = sum(each.truncated or 0 for each in requests)
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in request.outputs}
    return Answered(block, request, outputs)


def answer_valid(block: Block, scorer: Scorer) -> Iterator[Answered | Refused]:
    """Yield the parts of a block that the model answers, and the rows that it refuses, in order.

    A block is halved until its parts are answered or are one row: few refused rows cost few
    requests, and many cost at most two for each row.
    """
    waiting = [block]
    while waiting:
        part = waiting.pop()
        try:
            yield answer(part, scorer)
        except InvalidRequestError as error:
            if len(part) <= 1:
                yield Refused(part, error)
            else:
                middle = len(part) // 2
                waiting += [part.part(middle, len(part)), part.part(0, middle)]


def first_refused(block: Block, scorer: Scorer, error: InvalidRequestError) -> Refused:
    """Return the first row of a block that the model refuses, by halving.

    Args:
        block: a block that the model refuses.
        scorer: the model.
        error: its error, for a block of which every row alone is answered.
    """
    part = block
    while len(part) > 1:
        middle = len(part) // 2
        left = part.part(0, middle)
        try:
            answer(left, scorer)
        except InvalidRequestError as refusal:
            part, error = left, refusal
        else:
            part = part.part(middle, len(part))
    try:
        answer(part, scorer)
    except InvalidRequestError as refusal:
        return Refused(part, refusal)
    return Refused(block, error)


def message_of(refused: Refused) -> str:
    """Return the reason of a refusal, which begins with the row."""
    text = str(refused.error)
    place = f"row {refused.block.number()}"
    if len(refused.block) > 1 or place in text:
        return text
    return f"{PLACE}: {place}: {text.removeprefix(f'{PLACE}: ').removeprefix('inputs: ')}"


def _rows(request: InferRequest) -> int:
    array = next(iter(request.inputs.values()))
    return len(array) if array.ndim else 1
