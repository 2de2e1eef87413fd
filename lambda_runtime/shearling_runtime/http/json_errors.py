"""Say what is wrong with a body that is not JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orjson import JSONDecodeError

#: Values as Python, JavaScript, R and SQL write them, where JSON has another word or none. Keys and
#: JSON's own words are left out.
_WORDS = re.compile(
    r"[-+]?(?!(?:null|true|false)\b)"
    r"((?i:nan|nat|na|null|nil|none|undefined|inf|infinity|true|false)\b|<NA>)(?!\s*:)"
)

_MISSING = "write null for a missing value"
_INFINITE = "send infinite values as binary data, with `binary_data_size`"
_INSTEAD = {
    "inf": _INFINITE,
    "infinity": _INFINITE,
    "true": "write true",
    "false": "write false",
}


def problem_of(error: JSONDecodeError) -> str:
    """Return text with the place of the first invalid character, and what to write there."""
    # The place of an invalid number is after its minus.
    sign = int(error.doc[error.pos - 1 : error.pos] == "-")
    if word := _WORDS.match(error.doc, error.pos - sign):
        return (
            f"{word[0]} at line {error.lineno} column {error.colno - sign}: JSON has no {word[1]}; "
            f"{_INSTEAD.get(word[1].lower(), _MISSING)}"
        )
    return str(error)
