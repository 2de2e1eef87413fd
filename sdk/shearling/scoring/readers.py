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
    from shearling.scoring.parts import Part
    from shearling.scoring.request import ScoreRequest
    from shearling.storage.conditional import ObjectState, ReadableObjects

#: Maximum bytes that tell how to read a part: empty lines, and a row.
_HEAD_LIMIT = 2 * ROW_LIMIT


@contextmanager
def open_reader(
    request: ScoreRequest,
    objects: ReadableObjects,
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
    key = request.source.key
    # A part of Parquet is no range of bytes.
    part = None if request.source_format == "parquet" else request.source.part
    start, stop = (part.start, part.stop) if part else (0, state.size)
    head = _head_of(part, objects, key, state) if part else b""
    with closing(read_parts(objects, key, state, start=start, stop=stop)) as chunks:
        yield _reader_of(request, objects, state, scorer, block_bytes, head=head, chunks=chunks)


def _head_of(part: Part, objects: ReadableObjects, key: str, state: ObjectState) -> bytes:
    """Return the bytes that tell how to read a part.

    Raises:
        InvalidRequestError: the part is not within the object, or these bytes are too many.
    """
    if part.stop > state.size:
        raise InvalidRequestError(
            f"{PLACE}.part.stop: {part.stop}, but the source has {state.size} bytes"
        )
    if part.head > _HEAD_LIMIT:
        raise InvalidRequestError(
            f"{PLACE}.part.head: {part.head} is above {_HEAD_LIMIT:,}, the longest first row"
        )
    return objects.read(key, 0, part.head, etag=state.etag) if part.head else b""


def _reader_of(
    request: ScoreRequest,
    objects: ReadableObjects,
    state: ObjectState,
    scorer: Scorer,
    block_bytes: int,
    *,
    head: bytes,
    chunks: Iterator[bytes],
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
        if request.source.part is not None:
            raise InvalidRequestError(
                f"{PLACE}.part: the answers of this model depend on the other rows, so that an "
                "object cannot be scored in parts: raise `part_bytes` above its size"
            )
        block_bytes = state.size + 1
    if name == "parquet":
        from shearling.scoring.parquet_source import ParquetReader

        rows = 0 if scorer.is_divisible else state.size
        return ParquetReader(
            objects,
            request.source.key,
            state,
            scorer,
            rows=rows,
            keep=keep,
            part=request.source.part,
        )
    if name == "image":
        from shearling.scoring.image_source import ImageReader

        return ImageReader(chunks, state.size, scorer, request)
    if name == "csv":
        from shearling.scoring.csv_source import CsvReader

        has_names = request.options.has_names
        return CsvReader(chunks, scorer, block_bytes, head=head, has_names=has_names, keep=keep)
    if name == "jsonl":
        from shearling.scoring.jsonl_source import JsonLinesReader

        return JsonLinesReader(chunks, scorer, block_bytes, head=head, keep=keep)
    from shearling.scoring.npy_source import NpyReader

    return NpyReader(chunks, scorer, block_bytes, part=request.source.part, head=head, keep=keep)
