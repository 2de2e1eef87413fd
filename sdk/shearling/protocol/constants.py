"""Constants of the protocol over HTTP that the runtime and the clients share."""

from __future__ import annotations

#: Header with the length in bytes of the JSON before binary data. Compare names in lower case.
LENGTH_HEADER = "inference-header-content-length"

#: Digits of a length that are parsed. Python parses no number of more than 4,300 digits.
_DIGITS = 20


def header_number(value: str) -> int | None:
    """Parse the length in a header; return None if it is not a number."""
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit()):  # for Python `²` is a digit
        return None
    return int(digits.lstrip("0")[:_DIGITS] or "0")
