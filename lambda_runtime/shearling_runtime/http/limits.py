"""How much Lambda carries, and what unpacks to more."""

from __future__ import annotations

import zlib

from shearling.errors import InvalidRequestError, PayloadTooLargeError

#: Of an answer as Lambda sends it: as JSON in JSON, or as base64.
ANSWER_LIMIT = 6_291_556

#: Of a request, packed or not: small functions must survive what grows a thousandfold.
REQUEST_LIMIT = 6 * 1024 * 1024

#: zlib's way to say: gzip or zlib, whichever it is.
_EITHER = 47


def check_answer(size: int, limit: int = ANSWER_LIMIT, carrier: str = "Lambda") -> None:
    """Refuse an answer that would not be carried.

    Raises:
        PayloadTooLargeError: it is too large.
    """
    if size > limit:
        raise PayloadTooLargeError(
            f"the answer is {size:,} bytes, and {carrier} carries {limit:,}: ask for fewer "
            "rows at a time, for fewer `outputs`, or for bytes (`binary_data_output`)"
        )


def unpack(data: bytes, encoding: str) -> bytes:
    """Return a body without its content encoding.

    Raises:
        InvalidRequestError: the encoding is not known, or the body is not so encoded.
        PayloadTooLargeError: it unpacks to more than a request may be.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return data
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise InvalidRequestError(f"content-encoding: {encoding!r:.40} is not gzip or deflate")
    unpacker = zlib.decompressobj(_EITHER)
    try:
        unpacked = unpacker.decompress(data, REQUEST_LIMIT + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"body: not {encoding}: {error}") from error
    if len(unpacked) > REQUEST_LIMIT:
        raise PayloadTooLargeError(
            f"the body unpacks to more than {REQUEST_LIMIT:,} bytes: send fewer rows at a time"
        )
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidRequestError(f"body: not one whole {encoding} stream")
    return unpacked
