"""Which bodies of jobs are answered in blocks, so that they may be larger than the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shearling.errors import InvalidRequestError
from shearling.scoring.formats import CONTENT_TYPES, format_of_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.scoring.formats import Format

_ANY = ("", "*/*")


class BlockFormats(NamedTuple):
    """The formats of a body, and of the outputs."""

    source: Format
    output: Format


def block_formats(headers: Mapping[str, str]) -> BlockFormats | None:
    """Return the formats that a job's headers name; None for a request of the protocol.

    CSV that is to be answered with JSON is a request of the protocol.

    Raises:
        InvalidRequestError: the body's format has no answer of the accepted types.
    """
    source = format_of_type(headers.get("content-type", ""))
    if source is None:
        return None
    accepted = [kind.partition(";")[0].strip() for kind in headers.get("accept", "").split(",")]
    outputs = [source if kind in _ANY else format_of_type(kind) for kind in accepted]
    if output := next((found for found in outputs if found), None):
        return BlockFormats(source, output)
    if source == "csv":
        return None
    raise InvalidRequestError(
        f"accept: {', '.join(accepted):.80} is no answer to {source}; expected one of "
        f"{', '.join(CONTENT_TYPES)}"
    )


def content_type_of(output: Format) -> str:
    """Return the content type of outputs in a format."""
    return next(kind for kind, found in CONTENT_TYPES.items() if found == output)
