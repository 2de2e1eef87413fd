"""Decompress request bodies, up to the size limit of a request."""

from __future__ import annotations

import zlib

from shearling.errors import InvalidRequestError, PayloadTooLargeError

#: Maximum bytes of a request, also after decompression: small functions must withstand a
#: compressed body that expands a thousandfold.
REQUEST_LIMIT = 6 * 1024 * 1024

#: `wbits` of zlib that detects gzip and zlib headers.
_GZIP_OR_ZLIB = 47


def decompress(data: bytes, encoding: str, limit: int = REQUEST_LIMIT) -> bytes:
    """Decompress a body.

    Args:
        data: bytes of the body.
        encoding: value of the header Content-Encoding.
        limit: maximum bytes of the decompressed body.

    Raises:
        InvalidRequestError: the encoding is unknown, or the body is not in this encoding.
        PayloadTooLargeError: the decompressed body is above the limit of a request.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return data
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise InvalidRequestError(
            f"content-encoding: {encoding!r:.40} is not supported; use gzip or deflate"
        )
    decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        decompressed = decompressor.decompress(data, limit + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"body: invalid {encoding} data: {error}") from error
    if len(decompressed) > limit:
        raise PayloadTooLargeError(
            f"the decompressed body has more than {limit:,} bytes. Send fewer rows"
        )
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidRequestError(f"body: expected one complete {encoding} stream")
    return decompressed
