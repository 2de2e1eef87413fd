"""Choose the reader of an object's format."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from shearling.errors import InvalidRequestError
from shearling.scoring.blocks import PLACE, ROW_LIMIT
from shearling.scoring.reading import read_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.scoring.blocks import Reader, Scorer
    from shearling.scoring.request import ScoreRequest
    from shearling.storage.conditional import ConditionalObjects, ObjectState


@contextmanager
def open_reader(
    request: ScoreRequest,
    objects: ConditionalObjects,
    state: ObjectState,
    scorer: Scorer,
    block_bytes: int,
) -> Iterator[Reader]:
    """Open the reader of a request's source; its threads end with the context.

    An error keeps a reader alive. Left to the garbage collector, the threads would be joined in
    whatever thread it runs in, which can wait for ever.

    Args:
        request: the request.
        objects: where the source is.
        state: the source's state.
        scorer: the model.
        block_bytes: bytes of a block.

    Raises:
        InvalidRequestError: the format is unknown, or the object cannot be cut into blocks although
            it is large.
    """
    with closing(read_parts(objects, request.source.key, state)) as parts:
        yield _reader_of(request, objects, state, scorer, block_bytes, parts=parts)


def _reader_of(
    request: ScoreRequest,
    objects: ConditionalObjects,
    state: ObjectState,
    scorer: Scorer,
    block_bytes: int,
    *,
    parts: Iterator[bytes],
) -> Reader:
    name, keep = request.source_format, request.options.keep_columns
    if not scorer.is_divisible:
        if state.size > ROW_LIMIT:
            raise InvalidRequestError(
                f"{PLACE}: has {state.size:,} bytes, but the answers of this model depend on the "
                f"other rows, so that all must fit into one request: {ROW_LIMIT:,} bytes at most"
            )
        if request.options.on_bad_rows == "skip":
            raise InvalidRequestError(
                "options.on_bad_rows: 'skip' would change the other answers, because the answers "
                "of this model depend on the other rows: set it to 'fail'"
            )
        block_bytes = state.size + 1
    if name == "parquet":
        from shearling.scoring.parquet_source import ParquetReader

        rows = 0 if scorer.is_divisible else state.size
        return ParquetReader(objects, request.source.key, state, scorer, rows=rows, keep=keep)
    if name == "csv":
        from shearling.scoring.csv_source import CsvReader

        return CsvReader(parts, scorer, block_bytes, has_names=request.options.has_names, keep=keep)
    if name == "jsonl":
        from shearling.scoring.jsonl_source import JsonLinesReader

        return JsonLinesReader(parts, scorer, block_bytes, keep=keep)
    from shearling.scoring.npy_source import NpyReader

    return NpyReader(parts, scorer, block_bytes, keep=keep)
