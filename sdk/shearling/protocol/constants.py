"""Where the length of the JSON before binary tensors is said, in a header or a content type."""

from __future__ import annotations

import re

from shearling.errors import InvalidRequestError

#: Header with the length in bytes of the JSON before binary data. Compare names in lower case.
LENGTH_HEADER = "inference-header-content-length"

#: The content type with that length. SageMaker drops headers that it does not know, and Triton's
#: container has this type, too.
BINARY_TYPE = "application/vnd.sagemaker-triton.binary+json;json-header-size="

_BINARY_LENGTH = re.compile(r"json-header-size=(\d{1,12})")

#: Content types of a body that is a picture.
PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp")

#: Digits of a length that are parsed. Python parses no number of more than 4,300 digits.
_DIGITS = 20


def header_number(value: str) -> int | None:
    """Parse the length in a header; return None if it is not a number."""
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit()):  # for Python `²` is a digit
        return None
    return int(digits.lstrip("0")[:_DIGITS] or "0")


def split(data: bytes, length: str) -> tuple[bytes, memoryview]:
    """Return the JSON of a body and the bytes after it.

    Args:
        data: the body.
        length: value of the header `LENGTH_HEADER`.

    Raises:
        InvalidRequestError: the length is not a number, or exceeds the size of the body.
    """
    end = header_number(length)
    if end is None or end > len(data):
        from shearling.tensors.conversion import shown  # imports numpy, which proxies do without

        raise InvalidRequestError(
            f"{LENGTH_HEADER}: {shown(length)} is not a number from 0 to {len(data)}, the size of "
            "the body"
        )
    return data[:end], memoryview(data)[end:]


def json_length(content_type: str) -> int | None:
    """Return the length of the JSON before binary tensors that a type has; None if it has none."""
    match = _BINARY_LENGTH.search(content_type)
    return int(match[1]) if match else None
