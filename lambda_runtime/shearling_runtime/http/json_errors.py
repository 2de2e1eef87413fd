"""Say what is wrong with a body that is not JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orjson import JSONDecodeError

#: Words of Python and JavaScript where JSON has another word, or none.
_WORDS = re.compile(r"-?(NaN|nan|Infinity|inf|None|undefined|True|False)\b")

_MISSING = "write null for a missing value"
_INSTEAD = {
    "Infinity": "send infinite values as binary data, with `binary_data_size`",
    "True": "write true",
    "False": "write false",
}
_INSTEAD["inf"] = _INSTEAD["Infinity"]


def problem_of(error: JSONDecodeError) -> str:
    """Return text with the place of the first invalid character, and what to write there."""
    start = error.pos - (error.doc[error.pos - 1 : error.pos] == "-")
    if word := _WORDS.match(error.doc, start):
        return (
            f"{word[0]} at line {error.lineno} column {error.colno}: JSON has no {word[1]}; "
            f"{_INSTEAD.get(word[1], _MISSING)}"
        )
    return str(error)
